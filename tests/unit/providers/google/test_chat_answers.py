"""What Google's answers mean, whole and streamed."""

import json
from typing import Any

import msgspec
import pytest

from inferway.errors import ProviderBadAnswer, ProviderFailed, ProviderRateLimited, ProviderRefused
from inferway.types import Adaptation, Message, Reasoning, TextPart, ToolCall
from tests.unit.providers.google.exchanges import (
    DOG,
    TRANSLATOR,
    answer,
    ask,
    calls_of,
    read,
    said,
    sent,
    stream,
    target,
    text_of,
    thoughts_of,
)


def test_text_parts_are_joined_and_thoughts_stand_apart() -> None:
    result = read(
        answer(
            {"text": "Hmm. ", "thought": True},
            {"text": "Well.", "thought": True},
            {"text": "4"},
            {"text": "2"},
        )
    )
    assert result.completion.text == "42"
    assert result.completion.reasoning == (Reasoning(text="Hmm. Well."),)
    assert result.completion.finish_reason == "stop"
    assert result.model == "gemini-3.8-flash-001"


@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        ("STOP", "stop"),
        (1, "stop"),
        ("MAX_TOKENS", "length"),
        (2, "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("LANGUAGE", "content_filter"),
        ("BLOCKLIST", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("SPII", "content_filter"),
        ("IMAGE_SAFETY", "content_filter"),
        ("MODEL_ARMOR", "content_filter"),
    ],
)
def test_a_finish_reason_is_one_of_the_contracts(finish: Any, reason: str) -> None:
    result = read(answer({"text": "So"}, finish=finish))
    assert result.completion.finish_reason == reason
    assert result.warnings == ()


@pytest.mark.parametrize("finish", ["OTHER", 5, "NO_IMAGE", "SOMETHING_NEW", 17])
def test_an_unknown_end_is_a_stop_with_a_warning(finish: Any) -> None:
    result = read(answer({"text": "So"}, finish=finish))
    assert result.completion.finish_reason == "stop"
    assert len(result.warnings) == 1


def test_a_strangers_word_is_not_repeated_as_it_is() -> None:
    (warning,) = read(answer({"text": "So"}, finish="<script>alert(1)</script>")).warnings
    assert "script" not in warning


def test_an_answer_cut_for_continuation_is_cut_and_says_so() -> None:
    result = read(answer({"text": "So"}, finish="CONTINUATION"))
    assert result.completion.finish_reason == "length"
    assert "CONTINUATION" in result.warnings[0]


@pytest.mark.parametrize(
    "finish",
    [
        "MALFORMED_FUNCTION_CALL",
        "MALFORMED_RESPONSE",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        None,
        "",
    ],
)
def test_an_answer_that_failed_or_did_not_end_is_no_answer(finish: Any) -> None:
    with pytest.raises(ProviderBadAnswer):
        read(answer({"text": "So"}, finish=finish))


def test_a_missing_signature_is_the_callers_to_mend() -> None:
    with pytest.raises(ProviderRefused):
        read(answer(finish="MISSING_THOUGHT_SIGNATURE"))


def test_thinking_that_used_up_the_tokens_leaves_a_real_empty_answer() -> None:
    body = {
        "candidates": [{"content": {"role": "model"}, "finishReason": "MAX_TOKENS", "index": 0}],
        "usageMetadata": {"promptTokenCount": 9, "thoughtsTokenCount": 16, "totalTokenCount": 25},
    }
    result = read(body)
    assert (result.completion.text, result.completion.finish_reason) == ("", "length")
    assert result.usage.tokens_used() == {"prompt": 9, "completion": 16, "total": 25, "reasoning": 16}


def test_a_filtered_answer_may_have_no_content() -> None:
    result = read({"candidates": [{"finishReason": "SAFETY", "index": 0}]})
    assert (result.completion.text, result.completion.finish_reason) == ("", "content_filter")


