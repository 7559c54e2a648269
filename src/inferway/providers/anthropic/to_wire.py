"""A chat call as a request of the messages API."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from inferway.errors import BadRequest
from inferway.providers.anthropic.blocks import Conversation, Turn, to_conversation
from inferway.providers.anthropic.structured import Asked, answering_tool, find_asked, instruction
from inferway.providers.anthropic.thinking import Thinking, to_thinking
from inferway.providers.base import Headers, Target, Translated, WireRequest
from inferway.providers.parameters import Rule, Rules, carry, merge_chat_extra
from inferway.types import Adaptation, ChatCall, Message, NamedTool, Parameters, Tool

PATH = "/v1/messages"
API_VERSION = "2023-06-01"
"""The version that still takes sampling parameters, from the models that take them at all."""

NO_SAMPLING_SINCE = "2026-10-21"
"""From this version on the API refuses sampling parameters for every model."""

UNKNOWN_MAX_TOKENS = 4_096
"""`max_tokens` for a model of which nothing is known, when the caller gives none: the API requires one."""

MAX_REQUEST_BYTES = 32 * 1024 * 1024
RESERVED = frozenset(("model", "messages", "stream"))

CHAT_RULES: Rules = {
    "temperature": Rule(path=("temperature",), minimum=0, maximum=1, note="0 to 1; newer models take none"),
    "max_tokens": Rule(note="required by the API: the model's maximum is sent when none is given"),
    "top_p": Rule(
        path=("top_p",), minimum=0, maximum=1, note="not together with temperature on 4.1 to 4.6 models"
    ),
    "stop": Rule(note="`stop_sequences`; sequences of blanks only are refused by the API"),
    "schema": Rule(note="`output_config.format`, else a forced tool, else an instruction"),
    "tools": Rule(note="`tools[].input_schema`"),
    "tool_choice": Rule(note="auto, any, none or tool"),
    "reasoning_effort": Rule(note="`thinking`, with `output_config.effort` or a token budget by model"),
}
"""How the common parameters reach the messages API. There is no seed."""

_SAMPLING = ("temperature", "top_p")


class _Parts(Struct, frozen=True, kw_only=True):
    """What has been decided about one call before its body is put together."""

    left: Mapping[str, Any]
    conversation: Conversation
    asked: Asked | None
    choice: dict[str, Any] | None
    thinking: Thinking


def to_wire(call: ChatCall, target: Target) -> Translated:
    """The request for a call. Raises `BadRequest` for what the API cannot take. Source: Anthropic API reference, messages."""
    told: list[Adaptation] = []
    version = api_version(target)
    carried = carry(call.parameters, _rules(version), target.facts, f"anthropic messages {version}")
    told.extend(carried.adaptations)
    parameters = taken(call.parameters, target)
    parts = _decide(call.messages, parameters, target, carried.left, told)
    body: dict[str, Any] = {
        "model": target.model,
        "max_tokens": _max_tokens(parts, target, told),
        **_prompt(parts, parameters),
        **carried.body,
        **_stop(parts.left, told),
        **_output(parts),
    }
    if call.stream:
        body["stream"] = True
    headers = _merge_native(body, parameters)
    _fit_sampling(body, parameters, target, told)
    encoded = msgspec.json.encode(body)
    _check_size(encoded)
    request = WireRequest(
        path=PATH,
        body=encoded,
        headers=(("content-type", "application/json"), ("anthropic-version", version), *headers),
    )
    return Translated(request=request, adaptations=tuple(told))


def api_version(target: Target) -> str:
    """The `anthropic-version` for a target: its option `api_version`, else the default."""
    return str(target.options.get("api_version") or API_VERSION)


def _rules(version: str) -> Rules:
    if version < NO_SAMPLING_SINCE:
        return CHAT_RULES
    return {name: rule for name, rule in CHAT_RULES.items() if name not in _SAMPLING}


def taken(parameters: Parameters, target: Target) -> Parameters:
    """The parameters without those that the translator places itself and this model is known not to take."""
    refused = {name: None for name in ("schema", "tools", "tool_choice") if target.facts.get(name) is False}
    return replace(parameters, **refused) if refused else parameters


def _decide(
    messages: tuple[Message, ...],
    parameters: Parameters,
    target: Target,
    left: Mapping[str, Any],
    told: list[Adaptation],
) -> _Parts:
    facts = target.facts
    conversation = to_conversation(messages, target)
    told.extend(conversation.adaptations)
    asked = find_asked(parameters, facts)
    if asked is not None:
        told.extend(asked.adaptations)
    choice = _tool_choice(parameters, asked, target, told)
    thinking = Thinking()
    if "reasoning_effort" in left:
        hindrance = _find_hindrance(choice, conversation.turns)
        thinking = to_thinking(left["reasoning_effort"], facts, left.get("max_tokens"), hindrance)
        told.extend(thinking.adaptations)
    return _Parts(left=left, conversation=conversation, asked=asked, choice=choice, thinking=thinking)


def _find_hindrance(choice: dict[str, Any] | None, turns: list[Turn]) -> str | None:
    """Why a model with a thinking budget cannot think in this call, if it cannot."""
    if choice is not None and choice["type"] in ("any", "tool"):
        return "this model cannot think before a tool call that it is forced to make"
    answers_tools = turns[-1]["role"] == "user" and turns[-1]["content"][0]["type"] == "tool_result"
    asking = turns[-2]["content"][0] if answers_tools and len(turns) > 1 else None
    if asking is not None and asking["type"] not in ("thinking", "redacted_thinking"):
        return "the tool calls being answered came without this provider's reasoning, so it cannot go on thinking"
    return None


def _tool_choice(
    parameters: Parameters, asked: Asked | None, target: Target, told: list[Adaptation]
) -> dict[str, Any] | None:
    choice = parameters.tool_choice
    if choice is not None and not parameters.tools:
        reason = "there are no tools to choose from"
        told.append(Adaptation(field="parameters.tool_choice", action="dropped", reason=reason))
        choice = None
    if asked is not None and asked.method == "tool":
        return {"type": "any"} if parameters.tools else {"type": "tool", "name": asked.tool}
    if choice is None:
        return None
    if choice in ("auto", "none"):
        return {"type": choice}
    if target.facts.get("forced_tool") is False:
        reason = "this model cannot be forced to call a tool; it was left to choose"
        told.append(Adaptation(field="parameters.tool_choice", action="dropped", reason=reason))
        return {"type": "auto"}
    return {"type": "tool", "name": choice.name} if isinstance(choice, NamedTool) else {"type": "any"}


def _max_tokens(parts: _Parts, target: Target, told: list[Adaptation]) -> int:
    """The caller's, else the model's own maximum, else a default that is told because it may cut an answer short."""
    given: int | None = parts.left.get("max_tokens")
    if given is not None:
        return given
    facts = target.facts
    ceiling: int | None = facts.get("max_tokens_max")
    tokens: int = facts.get("max_tokens_default", UNKNOWN_MAX_TOKENS) + parts.thinking.budget
    if ceiling is not None and tokens >= ceiling:
        return ceiling
    reason = (
        f"the API requires one and none was given: {tokens} was sent, and a longer answer ends with `length`"
    )
    told.append(Adaptation(field="parameters.max_tokens", action="translated", reason=reason))
    return tokens


def _prompt(parts: _Parts, parameters: Parameters) -> dict[str, Any]:
    asked = parts.asked
    body: dict[str, Any] = {}
    system = parts.conversation.system
    if asked is not None and asked.method == "prompt":
        system = "\n\n".join(text for text in (system, instruction(asked)) if text)
    if system is not None:
        body["system"] = system
    body["messages"] = parts.conversation.turns
    tools = [_tool(tool) for tool in parameters.tools or ()]
    if asked is not None and asked.method == "tool":
        tools.append(answering_tool(asked))
    if tools:
        body["tools"] = tools
    if parts.choice is not None:
        body["tool_choice"] = parts.choice
    return body


def _tool(tool: Tool) -> dict[str, Any]:
    schema = tool.parameters or {"type": "object", "properties": {}}
    wire: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        wire["description"] = tool.description
    return wire | {"input_schema": schema if "type" in schema else {"type": "object", **schema}}


def _stop(left: Mapping[str, Any], told: list[Adaptation]) -> dict[str, Any]:
    given = left.get("stop", ())
    taken = [sequence for sequence in given if sequence.strip()]
    if len(taken) < len(given):
        reason = "the API refuses stop sequences of blanks only"
        told.append(Adaptation(field="parameters.stop", action="dropped", reason=reason))
    return {"stop_sequences": taken} if taken else {}


def _output(parts: _Parts) -> dict[str, Any]:
    output: dict[str, Any] = {}
    if parts.asked is not None and parts.asked.method == "native":
        output["format"] = {"type": "json_schema", "schema": parts.asked.schema}
    if parts.thinking.effort is not None:
        output["effort"] = parts.thinking.effort
    body: dict[str, Any] = {"output_config": output} if output else {}
    if parts.thinking.config is not None:
        body["thinking"] = parts.thinking.config
    return body


def _merge_native(body: dict[str, Any], parameters: Parameters) -> Headers:
    """Merge `parameters.extra`. Native tools join the common ones, and `betas` becomes a header, as in the official SDK."""
    extra = dict(parameters.extra or {})
    if "system" in extra and "system" in body:
        raise BadRequest(
            "system is given in the request and in parameters.extra",
            code="conflicting_inputs",
            details={"field": "system"},
        )
    betas = extra.pop("betas", None)
    merge_chat_extra(body, extra, RESERVED)
    if betas is None:
        return ()
    if not isinstance(betas, list) or not all(
        isinstance(beta, str) and beta.isprintable() and beta.isascii() for beta in betas
    ):
        raise BadRequest("parameters.extra.betas must be a list of strings", code="extra_invalid")
    return (("anthropic-beta", ",".join(betas)),) if betas else ()


def _fit_sampling(
    body: dict[str, Any], parameters: Parameters, target: Target, told: list[Adaptation]
) -> None:
    """Leave away what cannot stand together; what came by `parameters.extra` stays as it is."""
    own = {name for name in _SAMPLING if name in body and name not in (parameters.extra or {})}
    thinking = body.get("thinking")
    if isinstance(thinking, dict) and thinking.get("type") in ("enabled", "adaptive"):
        if "temperature" in own and body["temperature"] != 1:
            _leave_away(body, "temperature", "it may only be 1 while the model thinks", told)
        if "top_p" in own and body["top_p"] < 0.95:
            _leave_away(body, "top_p", "it must be at least 0.95 while the model thinks", told)
    if (
        target.facts.get("one_sampler") is True
        and "temperature" in body
        and "top_p" in body
        and "top_p" in own
    ):
        _leave_away(body, "top_p", "this model takes either temperature or top_p, not both", told)


def _leave_away(body: dict[str, Any], name: str, reason: str, told: list[Adaptation]) -> None:
    del body[name]
    told.append(Adaptation(field=f"parameters.{name}", action="dropped", reason=reason))


def _check_size(body: bytes) -> None:
    if len(body) > MAX_REQUEST_BYTES:
        raise BadRequest(
            f"the request is {len(body)} bytes; anthropic takes at most {MAX_REQUEST_BYTES} (32 MiB)",
            code="request_too_large",
            details={"bytes": len(body), "limit_bytes": MAX_REQUEST_BYTES},
        )
