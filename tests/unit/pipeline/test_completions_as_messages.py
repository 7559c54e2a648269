"""A completion that was answered can be appended to the messages of the next call as it is."""

import json
from typing import Any

import msgspec
import pytest

from inferway.errors import InvalidShape
from inferway.pipeline.request import read_request
from inferway.types import Completion, Message, Reasoning, Structured, TextPart, ToolCall

FULL = Completion(
    text="let me look",
    finish_reason="tool_calls",
    parsed={"a": [1]},
    tool_calls=(ToolCall(id="c1", name="look", arguments={"x": 1}),),
    reasoning=(Reasoning(text="hm", signature="s"), Reasoning(signature="t")),
    refusal="no",
    structured=Structured(method="native", valid=True),
    alternatives=(Completion(text="b", finish_reason="stop"),),
)


def read(*messages: dict[str, Any]) -> tuple[Message, ...]:
    body = {"provider": "openai", "model": "m", "inputs": {"messages": list(messages)}}
    return read_request(json.dumps(body).encode()).inputs.messages


def test_a_completion_with_a_role_is_an_assistant_message() -> None:
    said = msgspec.json.decode(msgspec.json.encode(FULL))
    (message,) = read({"role": "assistant", **said})
    assert message == Message(
        role="assistant",
        content=(TextPart(text="let me look"),),
        tool_calls=FULL.tool_calls,
        reasoning=FULL.reasoning,
    )


def test_every_field_of_a_completion_is_taken() -> None:
    said = msgspec.json.decode(msgspec.json.encode(FULL))
    assert set(Completion.__struct_fields__) - {"error"} == set(said)


def test_content_counts_before_text_and_nulls_are_absent() -> None:
    (message,) = read(
        {"role": "assistant", "content": "a", "text": "b", "tool_calls": None, "reasoning": None}
    )
    assert message.content == (TextPart(text="a"),)


@pytest.mark.parametrize("name", ["text", "finish_reason", "refusal"])
def test_only_assistants_complete(name: str) -> None:
    with pytest.raises(InvalidShape) as caught:
        read({"role": "user", "content": "a", name: "stop"})
    found = (caught.value.details or {})["validation_errors"]
    assert found[0]["location"] == ["body", "inputs", "messages", 0, name]
