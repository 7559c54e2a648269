"""What whole chat completions become, and what is no answer."""

from typing import Any

import pytest

from inferway.errors import ProviderBadAnswer, ProviderFailed, ProviderRateLimited
from inferway.providers.openai import chat
from inferway.providers.wire import UNREADABLE
from inferway.types import Reasoning, ToolCall
from tests.unit.providers.openai.samples import WEATHER_CALL, ask, completion, read

REFUSED = (ProviderBadAnswer, *UNREADABLE)


def test_text_usage_and_the_model_that_ran() -> None:
    result = read(completion())
    assert (result.completion.text, result.completion.finish_reason) == ("Hi there.", "stop")
    assert result.model == "gpt-5.4-mini-2026-03-05"
    usage = result.usage
    assert (usage.input, usage.cached_read, usage.audio_input, usage.output, usage.reasoning) == (
        14,
        8,
        2,
        5,
        4,
    )
    assert usage.source == "provider"
    assert result.warnings == ()


def test_a_refusal_is_content_filter_with_its_words_beside_an_empty_text() -> None:
    said = read(completion(content=None, refusal="I can't help with that.")).completion
    assert (said.text, said.finish_reason, said.refusal) == ("", "content_filter", "I can't help with that.")


def test_tool_calls_are_objects_and_end_a_turn() -> None:
    said = read(completion("stop", content=None, tool_calls=[WEATHER_CALL])).completion
    assert said.tool_calls == (ToolCall(id="call_1", name="weather", arguments={"city": "Oslo"}),)
    assert (said.text, said.finish_reason) == ("", "tool_calls")


@pytest.mark.parametrize("given", [{}, {"id": None}, {"id": ""}])
def test_a_call_without_an_id_gets_one_by_which_it_can_be_answered(given: dict[str, Any]) -> None:
    call = {"type": "function", "function": WEATHER_CALL["function"]} | given
    named = WEATHER_CALL | {"id": "a"}
    said = read(completion("tool_calls", content=None, tool_calls=[named, call])).completion
    assert [each.id for each in said.tool_calls] == ["a", "call_1"]
    older = completion("function_call", content=None, function_call=WEATHER_CALL["function"])
    assert [each.id for each in read(older).completion.tool_calls] == ["call_0"]


@pytest.mark.parametrize("arguments", ["", " ", None, {}, "{}"])
def test_no_arguments_are_an_empty_object(arguments: Any) -> None:
    call = WEATHER_CALL | {"function": {"name": "now", "arguments": arguments}}
    assert (
        read(completion("tool_calls", content=None, tool_calls=[call])).completion.tool_calls[0].arguments
        == {}
    )


@pytest.mark.parametrize("arguments", ["{", "[1]", "null", '"x"', "nonsense", "[" * 5000])
def test_arguments_that_are_no_object_make_a_bad_answer(arguments: str) -> None:
    call = WEATHER_CALL | {"function": {"name": "now", "arguments": arguments}}
    with pytest.raises(ProviderBadAnswer, match="not a JSON object"):
        read(completion("tool_calls", content=None, tool_calls=[call]))


def test_a_tool_call_cut_by_the_token_limit_is_left_out_and_told() -> None:
    call = WEATHER_CALL | {"function": {"name": "now", "arguments": '{"a":'}}
    result = read(completion("length", content=None, tool_calls=[call]))
    assert (result.completion.tool_calls, result.completion.finish_reason) == ((), "length")
    assert result.warnings == ("a tool call was cut by the token limit and is left out",)


def test_other_choices_are_alternatives_in_order_of_their_index() -> None:
    body = completion()
    second = {"index": 1, "message": {"role": "assistant", "content": "Second"}, "finish_reason": "length"}
    body["choices"] = [second, body["choices"][0]]
    said = read(body).completion
    assert said.text == "Hi there."
    assert [(other.text, other.finish_reason) for other in said.alternatives] == [("Second", "length")]


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_of_compatible_servers_is_kept_apart(field: str) -> None:
    assert read(completion(**{field: "Let me think."})).completion.reasoning == (
        Reasoning(text="Let me think."),
    )


