"""Streams of chat completion chunks: what is told as it comes, and the whole at the end."""

import json
import time
from typing import Any

import pytest

from inferway.errors import ProviderBadAnswer, ProviderFailed, ProviderQuota, ProviderRateLimited
from inferway.providers.openai.answers import LOGPROBS
from inferway.providers.openai.chat import OpenAIChat
from inferway.providers.openai.quirks import COMPATIBLE, Quirks
from inferway.providers.wire import UNREADABLE
from inferway.types import ReasoningDelta, TextDelta, ToolCallDelta
from tests.unit.providers.openai.samples import (
    USAGE,
    WEATHER_CALL,
    ask,
    chunk,
    completion,
    read,
    read_stream,
    target,
    usage_chunk,
)

TEXT = [
    chunk({"role": "assistant", "content": "", "refusal": None}),
    chunk({"content": "Hi "}),
    chunk({"content": "there."}),
    chunk({}, "stop"),
    usage_chunk(),
]


def test_text_comes_as_it_is_made_and_the_end_equals_the_whole_answer() -> None:
    events, result = read_stream(TEXT)
    assert events == [TextDelta(text="Hi "), TextDelta(text="there.")]
    assert result == read(completion())


def call_chunk(index: int | None, **fields: Any) -> dict[str, Any]:
    return chunk({"tool_calls": [({} if index is None else {"index": index}) | fields]})


def test_tool_calls_are_put_together_from_fragments() -> None:
    events, result = read_stream(
        [
            chunk({"role": "assistant", "content": None}),
            call_chunk(0, id="call_1", type="function", function={"name": "weather", "arguments": ""}),
            call_chunk(0, function={"arguments": '{"city"'}),
            call_chunk(1, id="call_2", type="function", function={"name": "now", "arguments": "{}"}),
            call_chunk(0, function={"arguments": ':"Oslo"}'}),
            chunk({}, "tool_calls"),
            usage_chunk(),
        ]
    )
    assert events == [
        ToolCallDelta(call=0, id="call_1", name="weather"),
        ToolCallDelta(call=0, arguments='{"city"'),
        ToolCallDelta(call=1, id="call_2", name="now", arguments="{}"),
        ToolCallDelta(call=0, arguments=':"Oslo"}'),
    ]
    now = {"id": "call_2", "type": "function", "function": {"name": "now", "arguments": "{}"}}
    assert result == read(completion("tool_calls", content=None, tool_calls=[WEATHER_CALL, now]))


@pytest.mark.parametrize("index", [0, None])
def test_servers_that_number_all_calls_alike_are_understood_by_their_ids(index: int | None) -> None:
    _, result = read_stream(
        [
            call_chunk(index, id="a", function={"name": "f", "arguments": "{}"}),
            call_chunk(index, id="b", function={"name": "g", "arguments": {"x": 1}}),
            chunk({}, "stop"),
        ]
    )
    calls = result.completion.tool_calls
    assert [(call.id, call.name, call.arguments) for call in calls] == [("a", "f", {}), ("b", "g", {"x": 1})]


def test_calls_without_ids_or_arguments_get_both_before_the_end() -> None:
    events, result = read_stream(
        [
            call_chunk(0, function={"name": "now", "arguments": ""}),
            call_chunk(1, id=None, function={"name": "weather", "arguments": '{"city":"Oslo"}'}),
            call_chunk(2, id="c2", function={"name": "now"}),
            chunk({}, "tool_calls"),
            usage_chunk(),
        ]
    )
    assert events[3:] == [
        ToolCallDelta(call=0, id="call_0", arguments="{}"),
        ToolCallDelta(call=1, id="call_1"),
        ToolCallDelta(call=2, arguments="{}"),
    ]
    whole = [
        {"type": "function", "function": {"name": "now", "arguments": ""}},
        WEATHER_CALL | {"id": None},
        WEATHER_CALL | {"id": "c2", "function": {"name": "now"} | {"arguments": None}},
    ]
    assert result == read(completion("tool_calls", content=None, tool_calls=whole))
    assert [call.id for call in result.completion.tool_calls] == ["call_0", "call_1", "c2"]


