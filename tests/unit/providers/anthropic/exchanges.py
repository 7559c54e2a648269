"""Exchanges with the messages API, written from its documentation, and short ways to make calls and read requests."""

import json
from collections.abc import Iterable
from typing import Any

from inferway.providers.anthropic.chat import MessagesTranslator
from inferway.providers.base import Target, Translated, WireResponse
from inferway.providers.facts import load_facts
from inferway.types import (
    ChatCall,
    ChatEvent,
    ChatResult,
    Message,
    Parameters,
    ReasoningDelta,
    TextDelta,
    TextPart,
    Tool,
    ToolCallDelta,
)

OLD = "claude-sonnet-4-20250514"
PLAIN = "claude-haiku-4-5"
NEW = "claude-opus-5"
TRANSLATOR = MessagesTranslator("anthropic")
_FACTS = load_facts("inferway.providers.anthropic")

WEATHER = Tool(
    name="get_weather",
    description="The weather of a city",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
DOG = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def target(model: str = PLAIN, **fields: Any) -> Target:
    """A model at Anthropic with the facts that are shipped."""
    facts = {**_FACTS.facts(model), **fields.pop("facts", {})}
    return Target(provider="anthropic", model=model, facts=facts, **fields)


def said(role: Any, text: str, **fields: Any) -> Message:
    """A message of one text."""
    return Message(role=role, content=(TextPart(text=text),), **fields)


def ask(*messages: Message | str, stream: bool = False, **parameters: Any) -> ChatCall:
    """A call; a string is a user message."""
    given = tuple(said("user", m) if isinstance(m, str) else m for m in messages or ("Hello",))
    return ChatCall(messages=given, parameters=Parameters(**parameters), stream=stream)


def sent(call: ChatCall, model: str = PLAIN, **fields: Any) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """The body that would leave for a call, and what is told, as (field, action)."""
    translated = translate(call, model, **fields)
    told: list[tuple[str, str]] = [(item.field, item.action) for item in translated.adaptations]
    return json.loads(translated.request.body), told


def translate(call: ChatCall, model: str = PLAIN, **fields: Any) -> Translated:
    """The request for a call."""
    return TRANSLATOR.to_wire(call, target(model, **fields))


def answer(*content: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """The body of a whole answer."""
    return {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-4-5-20251001",
        "content": list(content),
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "stop_details": None,
        "usage": {
            "input_tokens": 11,
            "cache_creation_input_tokens": 3,
            "cache_read_input_tokens": 5,
            "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 0},
            "output_tokens": 40,
            "output_tokens_details": {"thinking_tokens": 30},
            "service_tier": "standard",
        },
        **fields,
    }


def text_block(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def tool_block(number: int, name: str = "get_weather", **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": arguments}


THINKING = {"type": "thinking", "thinking": "Let me see.", "signature": "c2lnbmVk"}
REDACTED = {"type": "redacted_thinking", "data": "b3BhcXVl"}
FULL = answer(
    THINKING,
    REDACTED,
    text_block("Checking "),
    text_block("both."),
    tool_block(1, city="Oslo"),
    tool_block(2, city="Turin"),
    stop_reason="tool_use",
)


def respond(body: object) -> WireResponse:
    """A 200 with a JSON body (or with bytes as they are)."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return WireResponse(status=200, headers={"content-type": "application/json"}, body=content)


def read(body: object, call: ChatCall | None = None, model: str = PLAIN) -> ChatResult:
    """The result of a whole answer."""
    return TRANSLATOR.from_wire(call or ask(), target(model), respond(body))


Event = tuple[str, dict[str, Any]]


def as_events(body: dict[str, Any], size: int = 3) -> list[Event]:
    """The same message as the API would stream it, in pieces of a few characters."""
    usage = {**body["usage"], "output_tokens": 1}
    start = {**body, "content": [], "stop_reason": None, "stop_details": None, "usage": usage}
    start["usage"].pop("output_tokens_details", None)
    events: list[Event] = [("message_start", {"type": "message_start", "message": start})]
    for index, block in enumerate(body["content"]):
        events.extend(_block_events(index, block, size))
        if index == 0:
            events.append(("ping", {"type": "ping"}))
    delta = {key: body[key] for key in ("stop_reason", "stop_sequence", "stop_details")}
    totals = {key: body["usage"][key] for key in ("input_tokens", "output_tokens", "output_tokens_details")}
    events.append(("message_delta", {"type": "message_delta", "delta": delta, "usage": totals}))
    events.append(("message_stop", {"type": "message_stop"}))
    return events


def _block_events(index: int, block: dict[str, Any], size: int) -> Iterable[Event]:
    empty: dict[str, Any] = {"text": "", "thinking": "", "signature": "", "input": {}}
    start = {key: empty.get(key, value) for key, value in block.items() if key != "citations"}
    yield "content_block_start", {"type": "content_block_start", "index": index, "content_block": start}
    for delta in _deltas(block, size):
        yield "content_block_delta", {"type": "content_block_delta", "index": index, "delta": delta}
    yield "content_block_stop", {"type": "content_block_stop", "index": index}


def _deltas(block: dict[str, Any], size: int) -> Iterable[dict[str, Any]]:
    if block["type"] == "text":
        yield from ({"type": "text_delta", "text": piece} for piece in _pieces(block["text"], size))
        yield from ({"type": "citations_delta", "citation": item} for item in block.get("citations", ()))
    elif block["type"] == "thinking":
        yield from (
            {"type": "thinking_delta", "thinking": piece} for piece in _pieces(block["thinking"], size)
        )
        yield {"type": "signature_delta", "signature": block["signature"]}
    elif block["type"] == "tool_use" and block["input"]:
        yield {"type": "input_json_delta", "partial_json": ""}
        arguments = json.dumps(block["input"])
        yield from ({"type": "input_json_delta", "partial_json": p} for p in _pieces(arguments, size))


def _pieces(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def stream(
    events: Iterable[Event], call: ChatCall | None = None, model: str = PLAIN
) -> tuple[list[ChatEvent], ChatResult]:
    """Decode events, with the padding that the API puts behind its data."""
    decoder = TRANSLATOR.decoder(call or ask(stream=True), target(model))
    heard: list[ChatEvent] = []
    for name, data in events:
        heard += decoder.on_event(name, json.dumps(data).encode() + b"       ")
    return heard, decoder.finish()


def text_of(events: Iterable[ChatEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def reasoning_of(events: Iterable[ChatEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, ReasoningDelta))


def calls_of(events: Iterable[ChatEvent]) -> list[tuple[str | None, str | None, object]]:
    """The tool calls that a reader of the events puts together: id, name, arguments."""
    ids: dict[int, tuple[str | None, str | None]] = {}
    texts: dict[int, str] = {}
    for event in events:
        if isinstance(event, ToolCallDelta):
            ids.setdefault(event.call, (event.id, event.name))
            texts[event.call] = texts.get(event.call, "") + event.arguments
    return [(*ids[call], json.loads(texts[call])) for call in sorted(ids)]