def test_a_blocked_prompt_is_a_completion_that_ended_by_the_filter() -> None:
    body = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 3}}
    for result in (read(body), stream([body])[1]):
        assert (result.completion.text, result.completion.finish_reason) == ("", "content_filter")
        assert result.warnings == ("google blocked the prompt (PROHIBITED_CONTENT)",)
        assert result.usage.input == 3


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"candidates": []},
        {"candidates": None},
        {"promptFeedback": {"blockReason": "BLOCKED_REASON_UNSPECIFIED"}},
        {"candidates": [{"finishReason": "STOP"}]},
        {"candidates": [{"finishReason": "STOP", "content": {"parts": []}}]},
        {"candidates": [{"finishReason": "STOP", "content": {"parts": [{}]}}]},
        {"candidates": [{"finishReason": "STOP", "content": {"parts": [{"text": "x"}]}, "index": 1}]},
        answer({"functionCall": {"name": "f", "partialArgs": [{"jsonPath": "$.a"}]}}),
    ],
)
def test_a_body_that_holds_no_answer_is_a_bad_answer(body: object) -> None:
    with pytest.raises(ProviderBadAnswer):
        read(body)


@pytest.mark.parametrize(
    "body", [b"", b"<html></html>", b'"text"', b"null", b'{"candidates":7}', b"{", b"[7]"]
)
def test_what_is_no_json_of_that_shape_is_a_decoding_error(body: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        read(body)


def test_function_calls_are_tool_calls() -> None:
    result = read(
        answer(
            {"text": "Looking."},
            {"functionCall": {"name": "get_weather", "args": {"city": "Rom"}}},
            {"functionCall": {"id": "x7", "name": "now"}},
        )
    )
    assert result.completion.text == "Looking."
    assert result.completion.finish_reason == "tool_calls"
    assert result.completion.tool_calls == (
        ToolCall(id="call_0", name="get_weather", arguments={"city": "Rom"}),
        ToolCall(id="x7", name="now", arguments={}),
    )


def test_further_candidates_are_alternatives() -> None:
    body = answer({"text": "one"})
    body["candidates"].append(
        {"content": {"parts": [{"text": "two"}]}, "finishReason": "MAX_TOKENS", "index": 1}
    )
    completion = read(body).completion
    assert completion.text == "one"
    assert [(other.text, other.finish_reason) for other in completion.alternatives] == [("two", "length")]


def test_candidates_without_an_index_are_counted() -> None:
    body = {"candidates": [{"content": {"parts": [{"text": t}]}, "finishReason": "STOP"} for t in "ab"]}
    completion = read(body).completion
    assert (completion.text, completion.alternatives[0].text) == ("a", "b")


def test_what_the_answer_has_no_place_for_is_told() -> None:
    body = answer({"text": "See"}, {"inlineData": {"mimeType": "image/png", "data": "AA=="}})
    body["candidates"][0]["groundingMetadata"] = {"webSearchQueries": ["x"]}
    warnings = read(body).warnings
    assert any("inlineData" in warning for warning in warnings)
    assert any("groundingMetadata" in warning for warning in warnings)


def test_an_error_in_a_200_is_that_error() -> None:
    error = {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}
    for body in (error, [error]):
        with pytest.raises(ProviderFailed):
            read(body)


def test_a_stream_gives_deltas_and_ends_like_the_whole_answer() -> None:
    counts = {"promptTokenCount": 4, "candidatesTokenCount": 2, "totalTokenCount": 6}
    chunks = [
        answer({"text": "Hm", "thought": True}, finish=None, usageMetadata={"promptTokenCount": 4}),
        answer({"text": "Hel"}, finish=None),
        answer({"text": "lo"}, {"functionCall": {"name": "now", "args": {"a": 1}}}, finish=None),
        answer({"text": "", "thoughtSignature": "c2ln"}, usageMetadata=counts),
    ]
    events, result = stream(chunks)
    assert text_of(events) == "Hello"
    assert thoughts_of(events) == "Hm"
    (call,) = calls_of(events)
    assert (call.call, call.id, call.name, json.loads(call.arguments)) == (0, "call_0", "now", {"a": 1})
    assert result.completion.finish_reason == "tool_calls"
    assert result.usage.tokens_used() == {"prompt": 4, "completion": 2, "total": 6}
    assert read(chunks) == result


def test_the_array_form_of_a_stream_is_read_in_one_event() -> None:
    chunks = [answer({"text": "a"}, finish=None), answer({"text": "b"})]
    events, result = stream([chunks])
    assert text_of(events) == "ab"
    assert result == stream(chunks)[1]


def test_counts_that_the_last_chunk_lacks_are_kept() -> None:
    last = answer({"text": "b"})
    del last["usageMetadata"]
    _, result = stream([answer({"text": "a"}, finish=None), last])
    assert result.usage.tokens_used() == {"prompt": 7, "completion": 5, "total": 12}


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_stream_without_a_finish_reason_is_cut(count: int) -> None:
    chunks = [answer({"text": "a"}, finish=None)] * count
    with pytest.raises(ProviderBadAnswer):
        stream(chunks)


def test_an_error_in_a_stream_is_classified_by_its_own_code() -> None:
    error = {"error": {"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED"}}
    with pytest.raises(ProviderRateLimited) as caught:
        stream([answer({"text": "a"}, finish=None), error])
    assert caught.value.details == {
        "provider_error": {"status": 429, "type": "RESOURCE_EXHAUSTED", "message": "slow down"}
    }


@pytest.mark.parametrize("data", [b"", b"[DONE]", b"{", b'{"error": 7}'])
def test_an_event_that_cannot_be_read_is_no_answer(data: bytes) -> None:
    decoder = TRANSLATOR.decoder(ask(stream=True), target())
    with pytest.raises((msgspec.MsgspecError, ProviderBadAnswer)):
        decoder.on_event("", data)


def test_a_structured_answer_says_how_it_was_asked_for() -> None:
    text = '{"name": "Rex", "age": 3}'
    completion = read(answer({"text": text}), ask(schema=DOG)).completion
    assert completion.text == text
    assert completion.structured is not None
    assert completion.structured.method == "native"


def test_a_wrapped_answer_is_unwrapped_whole_and_streamed() -> None:
    schema = {"type": "array", "items": {"type": "integer"}}
    chunks = [
        answer({"text": '{"val'}, finish=None),
        answer({"text": 'ue": [1, '}, finish=None),
        answer({"text": "2]}"}, {"text": "", "thoughtSignature": "c2ln"}),
    ]
    events, result = stream(chunks, ask(schema=schema, stream=True))
    assert text_of(events) == result.completion.text == "[1, 2]"
    assert result.completion.reasoning == (Reasoning(signature="google/text@6+0:c2ln"),)
    whole = read(answer({"text": '{"value": [1, 2]}'}), ask(schema=schema))
    assert whole.completion.text == "[1, 2]"


def test_alternatives_are_unwrapped_too() -> None:
    schema = {"type": "array", "items": {"type": "integer"}}
    body = answer({"text": '{"value": [1]}'})
    second = {"content": {"parts": [{"text": '{"value": [2]}'}]}, "finishReason": "STOP", "index": 1}
    body["candidates"].append(second)
    _, streamed = stream([body], ask(schema=schema, stream=True))
    for result in (streamed, read(body, ask(schema=schema))):
        completion = result.completion
        assert (completion.text, completion.alternatives[0].text) == ("[1]", "[2]")
        assert completion.alternatives[0].structured == completion.structured


def test_what_was_held_back_of_no_wrapper_is_streamed_at_the_end() -> None:
    events, result = stream(
        [answer({"text": '{"val'}, finish="MAX_TOKENS")], ask(schema={"type": "array"}, stream=True)
    )
    assert text_of(events) == result.completion.text == '{"val'


SIGNED = (
    [{"text": "Paris", "thoughtSignature": "c2lnMQ=="}],
    [{"text": "Par"}, {"text": "is", "thoughtSignature": "c2lnMQ=="}],
    [{"text": "Paris"}, {"text": "", "thoughtSignature": "c2lnMQ=="}],
    [{"text": "I think", "thought": True, "thoughtSignature": "dA=="}, {"text": "Paris"}],
    [{"text": "I think", "thought": True}, {"text": "Paris", "thoughtSignature": "c2ln"}],
    [{"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "c2ln"}],
    [{"functionCall": {"id": "q1", "name": "f", "args": {}}, "thoughtSignature": "c2ln:with:colons"}],
    [
        {"text": "Both:"},
        {"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "c2ln"},
        {"functionCall": {"name": "g", "args": {"b": [None]}}},
        {"text": "", "thoughtSignature": "ZW5k"},
    ],
    [
        {"text": "One "},
        {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "YQ=="},
        {"text": "two "},
        {"functionCall": {"name": "g", "args": {}}, "thoughtSignature": "Yg=="},
        {"text": "three", "thoughtSignature": "Yw=="},
    ],
    [
        {"text": "a", "thoughtSignature": "MQ=="},
        {"text": "", "thoughtSignature": "Mg=="},
        {"text": "", "thoughtSignature": "Mw=="},
    ],
)


def _as_message(body: dict[str, Any]) -> Message:
    completion = read(body).completion
    return Message(
        role="assistant",
        content=(TextPart(text=completion.text),) if completion.text else (),
        tool_calls=completion.tool_calls,
        reasoning=completion.reasoning,
    )


@pytest.mark.parametrize("parts", SIGNED)
def test_an_answer_put_into_the_history_goes_back_part_by_part(parts: list[dict[str, Any]]) -> None:
    body, told = sent(ask("Hi", _as_message(answer(*parts)), "And then?"))
    assert body["contents"][1] == {"role": "model", "parts": parts}
    assert told == []


@pytest.mark.parametrize("parts", SIGNED)
def test_a_streamed_answer_goes_back_as_well(parts: list[dict[str, Any]]) -> None:
    chunks = [answer(part, finish=None) for part in parts]
    chunks[-1]["candidates"][0]["finishReason"] = "STOP"
    assert stream(chunks)[1].completion == read(answer(*parts)).completion


def test_a_history_that_the_caller_changed_keeps_its_signatures_behind_the_text() -> None:
    message = _as_message(answer({"text": "Paris", "thoughtSignature": "c2ln"}))
    shorter = msgspec.structs.replace(message, content=(TextPart(text="Pa"),))
    body, _ = sent(ask("Hi", shorter, "And then?"))
    assert body["contents"][1]["parts"] == [{"text": "Pa"}, {"text": "", "thoughtSignature": "c2ln"}]


def test_reasoning_of_another_provider_stays_behind_and_is_told() -> None:
    message = said("assistant", "Paris", reasoning=(Reasoning(text="secret", signature="EqQBCkYIBxgC"),))
    call = ask("Hi", message, "And then?")
    body, told = sent(call)
    assert body["contents"][1]["parts"] == [{"text": "Paris"}]
    assert told == [("messages[1].reasoning", "dropped")]
    adaptation: Adaptation = TRANSLATOR.to_wire(call, target()).adaptations[0]
    assert adaptation.lossy


@pytest.mark.parametrize(
    "signature", ["google/", "google/text@1:x", "google/call@x,1:y", "google/thought:", "google/other:x"]
)
def test_a_signature_that_was_tampered_with_does_no_harm(signature: str) -> None:
    body, _ = sent(ask("Hi", said("assistant", "Paris", reasoning=(Reasoning(signature=signature),)), "So?"))
    assert body["contents"][1]["parts"] == [{"text": "Paris"}]


def test_the_counts_so_far_are_those_of_the_last_chunk() -> None:
    decoder = TRANSLATOR.decoder(ask(stream=True), target())
    assert decoder.usage.source == "none"
    for count in (1, 2):
        usage = {"promptTokenCount": 5000, "candidatesTokenCount": count}
        chunk = {"candidates": [{"content": {"parts": [{"text": "a"}]}}], "usageMetadata": usage}
        decoder.on_event("", json.dumps(chunk).encode())
    assert (decoder.usage.input, decoder.usage.output) == (5000, 2)