def test_what_has_no_place_in_our_answer_is_told_once_whole_and_streamed() -> None:
    tokens = {"content": [{"token": "Hi", "logprob": -0.1}], "refusal": None}
    cited = [{"type": "url_citation", "url_citation": {"url": "https://a.example"}}]
    whole = completion(annotations=cited * 2)
    whole["choices"][0]["logprobs"] = tokens
    pieces = [chunk({"content": "Hi "}), chunk({"content": "there.", "annotations": cited})]
    for piece in pieces:
        piece["choices"][0]["logprobs"] = tokens
    last = chunk({"annotations": cited}, "stop")
    last["choices"][0]["logprobs"] = {"content": None, "refusal": None}
    _, result = read_stream([*pieces, last, usage_chunk()])
    assert result == read(whole)
    assert result.warnings == (LOGPROBS, "annotations were left out: 2")


@pytest.mark.parametrize("logprobs", [None, {}, {"content": None}, {"content": []}, []])
def test_empty_places_are_no_loss(logprobs: Any) -> None:
    whole = completion(annotations=[])
    whole["choices"][0]["logprobs"] = logprobs
    assert read(whole) == read(completion())


def test_many_tool_calls_cost_no_more_each_than_few() -> None:
    calls = [
        call_chunk(place, id=f"c{place}", function={"name": "f", "arguments": "{}"})
        for place in range(20_000)
    ]
    started = time.process_time()
    _, result = read_stream([*calls, chunk({}, "tool_calls"), usage_chunk()])
    assert time.process_time() - started < 5
    assert [call.id for call in result.completion.tool_calls] == [f"c{place}" for place in range(20_000)]


def test_other_choices_become_alternatives_and_are_not_told_as_they_come() -> None:
    other = {"index": 1, "delta": {"content": "Second"}, "finish_reason": "stop"}
    events, result = read_stream([TEXT[1], chunk(choices=[other]), *TEXT[2:]])
    assert events == [TextDelta(text="Hi "), TextDelta(text="there.")]
    assert [said.text for said in result.completion.alternatives] == ["Second"]


def test_refusals_equal_those_of_whole_answers() -> None:
    pieces = [
        chunk({"role": "assistant", "refusal": "I can't "}),
        chunk({"refusal": "help."}),
        chunk({}, "stop"),
    ]
    events, result = read_stream([*pieces, usage_chunk()])
    assert events == []
    assert result == read(completion(content=None, refusal="I can't help."))


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_is_told_apart(field: str) -> None:
    events, result = read_stream([chunk({field: "Hm."}), *TEXT[1:]])
    assert events[0] == ReasoningDelta(text="Hm.")
    assert result == read(completion(**{field: "Hm."}))


def test_a_wrapped_answer_is_unwrapped_as_it_comes() -> None:
    call = ask(schema={"type": "array"}, stream=True)
    pieces = ['{"val', 'ue": [1', ", 2]", "} "]
    events, result = read_stream([*(chunk({"content": piece}) for piece in pieces), chunk({}, "stop")], call)
    assert events == [TextDelta(text="[1"), TextDelta(text=", 2]")]
    assert result.completion.text == "[1, 2]"


@pytest.mark.parametrize("done", [True, False])
def test_text_that_turns_out_to_be_no_wrapper_is_told_at_the_end(*, done: bool) -> None:
    call = ask(schema={"type": "array"}, stream=True)
    pieces = [chunk({"content": ' {"va'}), chunk({}, "length")]
    events, result = read_stream(pieces, call, Quirks(done_marker=done), done=done)
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == ' {"va'
    assert result.completion.text == ' {"va'


