"""The replay's own comparison notices what is lost, added and changed, and lets pass only what its table says."""

from typing import Any

import pytest

from tests.recordings.book import Recording, Request, Response
from tests.recordings.calls_google import canonical
from tests.recordings.differences import unexplained
from tests.recordings.schemas import means_the_same


def _recording(provider: str, body: Any, *, kind: str = "chat") -> Recording:
    request = Request(method="POST", url="https://api.example/v1/chat/completions", headers={}, body=body)
    response = Response(status=200, headers={}, body_type="json", body={})
    return Recording(name="made", provider=provider, kind=kind, request=request, response=response)


_CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5, "stop": "x"}
_CHAT_SENT = {
    "model": "m",
    "messages": [{"role": "user", "content": "Hi"}],
    "max_completion_tokens": 5,
    "stop": ["x"],
}


def test_what_the_table_says_is_let_pass() -> None:
    assert unexplained(_recording("openai", _CHAT), _CHAT, _CHAT_SENT) == []


@pytest.mark.parametrize(
    "change",
    [
        {"model": "n"},
        {"messages": [{"role": "user", "content": "Ho"}]},
        {"messages": [{"role": "system", "content": "Hi"}]},
        {"messages": []},
        {"max_completion_tokens": 6},
        {"stop": ["y"]},
        {"temperature": 1.0},
        {"stream": True},
        {"n": 2},
    ],
)
def test_anything_else_is_a_difference(change: dict[str, Any]) -> None:
    assert len(unexplained(_recording("openai", _CHAT), _CHAT, _CHAT_SENT | change)) >= 1


def test_a_parameter_may_be_missing_only_when_the_caller_is_told() -> None:
    recorded = _CHAT | {"temperature": 0.5}
    recording = _recording("openai", recorded)
    assert unexplained(recording, recorded, _CHAT_SENT) == ["temperature: 0.5 was recorded, (absent) left"]
    assert unexplained(recording, recorded, _CHAT_SENT, frozenset({"parameters.temperature"})) == []


def test_a_changed_picture_is_a_difference_and_another_alphabet_is_none() -> None:
    def body(data: str) -> Any:
        return canonical({"contents": [{"role": "user", "parts": [{"inline_data": {"data": data}}]}]})

    recording = _recording("google", body("_-8="))
    assert unexplained(recording, body("_-8="), body("/+8=")) == []
    assert unexplained(recording, body("_-8="), body("/+A=")) != []


@pytest.mark.parametrize(
    ("sent", "same"),
    [
        ({"additionalProperties": False}, True),
        ({"required": ["a", "b"]}, True),
        ({"required": []}, False),
        ({"required": ["a", "b", "c"]}, False),
        ({"properties": {"a": {"type": "string"}}}, False),
        ({"type": "array"}, False),
        ({"additionalProperties": True}, False),
    ],
)
def test_a_schema_may_be_closed_and_not_changed(sent: dict[str, Any], *, same: bool) -> None:
    optional = {"type": ["integer", "null"]}
    properties = {"a": {"type": "string"}, "b": optional, "c": {"type": "string"}}
    schema = {"type": "object", "properties": properties, "required": ["a"]}
    assert means_the_same(schema, schema | sent) is same
