"""Answers, streams and errors with every JSON path deleted or retyped: an error of ours or the same answer, nothing else."""

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from inferway.errors import UpstreamError
from inferway.providers.anthropic.errors import AnthropicErrors
from inferway.providers.anthropic.structured import TOOL_NAME
from inferway.providers.base import WireResponse
from inferway.providers.wire import UNREADABLE
from inferway.types import ChatCall, ChatResult
from tests.unit.providers.anthropic.exchanges import (
    DOG,
    FULL,
    OLD,
    PLAIN,
    THINKING,
    WEATHER,
    answer,
    as_events,
    ask,
    read,
    stream,
    text_block,
    tool_block,
)

Path = tuple[str | int, ...]
_DELETED = object()
_VALUES: tuple[Any, ...] = (None, True, 0, -1, 10**30, 1.5, "", "odd", [], ["odd"], {}, {"odd": 1})
_REFUSAL = {"type": "refusal", "category": "cyber", "explanation": "No."}
CASES: list[tuple[dict[str, Any], ChatCall, str]] = [
    (answer(text_block("Hello"), text_block(" there")), ask(), PLAIN),
    (FULL, ask(tools=(WEATHER,)), PLAIN),
    (answer(THINKING, text_block("Hm"), stop_reason="max_tokens"), ask(), PLAIN),
    (answer(text_block("Partly"), stop_reason="refusal", stop_details=_REFUSAL), ask(), PLAIN),
    (answer(text_block('{"name":"Rex","age":3}')), ask(schema=DOG), PLAIN),
    (
        answer(text_block('{"value": [1, 2]}')),
        ask(schema={"type": "array", "items": {"type": "integer"}}),
        PLAIN,
    ),
    (answer(tool_block(1, TOOL_NAME, age=3), stop_reason="tool_use"), ask(schema=DOG), OLD),
]


def _paths(value: object, path: Path = ()) -> Iterator[Path]:
    if path:
        yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _paths(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _paths(inner, (*path, index))


def _mutants(body: Any) -> Iterator[tuple[Path, object, Any]]:
    """The path that was changed, the value put there, and the changed body."""
    for path in _paths(body):
        for value in (_DELETED, *_VALUES):
            mutant = copy.deepcopy(body)
            holder = mutant
            for step in path[:-1]:
                holder = holder[step]
            if value is _DELETED:
                del holder[path[-1]]
            elif holder[path[-1]] == value and type(holder[path[-1]]) is type(value):
                continue
            else:
                holder[path[-1]] = value
            yield path, value, mutant


def _outcome(work: Callable[[], ChatResult]) -> ChatResult | None:
    """The result, or None for an error that the caller of a translator expects; anything else fails the test."""
    try:
        return work()
    except (UpstreamError, *UNREADABLE):
        return None


_CONTENT = ("text", "thinking", "signature", "data", "id", "name", "explanation", "category", "partial_json")


def _may_change(path: Path, value: object) -> bool:
    """Changes that make another well-formed message: other words, other arguments, fewer blocks, another way to end."""
    *_, last = path
    if isinstance(last, int) or "input" in path or path[0] in ("stop_details", "id"):
        return True
    if path == ("content",):
        return value == []
    return last == "signature" or (last in _CONTENT and isinstance(value, str))


def _is_made_up(before: ChatResult, after: ChatResult) -> bool:
    return after.completion != before.completion and not set(after.warnings) - set(before.warnings)


@pytest.mark.parametrize(("body", "call", "model"), CASES)
def test_a_mutated_answer_is_refused_or_the_same(body: dict[str, Any], call: ChatCall, model: str) -> None:
    before = read(body, call, model)
    tried = 0
    for path, value, mutant in _mutants(body):
        tried += 1
        after = _outcome(lambda mutant=mutant: read(mutant, call, model))  # type: ignore[misc]
        if after is not None and not _may_change(path, value):
            assert not _is_made_up(before, after), (path, value, after.completion)
        if after is not None:
            assert min(after.usage.input, after.usage.output, after.usage.cached_read) >= 0
            assert path[0] == "usage" or after.usage == before.usage
    assert tried > 200


def _may_change_stream(path: Path, value: object, events: list[tuple[str, dict[str, Any]]]) -> bool:
    index = int(path[0])
    name, inner = events[index][0], path[2:]
    if len(path) <= 2:
        # A missing event, or one of another name: what cannot be missed has its own tests.
        return name in ("content_block_delta", "ping", "content_block_stop") or path[1:] == (0,)
    if name == "message_delta" and inner and inner[0] == "delta":
        return "stop_details" in inner
    return bool(inner) and inner[-1] in (*_CONTENT, "type", "stop_sequence") and isinstance(value, str)


@pytest.mark.parametrize(("body", "call", "model"), CASES)
def test_a_mutated_stream_is_refused_or_the_same(body: dict[str, Any], call: ChatCall, model: str) -> None:
    events = as_events(body, 8)
    _, before = stream(events, call, model)
    tried = 0
    for path, value, mutant in _mutants([list(event) for event in events]):
        if not all(
            isinstance(event, list) and len(event) == 2 and isinstance(event[0], str) for event in mutant
        ):
            continue
        tried += 1
        after = _outcome(lambda mutant=mutant: stream(mutant, call, model)[1])  # type: ignore[misc]
        if after is not None and not _may_change_stream(path, value, events):
            assert not _is_made_up(before, after), (path, value, after.completion)
    assert tried > 300


@pytest.mark.parametrize("status", [400, 401, 413, 429, 500, 529])
def test_a_mutated_error_is_still_an_error_of_its_status(status: int) -> None:
    error = {"type": "odd_error", "message": "x", "details": {"error_code": "odd_code"}}
    body = {"type": "error", "error": error, "request_id": "req_1"}
    classify = AnthropicErrors("anthropic")

    def kind(content: object) -> type[UpstreamError]:
        return type(classify(WireResponse(status=status, headers={}, body=json.dumps(content).encode())))

    for _, _, mutant in _mutants(body):
        assert kind(mutant) is kind(body)


@pytest.mark.parametrize(("body", "call", "model"), CASES)
def test_a_truncated_answer_is_refused(body: dict[str, Any], call: ChatCall, model: str) -> None:
    content = json.dumps(body).encode()
    for length in range(0, len(content), 3):
        assert _outcome(lambda length=length: read(content[:length], call, model)) is None  # type: ignore[misc]
