"""Streams of the messages API."""

import json
from typing import Any

import msgspec
import pytest

from inferway.errors import (
    ProviderAuth,
    ProviderBadAnswer,
    ProviderFailed,
    ProviderRateLimited,
    UpstreamError,
)
from inferway.providers.anthropic.structured import TOOL_NAME
from inferway.types import ChatCall, ReasoningDelta, TextDelta, ToolCallDelta
from tests.unit.providers.anthropic.exchanges import (
    DOG,
    FULL,
    OLD,
    PLAIN,
    REDACTED,
    THINKING,
    TRANSLATOR,
    WEATHER,
    Event,
    answer,
    as_events,
    ask,
    calls_of,
    read,
    reasoning_of,
    stream,
    target,
    text_block,
    text_of,
    tool_block,
)

ARRAY = {"type": "array", "items": {"type": "integer"}}
SHORT = answer(text_block("Hello there"))
TWICE = answer(
    text_block("Well:"),
    tool_block(1, TOOL_NAME, age=3),
    tool_block(2, TOOL_NAME, age=4),
    stop_reason="tool_use",
)


@pytest.mark.parametrize(
    ("body", "call", "model"),
    [
        (SHORT, ask(), PLAIN),
        (answer(), ask(), PLAIN),
        (FULL, ask(tools=(WEATHER,)), PLAIN),
        (answer(THINKING, REDACTED, text_block("x"), stop_reason="max_tokens"), ask(), PLAIN),
        (answer(tool_block(1), stop_reason="tool_use"), ask(tools=(WEATHER,)), PLAIN),
        (answer(text_block("No"), stop_reason="refusal", stop_details={"type": "refusal", "explanation": "E"}), ask(), PLAIN),
        (answer({"type": "text", "text": "x", "citations": [{}, {}]}, {"type": "odd"}), ask(), PLAIN),
        (answer(text_block('{"name": "Rex", "age": 3}')), ask(schema=DOG), PLAIN),
        (answer(text_block('{"value": [1, 2] }')), ask(schema=ARRAY), PLAIN),
        (answer(tool_block(1, TOOL_NAME, age=3), stop_reason="tool_use"), ask(schema=DOG), OLD),
        (answer(tool_block(1, TOOL_NAME), stop_reason="tool_use"), ask(schema=DOG), OLD),
        (answer(tool_block(1, TOOL_NAME, value=[1]), stop_reason="tool_use"), ask(schema=ARRAY), OLD),
        (TWICE, ask(schema=DOG), OLD),
        (answer(text_block("I will"), text_block(" not.")), ask(schema=DOG), OLD),
        (answer(text_block("Hm"), tool_block(1, city="Oslo"), stop_reason="tool_use"), ask(schema=DOG, tools=(WEATHER,)), OLD),
    ],
)  # fmt: skip
@pytest.mark.parametrize("size", [1, 4, 100])
def test_a_stream_ends_with_what_the_whole_answer_would_say(
    body: dict[str, Any], call: ChatCall, model: str, size: int
) -> None:
    heard, result = stream(as_events(body, size), call, model)
    whole = read(body, call, model)
    assert result == msgspec.structs.replace(whole, usage=result.usage)
    assert result.usage == msgspec.structs.replace(whole.usage, raw=result.usage.raw)
    assert text_of(heard) == result.completion.text
    assert reasoning_of(heard) == "".join(item.text or "" for item in result.completion.reasoning)
    assert calls_of(heard) == [(c.id, c.name, c.arguments) for c in result.completion.tool_calls]


def test_events_are_told_as_they_come() -> None:
    heard, _ = stream(as_events(FULL, 100))
    assert heard == [
        ReasoningDelta(text="Let me see."),
        TextDelta(text="Checking "),
        TextDelta(text="both."),
        ToolCallDelta(call=0, id="toolu_1", name="get_weather"),
        ToolCallDelta(call=0, arguments='{"city": "Oslo"}'),
        ToolCallDelta(call=1, id="toolu_2", name="get_weather"),
        ToolCallDelta(call=1, arguments='{"city": "Turin"}'),
    ]


def test_figures_of_usage_are_totals_that_later_ones_replace() -> None:
    usage = stream(as_events(SHORT))[1].usage
    assert (usage.input, usage.cached_read, usage.cache_write) == (11, 5, 3)
    assert (usage.output, usage.reasoning, usage.source) == (10, 30, "provider")
    assert json.loads(usage.raw or b"")["cache_creation"] == SHORT["usage"]["cache_creation"]


def test_a_call_without_arguments_is_told_as_an_empty_object() -> None:
    heard, _ = stream(as_events(answer(tool_block(1), stop_reason="tool_use")))
    assert heard == [
        ToolCallDelta(call=0, id="toolu_1", name="get_weather"),
        ToolCallDelta(call=0, arguments="{}"),
    ]


def test_a_call_that_comes_whole_at_its_start_is_understood() -> None:
    events = as_events(answer(tool_block(1), stop_reason="tool_use"))
    events[1][1]["content_block"]["input"] = {"city": "Oslo"}
    heard, result = stream(events)
    assert result.completion.tool_calls[0].arguments == {"city": "Oslo"}
    assert calls_of(heard) == [("toolu_1", "get_weather", {"city": "Oslo"})]


