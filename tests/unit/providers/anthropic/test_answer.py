"""Whole answers of the messages API."""

import json
from typing import Any

import msgspec
import pytest

from inferway.errors import ProviderBadAnswer
from inferway.providers.anthropic.blocks import REDACTED
from inferway.providers.anthropic.structured import TOOL_NAME
from inferway.types import Completion, Reasoning, Structured, ToolCall, Usage
from tests.unit.providers.anthropic.exchanges import (
    DOG,
    FULL,
    OLD,
    THINKING,
    WEATHER,
    answer,
    ask,
    read,
    text_block,
    tool_block,
)

ARRAY = {"type": "array", "items": {"type": "integer"}}
USAGE = answer()["usage"]


def test_every_kind_of_block_finds_its_place() -> None:
    result = read(FULL)
    assert result.completion == Completion(
        text="Checking both.",
        finish_reason="tool_calls",
        tool_calls=(
            ToolCall(id="toolu_1", name="get_weather", arguments={"city": "Oslo"}),
            ToolCall(id="toolu_2", name="get_weather", arguments={"city": "Turin"}),
        ),
        reasoning=(
            Reasoning(text="Let me see.", signature="c2lnbmVk"),
            Reasoning(signature=f"{REDACTED}b3BhcXVl"),
        ),
    )
    assert result.model == "claude-haiku-4-5-20251001"
    assert result.warnings == ()


def test_usage_is_disjoint_and_adds_up() -> None:
    usage = read(FULL).usage
    assert usage == Usage(
        input=11,
        cached_read=5,
        cache_write=3,
        output=10,
        reasoning=30,
        source="provider",
        raw=msgspec.json.encode(USAGE),
    )
    assert usage.tokens_used() == {
        "prompt": 19,
        "completion": 40,
        "total": 59,
        "reasoning": 30,
        "cached_prompt": 5,
        "cache_write": 3,
    }


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
    ],
)
def test_each_stop_reason_is_one_of_ours(reason: str, finish: str) -> None:
    completion = read(answer(text_block("x"), stop_reason=reason)).completion
    assert (completion.text, completion.finish_reason, completion.refusal) == ("x", finish, None)


def test_a_paused_turn_is_an_unfinished_answer_and_told() -> None:
    result = read(answer(text_block("x"), stop_reason="pause_turn"))
    assert result.completion.finish_reason == "length"
    assert "paused" in result.warnings[0]


def test_a_refusal_says_why() -> None:
    details = {"type": "refusal", "category": "cyber", "explanation": "Not this."}
    assert read(answer(stop_reason="refusal", stop_details=details)).completion.refusal == "Not this."
    bare = {"type": "refusal", "category": "cyber", "explanation": None}
    assert read(answer(stop_reason="refusal", stop_details=bare)).completion.refusal == "declined: cyber"


def test_an_empty_answer_is_an_answer() -> None:
    completion = read(answer()).completion
    assert (completion.text, completion.finish_reason) == ("", "stop")


def test_thinking_that_is_not_shown_keeps_its_signature() -> None:
    block = {"type": "thinking", "thinking": "", "signature": "s"}
    assert read(answer(block)).completion.reasoning == (Reasoning(signature="s"),)


def test_thinking_within_an_answer_is_kept_and_its_lost_place_is_told() -> None:
    result = read(answer(text_block("One."), THINKING, text_block("Two.")))
    assert result.completion.text == "One.Two."
    assert len(result.completion.reasoning) == 1
    assert "thought again" in result.warnings[0]


def test_content_without_a_place_is_left_out_and_told() -> None:
    result = read(
        answer(
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
            {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
            {"type": "web_search_tool_result", "tool_use_id": "t", "content": []},
            {"type": "text", "text": "Found.", "citations": [{"type": "char_location"}, {"type": "x"}]},
        )
    )
    assert result.completion.text == "Found."
    assert result.warnings == (
        "citations were left out: 2",
        "content of type server_tool_use was left out",
        "content of type web_search_tool_result was left out",
    )


def test_a_tool_call_that_was_cut_off_is_not_passed_on() -> None:
    result = read(answer(tool_block(1, city="Oslo"), tool_block(2), stop_reason="max_tokens"))
    assert [call.id for call in result.completion.tool_calls] == ["toolu_1"]
    assert result.completion.finish_reason == "length"
    assert "cut off" in result.warnings[0]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"<html><body>busy</body></html>",
        b'{"type":"message"',
        b'{"type":"error","error":{"type":"api_error","message":"x"}}',
        json.dumps(answer(stop_reason=None)).encode(),
        json.dumps(answer(stop_reason="a_new_reason")).encode(),
        json.dumps(answer(text_block("x"), stop_reason="tool_use")).encode(),
        json.dumps({**answer(), "type": "completion"}).encode(),
        json.dumps({**answer(), "content": None}).encode(),
        json.dumps(answer({"type": "text"})).encode(),
        json.dumps(answer({"text": "x"})).encode(),
        json.dumps(answer({"type": "text", "text": None})).encode(),
        json.dumps(answer({"type": "tool_use", "id": "a", "name": "f"})).encode(),
        json.dumps(answer({"type": "tool_use", "id": "a", "name": "f", "input": [1]})).encode(),
    ],
)
def test_what_is_no_answer_is_not_taken_for_one(body: bytes) -> None:
    with pytest.raises((ProviderBadAnswer, msgspec.MsgspecError)):
        read(body)


