"""Exchanges in the shapes of OpenAI's API, written by hand, and short ways to run a translator over them."""

import json
from collections.abc import Mapping
from typing import Any

from inferway.providers.base import Target, WireResponse
from inferway.providers.facts import load_facts
from inferway.providers.openai.chat import OpenAIChat
from inferway.providers.openai.quirks import Quirks
from inferway.types import ChatCall, ChatEvent, ChatResult, Message, Parameters, TextPart

FACTS = load_facts("inferway.providers.openai")
USAGE = {
    "prompt_tokens": 24,
    "completion_tokens": 9,
    "total_tokens": 33,
    "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": 2},
    "completion_tokens_details": {"reasoning_tokens": 4},
}
WEATHER_CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city":"Oslo"}'},
}


def target(model: str = "gpt-5.4-mini", facts: Mapping[str, Any] | None = None, **fields: Any) -> Target:
    """A target with the facts that are shipped, and some more."""
    known = {**FACTS.facts(model), **(facts or {})}
    return Target(provider="openai", model=model, facts=known, **fields)


def response(body: object, status: int = 200, **headers: str) -> WireResponse:
    """An answer; `body` is JSON, or bytes as they are."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return WireResponse(status=status, headers={"content-type": "application/json", **named}, body=content)


def user(text: str) -> Message:
    return Message(role="user", content=(TextPart(text=text),))


def ask(*messages: Message, stream: bool = False, **parameters: Any) -> ChatCall:
    """A chat call; without messages it says hello."""
    return ChatCall(messages=messages or (user("Hello"),), parameters=Parameters(**parameters), stream=stream)


def completion(finish: str | None = "stop", **message: Any) -> dict[str, Any]:
    """A whole chat completion with one choice."""
    said = {"role": "assistant", "content": "Hi there.", "refusal": None, **message}
    choice = {"index": 0, "message": said, "logprobs": None, "finish_reason": finish}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-5.4-mini-2026-03-05",
        "choices": [choice],
        "usage": USAGE,
    }


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    """A piece of a stream with one choice."""
    choice = {"index": 0, "delta": delta or {}, "logprobs": None, "finish_reason": finish}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "model": "gpt-5.4-mini-2026-03-05",
        "choices": [choice],
        "usage": None,
        "obfuscation": "x9",
        **fields,
    }


def usage_chunk() -> dict[str, Any]:
    """The piece with an empty list of choices that carries the usage."""
    return chunk(choices=[], usage=USAGE)


def sent(call: ChatCall, to: Target | None = None, quirks: Quirks | None = None) -> dict[str, Any]:
    """The body that leaves."""
    translated = OpenAIChat("openai", quirks or Quirks()).to_wire(call, to or target())
    body: dict[str, Any] = json.loads(translated.request.body)
    return body


def told(call: ChatCall, to: Target | None = None, quirks: Quirks | None = None) -> dict[str, str]:
    """What is told to the caller: field → action."""
    translated = OpenAIChat("openai", quirks or Quirks()).to_wire(call, to or target())
    return {adaptation.field: adaptation.action for adaptation in translated.adaptations}


def read(body: object, call: ChatCall | None = None, quirks: Quirks | None = None) -> ChatResult:
    """A whole answer read."""
    return OpenAIChat("openai", quirks or Quirks()).from_wire(call or ask(), target(), response(body))


def read_stream(
    pieces: list[Any], call: ChatCall | None = None, quirks: Quirks | None = None, *, done: bool = True
) -> tuple[list[ChatEvent], ChatResult]:
    """The events and the result of a stream; pieces are JSON, or bytes as they are."""
    decoder = OpenAIChat("openai", quirks or Quirks()).decoder(call or ask(stream=True), target())
    data = [piece if isinstance(piece, bytes) else json.dumps(piece).encode() for piece in pieces]
    events = [
        event for piece in (*data, *([b"[DONE]"] if done else [])) for event in decoder.on_event("", piece)
    ]
    return events, decoder.finish()