@pytest.mark.parametrize("kept", range(len(TEXT) + 1))
def test_a_stream_without_its_end_marker_is_cut(kept: int) -> None:
    with pytest.raises(ProviderBadAnswer, match="end marker"):
        read_stream(TEXT[:kept], done=False)


def test_a_server_known_to_send_no_marker_has_to_say_why_it_ended() -> None:
    quirks = Quirks(done_marker=False)
    assert read_stream(TEXT, quirks=quirks, done=False)[1] == read(completion())
    with pytest.raises(ProviderBadAnswer, match="why it ended"):
        read_stream(TEXT[:3], quirks=quirks, done=False)


def test_a_marker_without_a_finish_reason_is_no_end() -> None:
    with pytest.raises(ProviderBadAnswer):
        read_stream(TEXT[:3])
    with pytest.raises(ProviderBadAnswer):
        read_stream([])
    with pytest.raises(ProviderBadAnswer):
        read_stream([usage_chunk()])


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "x", "type": "server_error", "code": None}, ProviderFailed),
        ({"message": "x", "type": "requests", "code": "rate_limit_exceeded"}, ProviderRateLimited),
        ({"message": "x", "code": "insufficient_quota"}, ProviderQuota),
        ({"message": "x", "code": 502}, ProviderFailed),
        ({"message": "x", "code": "429"}, ProviderRateLimited),
        ("something", ProviderFailed),
    ],
)
def test_an_error_inside_a_stream_is_that_error(error: object, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        read_stream([TEXT[1], {"error": error}])


def test_an_event_named_error_is_one() -> None:
    decoder_pieces = [TEXT[1], {"error": {"message": "x", "type": "overloaded_error"}, "choices": []}]
    with pytest.raises(ProviderFailed):
        read_stream(decoder_pieces)


def test_pings_of_servers_that_name_their_events_say_nothing() -> None:
    decoder = OpenAIChat("openai", Quirks()).decoder(ask(stream=True), target())
    for piece in TEXT:
        assert decoder.on_event("ping", b'{"type":"ping"}') == []
        decoder.on_event("", json.dumps(piece).encode())
    decoder.on_event("", b"[DONE]")
    assert decoder.finish().completion.text == "Hi there."


@pytest.mark.parametrize(
    "piece",
    [
        {},
        [],
        "x",
        {"id": "x", "usage": None},
        {"choices": None},
        {"choices": [{"index": 0}]},
        {"choices": [{"index": 0, "delta": None}]},
        {"choices": [{"index": 0, "delta": {"content": 5}}]},
        {"choices": [{"index": "0", "delta": {"content": "x"}}]},
        b"{",
        b"<html>",
        b"[" * 100_000,
    ],
)
def test_pieces_that_say_nothing_readable_end_the_stream(piece: object) -> None:
    with pytest.raises((ProviderBadAnswer, *UNREADABLE)):
        read_stream([TEXT[1], piece, *TEXT[3:]])


def test_usage_beside_no_choices_is_read_and_the_last_one_counts() -> None:
    first = chunk({"content": "x"}, usage={"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2})
    _, result = read_stream([first, chunk({}, "stop"), {"usage": USAGE}], quirks=COMPATIBLE)
    assert result.usage.tokens_used() == {
        "prompt": 24, "completion": 9, "total": 33, "reasoning": 4, "cached_prompt": 8, "audio_prompt": 2
    }  # fmt: skip


def test_nothing_counts_after_the_end_marker() -> None:
    _, result = read_stream([*TEXT, b"[DONE]", b"not json", chunk({"content": "more"})])
    assert result.completion.text == "Hi there."


def test_a_call_that_never_gets_a_name_is_refused() -> None:
    with pytest.raises(ProviderBadAnswer, match="names no function"):
        read_stream([call_chunk(0, id="a", function={"arguments": "{}"}), chunk({}, "tool_calls")])
