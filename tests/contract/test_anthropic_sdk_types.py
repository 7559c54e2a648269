"""The types of Anthropic's official SDK read what we send, and read our sample answers as we do."""

import base64
import json
from functools import cache
from typing import Any

import pytest
from anthropic.types import Message as SdkMessage
from anthropic.types import RawMessageStreamEvent
from anthropic.types.message_create_params import (
    MessageCreateParamsNonStreaming,
    MessageCreateParamsStreaming,
)
from pydantic import TypeAdapter

from inferway.providers.anthropic.blocks import REDACTED
from inferway.types import (
    ChatCall,
    Media,
    MediaKind,
    MediaPart,
    Message,
    NamedTool,
    Reasoning,
    TextPart,
    ToolCall,
)
from tests.unit.providers.anthropic.exchanges import (
    DOG,
    FULL,
    NEW,
    OLD,
    PLAIN,
    WEATHER,
    as_events,
    ask,
    said,
    sent,
)

SAMPLING = ("temperature", "top_p", "top_k")
"""Fields that the API takes from older models and that the SDK's types no longer have."""

PICTURE = MediaPart(media=Media(kind=MediaKind.IMAGE, base64="iVBORw0KGgo=", mime="image/png"))
PDF = MediaPart(media=Media(kind=MediaKind.DOCUMENT, data=b"%PDF-1.7", mime="application/pdf"))
NOTE = MediaPart(media=Media(kind=MediaKind.DOCUMENT, data=b"Note", mime="text/plain"))
LINK = MediaPart(media=Media(kind=MediaKind.IMAGE, url="https://a.example/x.png"))
CALLED = ToolCall(id="toolu_1", name="get_weather", arguments={"city": "Oslo"})
THOUGHT = (Reasoning(text="Hm.", signature="s"), Reasoning(signature=f"{REDACTED}x"))

CALLS: list[tuple[ChatCall, str]] = [
    (ask(said("system", "Be brief."), "Hello", temperature=0.5, stop=("END",), max_tokens=9), PLAIN),
    (ask("One", said("assistant", "Two"), "Three", said("system", "Four")), NEW),
    (ask(Message(role="user", content=(TextPart(text="What?"), PICTURE, PDF, NOTE, LINK))), PLAIN),
    (
        ask(
            "Weather?",
            said("assistant", "Looking.", tool_calls=(CALLED,), reasoning=THOUGHT),
            Message(role="tool", tool_call_id="toolu_1", content=(TextPart(text="4"), PICTURE)),
            "So?",
            tools=(WEATHER,),
            tool_choice="auto",
        ),
        PLAIN,
    ),
    *[
        (ask(tools=(WEATHER,), tool_choice=choice), PLAIN)
        for choice in ("auto", "none", "required", NamedTool(name="get_weather"))
    ],
    *[
        (ask(reasoning_effort=effort), PLAIN)
        for effort in ("none", "minimal", "low", "medium", "high", "max")
    ],
    *[
        (ask(reasoning_effort=effort), NEW)
        for effort in ("none", "minimal", "low", "medium", "high", "xhigh", "max")
    ],
    (ask(reasoning_effort="none"), "claude-sonnet-5-5"),
    (ask(schema=DOG, reasoning_effort="low"), NEW),
    (ask(schema=DOG), OLD),
    (ask(schema={"type": "object"}), PLAIN),
    (ask(schema=DOG, tools=(WEATHER,), tool_choice="none"), OLD),
    (
        ask(extra={"metadata": {"user_id": "u"}, "service_tier": "auto", "thinking": {"type": "disabled"}}),
        PLAIN,
    ),
]


@cache
def _adapter(params: Any) -> TypeAdapter[Any]:
    """Slow to make, and it has to outlive the lazy sequences that it makes."""
    return TypeAdapter(params)


def _validate(params: Any, body: dict[str, Any]) -> Any:
    return _consumed(_adapter(params).validate_python(body))


def _consumed(value: Any) -> Any:
    """The value with lazy sequences read, so that everything inside them is validated."""
    if isinstance(value, dict):
        return {key: _consumed(inner) for key, inner in value.items()}
    return value if isinstance(value, str | int | float | None) else [_consumed(inner) for inner in value]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("call", "model"), CALLS)
def test_the_sdk_reads_what_we_send(call: ChatCall, model: str, *, stream: bool) -> None:
    made = ChatCall(messages=call.messages, parameters=call.parameters, stream=stream)
    body, _ = sent(made, model, pass_media_urls=True)
    params = MessageCreateParamsStreaming if stream else MessageCreateParamsNonStreaming
    known = {name: value for name, value in body.items() if name not in SAMPLING}
    parsed = _validate(params, known)
    assert json.loads(json.dumps(parsed)) == known


def test_the_sdk_refuses_what_is_wrong() -> None:
    body, _ = sent(ask(tools=(WEATHER,)))
    wrongs: list[dict[str, Any]] = [
        {"max_tokens": "many"},
        {"messages": [{"role": "robot", "content": "x"}]},
        {"tools": [{}]},
    ]
    for wrong in wrongs:
        with pytest.raises(ValueError, match="validation error"):
            _validate(MessageCreateParamsNonStreaming, {**body, **wrong})


def test_the_sdk_reads_our_sample_answers() -> None:
    message = SdkMessage.model_validate(FULL)
    assert [block.type for block in message.content] == [block["type"] for block in FULL["content"]]
    events = _adapter(RawMessageStreamEvent)
    for name, data in as_events(FULL):
        if name != "ping":
            assert events.validate_python(data).type == name


def test_the_sample_picture_is_base64() -> None:
    assert base64.b64decode(PICTURE.media.as_base64()).startswith(b"\x89PNG")