def test_content_as_a_list_is_read_with_its_thinking() -> None:
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
        {"type": "text", "text": "Yes"},
        {"type": "text", "text": "."},
    ]
    said = read(completion(content=parts)).completion
    assert (said.text, said.reasoning) == ("Yes.", (Reasoning(text="Hm."),))
    with pytest.raises(ProviderBadAnswer):
        read(completion(content=[{"type": "mystery"}]))


def test_spoken_output_is_told_and_its_transcript_is_the_text() -> None:
    result = read(completion(content=None, audio={"id": "a", "data": "AAAA", "transcript": "Hello"}))
    assert result.completion.text == "Hello"
    assert len(result.warnings) == 1


def test_the_previews_of_2023_say_in_finish_details_why_they_ended() -> None:
    body = completion()
    del body["choices"][0]["finish_reason"]
    body["choices"][0]["finish_details"] = {"type": "max_tokens"}
    assert read(body).completion.finish_reason == "length"


def test_an_unknown_finish_reason_is_null_and_told() -> None:
    result = read(completion("tired"))
    assert result.completion.finish_reason is None
    assert result.completion.text == "Hi there."
    assert "'tired'" in result.warnings[0]


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        "text",
        None,
        {"choices": []},
        {"choices": None},
        {"choices": [{}]},
        completion(None),
        completion(""),
        completion(content=None),
        completion(content=5),
        completion(content={}),
        completion("tool_calls", content=None),
        completion("tool_calls"),
        completion("tool_calls", content=None, tool_calls=[{"id": "x", "type": "custom"}]),
        completion("tool_calls", content=None, tool_calls=[{"type": "function"}]),
        b"",
        b"<html>oops</html>",
        b'{"choices": [',
        b"\xff\xfe",
        b'{"choices":' + b"[" * 100_000,
    ],
)
def test_what_is_no_answer_is_refused(body: object) -> None:
    with pytest.raises(REFUSED):
        read(body)


@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_no_content_is_an_empty_text_when_the_end_explains_it(finish: str) -> None:
    assert read(completion(finish, content=None)).completion.text == ""


def test_an_empty_text_is_what_the_model_said() -> None:
    assert read(completion(content="")).completion.text == ""


def test_an_error_inside_a_200_is_that_error() -> None:
    with pytest.raises(ProviderRateLimited):
        read({"error": {"message": "slow down", "code": 429}})
    with pytest.raises(ProviderFailed):
        read({"error": {"message": "boom", "type": "server_error"}})


def test_no_tokens_at_all_are_nobody_counted() -> None:
    body = completion()
    body["usage"] = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    assert read(body).usage.tokens_used() is None


def test_a_missing_usage_is_nobody_counted() -> None:
    body = completion()
    del body["usage"]
    assert read(body).usage.tokens_used() is None


def test_structured_answers_are_marked_for_checking() -> None:
    said = read(completion(content='{"a":1}'), ask(schema={"type": "object", "properties": {}})).completion
    assert said.structured is not None
    assert (said.structured.method, said.structured.valid, said.structured.repairs) == ("native", False, 0)


def test_a_wrapped_answer_is_unwrapped() -> None:
    said = read(completion(content='{"value": [1, 2]}'), ask(schema={"type": "array"})).completion
    assert said.text == "[1, 2]"


@pytest.mark.parametrize(
    "answer",
    [
        completion(),
        completion(content=""),
        completion("length"),
        completion("eos"),
        completion(refusal=""),
        completion(refusal="No."),
        completion(tool_calls=[]),
        completion(tool_calls=[WEATHER_CALL]),
        completion(reasoning_content="Hm."),
        completion(reasoning=""),
        completion(reasoning={"no": "text"}),
        completion(content=[{"type": "text", "text": "parts"}]),
    ],
)
def test_a_plain_answer_means_the_same_by_the_short_way(
    answer: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    short = read(answer)
    monkeypatch.setattr(chat, "find_plain_result", lambda _: None)
    assert read(answer) == short