def test_unknown_events_and_pings_are_ignored_also_without_names() -> None:
    events: list[Event] = [("a_new_event", {"type": "a_new_event", "x": 1}), *as_events(SHORT)]
    assert stream(events)[1].completion.text == "Hello there"
    assert stream([("", data) for _, data in events])[1].completion.text == "Hello there"
    assert (
        stream([*events, ("content_block_delta", {"type": "content_block_delta"})])[1].completion.text
        == "Hello there"
    )


def test_an_unknown_kind_of_delta_is_left_out_and_told() -> None:
    events = as_events(SHORT, 100)
    odd = {"type": "content_block_delta", "index": 0, "delta": {"type": "mood_delta", "mood": "fine"}}
    result = stream([*events[:3], ("content_block_delta", odd), *events[3:]])[1]
    assert result.completion.text == "Hello there"
    assert result.warnings == ("content of type mood_delta was left out",)


@pytest.mark.parametrize("kept", range(len(as_events(SHORT))))
def test_a_stream_that_is_cut_off_is_no_answer(kept: int) -> None:
    with pytest.raises(ProviderBadAnswer):
        stream(as_events(SHORT)[:kept])


def _without(kind: str) -> list[Event]:
    return [event for event in as_events(SHORT) if event[0] != kind]


@pytest.mark.parametrize("kind", ["message_start", "content_block_start", "message_delta", "message_stop"])
def test_a_stream_without_what_it_must_have_is_no_answer(kind: str) -> None:
    with pytest.raises(ProviderBadAnswer):
        stream(_without(kind))


def test_events_in_a_wrong_order_are_no_answer() -> None:
    events = as_events(SHORT)
    for wrong in (
        [events[0], *events],
        [*events[:2], events[1], *events[2:]],
        [*events[:-3], events[3], *events[-3:-2], events[3], *events[-2:]],
    ):
        with pytest.raises(ProviderBadAnswer):
            stream(wrong)


def test_a_delta_that_its_block_cannot_hold_is_no_answer() -> None:
    events = as_events(SHORT)
    wrong = {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "x"}}
    with pytest.raises(ProviderBadAnswer):
        stream([*events[:3], ("content_block_delta", wrong), *events[3:]])


def test_a_name_and_a_type_that_differ_are_no_event() -> None:
    events = as_events(SHORT)
    with pytest.raises(ProviderBadAnswer):
        stream([*events[:3], ("content_block_delta", {**events[3][1], "type": "content_block_stop"})])


def test_an_unknown_end_is_no_answer() -> None:
    with pytest.raises(ProviderBadAnswer):
        stream(as_events({**SHORT, "stop_reason": "a_new_reason"}))


def test_a_tool_call_cut_off_by_the_limit_is_left_out() -> None:
    events = as_events(answer(tool_block(1, city="Oslo"), stop_reason="max_tokens"))
    cut = [event for event in events if "o" not in event[1].get("delta", {}).get("partial_json", "")]
    result = stream(cut)[1]
    assert result.completion.tool_calls == ()
    assert result.completion.finish_reason == "length"
    assert "cut off" in result.warnings[0]


def test_a_tool_call_that_is_no_json_is_no_answer() -> None:
    events = as_events(answer(tool_block(1, city="Oslo"), stop_reason="tool_use"))
    cut = [event for event in events if "o" not in event[1].get("delta", {}).get("partial_json", "")]
    with pytest.raises(msgspec.MsgspecError):
        stream(cut)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("overloaded_error", ProviderFailed),
        ("api_error", ProviderFailed),
        ("timeout_error", ProviderFailed),
        ("rate_limit_error", ProviderRateLimited),
        ("authentication_error", ProviderAuth),
        ("a_new_error", ProviderFailed),
    ],
)
def test_an_error_event_is_the_error_that_it_tells(kind: str, error: type[UpstreamError]) -> None:
    event = {"type": "error", "error": {"type": kind, "message": "Overloaded"}, "request_id": "req_1"}
    with pytest.raises(error) as caught:
        stream([*as_events(SHORT)[:4], ("error", event)])
    assert caught.value.details is not None
    assert caught.value.details["provider_error"]["type"] == kind
    assert caught.value.details["provider_error"]["request_id"] == "req_1"


@pytest.mark.parametrize(
    "data", [b"", b"nonsense", b"[]", b"7", b'{"type":7}', b"[" * 5000, b'{"type":"message_start"}']
)
def test_data_that_cannot_be_read_ends_the_stream(data: bytes) -> None:
    decoder = TRANSLATOR.decoder(ask(stream=True), target())
    with pytest.raises((UpstreamError, msgspec.MsgspecError, RecursionError)):
        decoder.on_event("message_start", data)


def test_the_tokens_of_the_prompt_are_known_from_the_beginning() -> None:
    decoder = TRANSLATOR.decoder(ask(stream=True), target())
    assert decoder.usage.source == "none"
    message = {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": [],
        "usage": {"input_tokens": 5000, "cache_read_input_tokens": 70, "output_tokens": 1},
    }
    decoder.on_event("message_start", json.dumps({"type": "message_start", "message": message}).encode())
    assert (decoder.usage.input, decoder.usage.cached_read, decoder.usage.output) == (5000, 70, 1)
