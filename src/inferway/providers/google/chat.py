"""Chat and vision by generateContent, on the Gemini API and on Vertex AI."""

from collections.abc import Mapping
from typing import Any

import msgspec

from inferway.errors import BadRequest
from inferway.providers.base import Facts, Target, Translated, WireRequest, WireResponse
from inferway.providers.google.answers import read_chunks
from inferway.providers.google.collect import Collector
from inferway.providers.google.contents import make_conversation
from inferway.providers.google.decode import ChatDecoder, raise_error, shaped
from inferway.providers.google.paths import method_path, on_vertex
from inferway.providers.google.structured import Asked, find_asked
from inferway.providers.google.thinking import make_thinking
from inferway.providers.parameters import Rule, Rules, carry, merge_chat_extra
from inferway.types import Adaptation, ChatCall, ChatResult, NamedTool, Tool, ToolChoice

_CONFIG = "generationConfig"
_INT32 = 2**31

CHAT_RULES: Rules = {
    "temperature": Rule(path=(_CONFIG, "temperature"), minimum=0, maximum=2),
    "max_tokens": Rule(path=(_CONFIG, "maxOutputTokens"), note="thinking counts into it"),
    "top_p": Rule(path=(_CONFIG, "topP"), minimum=0, maximum=1),
    "stop": Rule(path=(_CONFIG, "stopSequences"), at_most=5, convert=list),
    "seed": Rule(path=(_CONFIG, "seed"), minimum=-_INT32, maximum=_INT32 - 1),
    "schema": Rule(note="generationConfig.responseJsonSchema with responseMimeType"),
    "tools": Rule(note="tools[].functionDeclarations"),
    "tool_choice": Rule(note="toolConfig.functionCallingConfig"),
    "reasoning_effort": Rule(
        note="generationConfig.thinkingConfig: thinkingBudget on 2.5, thinkingLevel from 3 on"
    ),
}
"""How the common parameters reach generateContent. Source: Gemini API reference, GenerationConfig."""

RESERVED = frozenset(("contents", "model"))
_STREAM_QUERY = "alt=sse"


class GoogleChatTranslator:
    """Translates chat calls. Thinking text is reasoning, and signatures of thoughts travel in reasoning entries (see `signatures`)."""

    max_batch = 1

    def to_wire(self, call: ChatCall, target: Target) -> Translated:
        """The request; raises `BadRequest` for media, tool results or a schema that cannot be sent."""
        parameters, facts = call.parameters, target.facts
        carried = carry(parameters, CHAT_RULES, facts, "google chat")
        told = list(carried.adaptations)
        conversation = make_conversation(call.messages, target, call.counted_from)
        told += conversation.adaptations
        body: dict[str, Any] = {"contents": conversation.contents, **carried.body}
        if conversation.system is not None:
            body["systemInstruction"] = conversation.system
        asked = find_asked(parameters, facts)
        if asked is not None:
            told += asked.adaptations
            _ask(body, asked)
        _put_thinking(body, carried.left.get("reasoning_effort"), target, told)
        _put_tools(body, carried.left, facts, told)
        _merge(body, parameters.extra)
        method, query = ("streamGenerateContent", _STREAM_QUERY) if call.stream else ("generateContent", "")
        request = WireRequest(path=method_path(target, method), query=query, body=msgspec.json.encode(body))
        return Translated(request=request, adaptations=tuple(told))

    def from_wire(self, call: ChatCall, target: Target, response: WireResponse) -> ChatResult:
        """The answer, also in the array form of a stream; raises `ProviderBadAnswer` or a msgspec error when it is none."""
        collector = Collector()
        for chunk in read_chunks(response.body):
            raise_error(chunk)
            collector.add(chunk)
        return shaped(collector.result(), find_asked(call.parameters, target.facts))

    def decoder(self, call: ChatCall, target: Target) -> ChatDecoder:
        """A reader of the call's stream."""
        return ChatDecoder(find_asked(call.parameters, target.facts))


def _ask(body: dict[str, Any], asked: Asked) -> None:
    if asked.config:
        body.setdefault(_CONFIG, {}).update(asked.config)
    if asked.instruction:
        body.setdefault("systemInstruction", {"parts": []})["parts"].append({"text": asked.instruction})


def _put_thinking(body: dict[str, Any], effort: str | None, target: Target, told: list[Adaptation]) -> None:
    if effort is None:
        return
    thinking, adaptation = make_thinking(effort, target.facts)
    told.append(adaptation)
    if thinking is None:
        return
    if "thinkingLevel" in thinking and on_vertex(target):
        # Vertex AI spells enums as protobuf does; the Gemini API documents small letters.
        thinking["thinkingLevel"] = thinking["thinkingLevel"].upper()
    body.setdefault(_CONFIG, {})["thinkingConfig"] = thinking


def _put_tools(body: dict[str, Any], given: Mapping[str, Any], facts: Facts, told: list[Adaptation]) -> None:
    tools: tuple[Tool, ...] | None = given.get("tools")
    choice: ToolChoice | None = given.get("tool_choice")
    if tools:
        schema = "parameters" if facts.get("json_schema") is False else "parametersJsonSchema"
        body["tools"] = [{"functionDeclarations": [_declaration(tool, schema) for tool in tools]}]
    if choice is None:
        return
    if not tools:
        reason = "there are no tools to choose from"
        told.append(Adaptation(field="parameters.tool_choice", action="dropped", reason=reason))
        return
    config: dict[str, Any] = {"mode": _MODES[choice] if isinstance(choice, str) else "ANY"}
    if isinstance(choice, NamedTool):
        config["allowedFunctionNames"] = [choice.name]
    body["toolConfig"] = {"functionCallingConfig": config}


_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}


def _declaration(tool: Tool, schema: str) -> dict[str, Any]:
    declared: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        declared["description"] = tool.description
    if tool.parameters is not None:
        declared[schema] = tool.parameters
    return declared


def _merge(body: dict[str, Any], extra: dict[str, Any] | None) -> None:
    """Native fields over ours; raises `BadRequest` when they would take the place of the system texts."""
    system = (extra or {}).get("systemInstruction", {})
    if "systemInstruction" in body and not (isinstance(system, dict) and "parts" not in system):
        raise BadRequest(
            "a system text is given in the request and in parameters.extra",
            code="conflicting_inputs",
            details={"field": "systemInstruction"},
        )
    merge_chat_extra(body, extra, RESERVED)
