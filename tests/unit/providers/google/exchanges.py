"""Exchanges with Google's wires, written from its documentation, and short ways to make calls and read requests."""

import json
from collections.abc import Iterable
from typing import Any

from inferway.providers.base import Target, Translated, WireResponse
from inferway.providers.facts import load_facts
from inferway.providers.google.chat import GoogleChatTranslator
from inferway.types import (
    ChatCall,
    ChatEvent,
    ChatResult,
    Media,
    MediaKind,
    MediaPart,
    Message,
    Parameters,
    ReasoningDelta,
    TextDelta,
    TextPart,
    Tool,
    ToolCallDelta,
)

FLASH = "gemini-3.8-flash"
OLD = "gemini-2.5-flash"
TRANSLATOR = GoogleChatTranslator()
_FACTS = load_facts("inferway.providers.google")
_VERTEX = {"project": "acme", "location": "europe-west4"}

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
PIXEL = Media(kind=MediaKind.IMAGE, base64="iVBORw0KGgo=", mime="image/png")


def target(model: str = FLASH, **fields: Any) -> Target:
    """A model at Google with the facts that are shipped."""
    facts = {**_FACTS.facts(model), **fields.pop("facts", {})}
    return Target(provider="google", model=model, facts=facts, **fields)


def on_vertex(model: str, **options: Any) -> Target:
    """A model at Vertex AI."""
    return target(model, options={**_VERTEX, "use_vertex": True, **options})


def said(role: Any, text: str, **fields: Any) -> Message:
    """A message of one text."""
    return Message(role=role, content=(TextPart(text=text),), **fields)


def seen(*media: Media, text: str = "Look") -> Message:
    """A user's message with media behind a text."""
    return Message(role="user", content=(TextPart(text=text), *(MediaPart(media=item) for item in media)))


def ask(*messages: Message | str, stream: bool = False, **parameters: Any) -> ChatCall:
    """A call; a string is a user message."""
    given = tuple(said("user", m) if isinstance(m, str) else m for m in messages or ("Hello",))
    return ChatCall(messages=given, parameters=Parameters(**parameters), stream=stream)


def sent(call: ChatCall, model: str = FLASH, **fields: Any) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """The body that would leave for a call, and what is told, as (field, action)."""
    return opened(TRANSLATOR.to_wire(call, target(model, **fields)))


def opened(translated: Translated) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """A translated request's body, and what is told."""
    told: list[tuple[str, str]] = [(item.field, item.action) for item in translated.adaptations]
    body: dict[str, Any] = json.loads(translated.request.body)
    return body, told


def answer(*parts: dict[str, Any], finish: Any = "STOP", **fields: Any) -> dict[str, Any]:
    """A whole answer of one candidate."""
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    if finish is not None:
        candidate["finishReason"] = finish
    counts = {"promptTokenCount": 7, "candidatesTokenCount": 5, "totalTokenCount": 12}
    whole = {"candidates": [candidate], "usageMetadata": counts, "modelVersion": "gemini-3.8-flash-001"}
    return {**whole, **fields}


def response(body: object, status: int = 200, **headers: str) -> WireResponse:
    """An HTTP answer."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return WireResponse(status=status, headers=headers, body=data)


def read(body: object, call: ChatCall | None = None, model: str = FLASH) -> ChatResult:
    """What an answer means."""
    return TRANSLATOR.from_wire(call or ask(), target(model), response(body))


def stream(
    chunks: Iterable[object], call: ChatCall | None = None, model: str = FLASH
) -> tuple[list[ChatEvent], ChatResult]:
    """The events and the result of a stream of chunks."""
    decoder = TRANSLATOR.decoder(call or ask(stream=True), target(model))
    events = [event for chunk in chunks for event in decoder.on_event("", json.dumps(chunk).encode())]
    return events, decoder.finish()


def text_of(events: Iterable[ChatEvent]) -> str:
    """The text that a stream carried."""
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def thoughts_of(events: Iterable[ChatEvent]) -> str:
    """The reasoning that a stream carried."""
    return "".join(event.text for event in events if isinstance(event, ReasoningDelta))


def calls_of(events: Iterable[ChatEvent]) -> list[ToolCallDelta]:
    """The fragments of tool calls that a stream carried."""
    return [event for event in events if isinstance(event, ToolCallDelta)]
