"""Chat completions both ways. Source: OpenAI API reference, chat completions (create, the completion object, streaming)."""

from typing import Any

import msgspec

from inferway.errors import ProviderBadAnswer
from inferway.providers.base import Facts, Target, Translated, WireRequest, WireResponse
from inferway.providers.openai.answers import (
    ChatAnswer,
    Reader,
    find_plain_result,
    is_given,
    join_choices,
    said_by,
)
from inferway.providers.openai.errors import answer_error
from inferway.providers.openai.messages import (
    Conversation,
    instruct,
    write_tool,
    write_tool_choice,
)
from inferway.providers.openai.quirks import Quirks
from inferway.providers.openai.sampling import fit_effort, fit_sampling
from inferway.providers.openai.stream import ChatDecoder
from inferway.providers.openai.structured import FIELD, find_method, plan_structure
from inferway.providers.parameters import Rule, Rules, carry, merge_chat_extra
from inferway.providers.schema import AnySchema, needs_wrapper
from inferway.types import NO_PARAMETERS, Adaptation, ChatCall, ChatResult, Structured, TextPart

RESERVED = frozenset(("model", "messages", "stream"))
"""Body fields that `parameters.extra` may not set."""

_PATH = "/chat/completions"
_decoder = msgspec.json.Decoder(ChatAnswer)


def _find_plain(call: ChatCall) -> str | None:
    """The text of a call that is one message of text and asks for nothing more, as nearly all are; None for any other."""
    if len(call.messages) != 1 or call.stream:
        return None
    if call.parameters is not NO_PARAMETERS and call.parameters != NO_PARAMETERS:
        return None
    message = call.messages[0]
    if message.role != "user" or len(message.content) != 1:
        return None
    part = message.content[0]
    return part.text if isinstance(part, TextPart) else None


def chat_rules(quirks: Quirks) -> Rules:
    """How the common parameters reach the body of a chat completion."""

    def at(name: str) -> tuple[str, ...]:
        return (quirks.fields.get(name, name),)

    return {
        "temperature": Rule(path=at("temperature"), minimum=0, maximum=quirks.temperature_limit),
        "max_tokens": Rule(path=at("max_tokens"), minimum=1),
        "top_p": Rule(path=at("top_p"), minimum=0, maximum=1),
        "stop": Rule(path=at("stop"), at_most=quirks.stop_limit, convert=list),
        "seed": Rule(path=at("seed")),
        "schema": Rule(note=f"response_format ({quirks.structured})"),
        "tools": Rule(path=("tools",), convert=lambda tools: [write_tool(tool) for tool in tools]),
        "tool_choice": Rule(
            path=("tool_choice",), convert=lambda choice: write_tool_choice(choice, quirks.tool_choices)
        ),
        "reasoning_effort": Rule(path=at("reasoning_effort")),
    }


class OpenAIChat:
    """Translates chat and vision for OpenAI and, with other quirks, for compatible servers.

    `subject` names the provider to callers. Implements `ChatTranslator`.
    """

    max_batch = 1

    def __init__(self, subject: str, quirks: Quirks) -> None:
        self._subject = subject
        self._quirks = quirks
        self._rules = chat_rules(quirks)

    def to_wire(self, call: ChatCall, target: Target) -> Translated:
        """`POST /chat/completions`; raises `BadRequest` for what this model cannot be given."""
        facts = target.facts
        told: list[Adaptation] = []
        plain = _find_plain(call)
        if plain is not None:
            content = msgspec.json.encode(
                {"model": target.model, "messages": [{"role": "user", "content": plain}]}
            )
            return Translated(request=WireRequest(path=_PATH, body=content))
        parameters = fit_sampling(fit_effort(call.parameters, facts, told), facts, told)
        carried = carry(parameters, self._rules, facts, f"{self._subject} chat")
        told.extend(carried.adaptations)
        conversation = Conversation(self._subject, self._quirks, facts, pass_urls=target.pass_media_urls)
        body: dict[str, Any] = {
            "model": target.model,
            "messages": conversation.write(call.messages, call.counted_from),
        }
        told.extend(conversation.adaptations)
        body |= self._renamed(carried.body, facts)
        if "schema" in carried.left:
            self._add_structure(body, carried.left["schema"], facts, told)
        if call.stream:
            body["stream"] = True
            if self._quirks.stream_usage:
                body["stream_options"] = {"include_usage": True}
        merge_chat_extra(body, parameters.extra, RESERVED)
        request = WireRequest(path=_PATH, body=msgspec.json.encode(body))
        return Translated(request=request, adaptations=tuple(told))

    def from_wire(self, call: ChatCall, target: Target, response: WireResponse) -> ChatResult:
        """The completion of a 2xx answer; raises `ProviderBadAnswer` or a decoding error when it is none."""
        answer = _decoder.decode(response.body)
        if not answer.choices:
            if is_given(answer.error):
                raise answer_error(self._subject, response.body)
            raise ProviderBadAnswer("The answer holds no choices.")
        if call.parameters.schema is None:
            plain = find_plain_result(answer)
            if plain is not None:
                return plain
        reader = self._reader(call, target.facts)
        choices = sorted(answer.choices, key=lambda choice: choice.index)
        return join_choices([reader.read(said_by(choice)) for choice in choices], answer.model, answer.usage)

    def decoder(self, call: ChatCall, target: Target) -> ChatDecoder:
        """A reader of this call's stream."""
        return ChatDecoder(self._subject, self._reader(call, target.facts), self._quirks)

    def _renamed(self, body: dict[str, Any], facts: Facts) -> dict[str, Any]:
        """A fact may give `max_tokens` another name for one model than the server's usual one."""
        field = facts.get("max_tokens_field")
        usual = self._quirks.fields.get("max_tokens", "max_tokens")
        return {(field if field and name == usual else name): value for name, value in body.items()}

    def _add_structure(
        self, body: dict[str, Any], schema: AnySchema, facts: Facts, told: list[Adaptation]
    ) -> None:
        plan = plan_structure(schema, self._quirks, find_method(self._quirks, facts))
        told.extend(Adaptation(field=FIELD, action="translated", reason=reason) for reason in plan.told)
        if plan.response_format is not None:
            body["response_format"] = plan.response_format
        if plan.instruction is not None:
            body["messages"] = instruct(body["messages"], plan.instruction)

    def _reader(self, call: ChatCall, facts: Facts) -> Reader:
        schema = call.parameters.schema
        if schema is None or facts.get("schema") is False:
            return Reader()
        structured = Structured(method=find_method(self._quirks, facts), valid=False)
        return Reader(structured=structured, wrapped=needs_wrapper(schema))