# Usage that cannot be right.


@pytest.mark.parametrize(
    "usage",
    [
        None,
        "many",
        [],
        7,
        {},
        {"input_tokens": 0, "output_tokens": 0},
        {"input_tokens": "9", "output_tokens": None},
    ],
)
def test_without_usable_counts_nobody_counted(usage: object) -> None:
    result = read(answer(text_block("x"), usage=usage))
    assert result.completion.text == "x"
    assert result.usage.source == "none"
    assert result.usage.tokens_used() is None


@pytest.mark.parametrize(
    ("changes", "total"),
    [
        ({"input_tokens": -4}, 48),
        ({"input_tokens": None}, 48),
        ({"output_tokens": "40"}, 19),
        ({"output_tokens": 10**30}, 19),
        ({"output_tokens": True}, 19),
        ({"cache_read_input_tokens": 1.5}, 54),
        ({"cache_read_input_tokens": {}}, 54),
        ({"output_tokens_details": "x"}, 59),
        ({"output_tokens_details": {"thinking_tokens": 41}}, 59),
        ({"output_tokens_details": {"thinking_tokens": -1}}, 59),
        ({"input_tokens": 0, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}, 40),
    ],
)
def test_a_wrong_count_is_left_out_and_the_rest_marked(changes: dict[str, Any], total: int) -> None:
    usage = read(answer(text_block("x"), usage={**USAGE, **changes})).usage
    assert usage.source == "estimated"
    tokens = usage.tokens_used()
    assert tokens is not None
    assert tokens["total"] == total
    assert min(usage.input, usage.cached_read, usage.cache_write, usage.output, usage.reasoning) >= 0


# Structured output.


def test_a_native_answer_says_its_method_and_is_not_judged_here() -> None:
    completion = read(answer(text_block('{"name":"Rex","age":3}')), ask(schema=DOG)).completion
    assert completion.text == '{"name":"Rex","age":3}'
    assert completion.structured == Structured(method="native", valid=False)


def test_a_wrapped_answer_is_unwrapped() -> None:
    completion = read(answer(text_block('{"value": [1, 2]}')), ask(schema=ARRAY)).completion
    assert completion.text == "[1, 2]"


def test_the_input_of_the_answering_tool_is_the_answer() -> None:
    body = answer(tool_block(1, TOOL_NAME, name_="x"), stop_reason="tool_use")
    body["content"][0]["input"] = {"name": "Rex", "age": 3}
    result = read(body, ask(schema=DOG), OLD)
    assert json.loads(result.completion.text) == {"name": "Rex", "age": 3}
    assert result.completion.finish_reason == "stop"
    assert result.completion.tool_calls == ()
    assert result.completion.structured == Structured(method="tool", valid=False)
    assert result.warnings == ()


def test_a_wrapped_answer_of_the_tool_is_unwrapped() -> None:
    body = answer(tool_block(1, TOOL_NAME, value=[1, 2]), stop_reason="tool_use")
    assert json.loads(read(body, ask(schema=ARRAY), OLD).completion.text) == [1, 2]


def test_text_beside_the_answering_tool_is_left_out_and_told() -> None:
    body = answer(
        text_block("Here it is:"),
        tool_block(1, TOOL_NAME, age=1),
        tool_block(2, TOOL_NAME),
        stop_reason="tool_use",
    )
    result = read(body, ask(schema=DOG), OLD)
    assert json.loads(result.completion.text) == {"age": 1}
    assert len(result.warnings) == 2


def test_another_tool_than_the_answering_one_is_a_tool_call() -> None:
    body = answer(text_block("Looking."), tool_block(1, city="Oslo"), stop_reason="tool_use")
    completion = read(body, ask(schema=DOG, tools=(WEATHER,)), OLD).completion
    assert completion.text == "Looking."
    assert completion.finish_reason == "tool_calls"
    assert [call.name for call in completion.tool_calls] == ["get_weather"]


def test_text_instead_of_the_answering_tool_is_the_answer() -> None:
    completion = read(answer(text_block("No."), stop_reason="refusal"), ask(schema=DOG), OLD).completion
    assert (completion.text, completion.finish_reason) == ("No.", "content_filter")


def test_an_answer_to_an_instruction_is_its_text() -> None:
    call = ask(schema=DOG, tools=(WEATHER,), tool_choice="none")
    completion = read(answer(text_block("{}")), call, OLD).completion
    assert completion.structured == Structured(method="prompt", valid=False)
