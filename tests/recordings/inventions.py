"""Tells whether a result holds anything that the body it was read from does not say."""

import base64
import binascii
import json
import re
import struct
from collections.abc import Iterator
from typing import Any

from inferway.types import ChatResult, Completion, EmbeddingResult, Result, TranscriptionResult, Usage

_WORDS: dict[str, frozenset[Any]] = {
    "stop": frozenset(("stop", "end_turn", "stop_sequence", "STOP", 1)),
    "length": frozenset(
        ("length", "max_tokens", "MAX_TOKENS", "model_context_window_exceeded", "CONTINUATION", 2)
    ),
    "tool_calls": frozenset(("tool_calls", "function_call", "tool_use", "stop", "STOP", 1)),
    "content_filter": frozenset(("content_filter", "refusal", "SAFETY", "RECITATION", 3, 4)),
}
"""What a body has to say for a finish reason to be true. Source: the providers' references, finish and stop reasons."""

_COUNTS = re.compile(r"usage|statistics|token", re.IGNORECASE)
_ENDS = re.compile(r"finish|stop_reason|blockReason")
_MADE_ID = re.compile(r"call_\d+")
_METERS = ("input", "cached_read", "cache_write", "output", "reasoning", "audio_input")


def inventions(result: Result, body: Any) -> list[str]:
    """What is made up, one line each; empty when all of it comes from the body.

    `body` is JSON; of a stream the list of its events' JSON, in order.
    """
    found = list(_usage_inventions(result.usage, body))
    if isinstance(result, ChatResult):
        for completion in (result.completion, *result.completion.alternatives):
            found += _completion_inventions(completion, body, warned=bool(result.warnings))
    elif isinstance(result, EmbeddingResult):
        found += _vector_inventions(result, body)
    elif isinstance(result, TranscriptionResult):
        found += _transcript_inventions(result, body)
    return found


def _completion_inventions(completion: Completion, body: Any, *, warned: bool) -> Iterator[str]:
    texts = [text for text in _leaves(body) if isinstance(text, str)]
    if not _is_made_of(completion.text, texts):
        yield f"the text {completion.text[:80]!r}"
    if _says_nothing(completion) and not warned and "" not in texts and [] not in [*_all(body)]:
        yield "an empty answer"
    thoughts = "".join(step.text or "" for step in completion.reasoning)
    if not _is_made_of(thoughts, texts):
        yield f"the reasoning {thoughts[:80]!r}"
    reason = completion.finish_reason
    known = reason is not None and not _WORDS[reason].isdisjoint(_reasons(body))
    if not known and not warned and completion.refusal is None:
        yield f"the finish reason {reason}"
    if completion.refusal is not None and not _is_made_of(completion.refusal, texts):
        yield f"the refusal {completion.refusal[:80]!r}"
    for call in completion.tool_calls:
        if not _is_made_of(call.name, texts):
            yield f"the tool {call.name!r}"
        if call.id and call.id not in texts and not _MADE_ID.fullmatch(call.id):
            yield f"the call's id {call.id!r}"
        yield from _argument_inventions(call.arguments, texts)


def _says_nothing(completion: Completion) -> bool:
    said = completion.text or completion.tool_calls or completion.reasoning or completion.refusal
    return completion.finish_reason == "stop" and not said


def _argument_inventions(arguments: dict[str, Any], texts: list[str]) -> Iterator[str]:
    """Fragments of a stream cut texts anywhere, also inside an escape: all of them together are looked through."""
    whole = "".join(texts)
    for leaf in _leaves(arguments):
        if isinstance(leaf, str) and not any(form in whole for form in _written(leaf)):
            yield f"the argument {leaf[:80]!r}"


def _written(text: str) -> tuple[str, str, str]:
    """A text as it may stand in JSON text."""
    return text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]


def _vector_inventions(result: EmbeddingResult, body: Any) -> Iterator[str]:
    there = [value for value in _all(body) if isinstance(value, list)]
    for vector in result.vectors:
        values = vector if isinstance(vector, list) else json.loads(bytes(vector))
        decoded = (_floats(text) for text in _leaves(body) if isinstance(text, str))
        if values not in there and all(floats != values for floats in decoded):
            yield f"a vector of {len(values)} numbers"
        if not all(type(value) in (int, float) for value in values):
            yield "a vector with something that is no number"


def _floats(text: str) -> list[float] | None:
    try:
        content = base64.b64decode(text, validate=True)
        return list(struct.unpack(f"<{len(content) // 4}f", content))
    except (binascii.Error, ValueError, struct.error):
        return None


def _transcript_inventions(result: TranscriptionResult, body: Any) -> Iterator[str]:
    transcript = result.transcript
    leaves = list(_leaves(body))
    texts = [text for text in leaves if isinstance(text, str)]
    pieces = [
        *(segment.text for segment in transcript.segments or ()),
        *(word.word for word in transcript.words or ()),
    ]
    if transcript.text not in [text.strip() for text in texts] and not _is_made_of(transcript.text, texts):
        yield f"the text {transcript.text[:80]!r}"
    yield from (f"the piece {piece[:80]!r}" for piece in pieces if piece not in texts)
    if transcript.language is not None and transcript.language not in texts:
        yield f"the language {transcript.language!r}"
    times = [
        transcript.duration_s,
        *(time for each in transcript.segments or () for time in (each.start_s, each.end_s)),
    ]
    numbers = {float(value) for value in leaves if isinstance(value, int | float)}
    yield from (f"the time {time}" for time in times if time is not None and time not in numbers)


def _usage_inventions(usage: Usage, body: Any) -> Iterator[str]:
    """Counts are what the body counts, or sums and differences of that; below zero there are none."""
    meters = {name: getattr(usage, name) for name in _METERS}
    yield from (
        f"{count} {name} tokens" for name, count in meters.items() if type(count) is not int or count < 0
    )
    if usage.source != "provider":
        return
    counted = {0, *_counted(body)}
    once = {one + other for one in counted for other in (*counted, *(-each for each in counted))}
    yield from (
        f"{count} {name} tokens"
        for name, count in meters.items()
        if count not in once
        and all(count - other not in once for other in (*counted, *(-each for each in counted)))
    )


def _counted(body: Any) -> Iterator[int]:
    if isinstance(body, dict):
        for name, value in body.items():
            if _COUNTS.search(name):
                yield from (int(leaf) for leaf in _leaves(value) if _is_count(leaf))
            else:
                yield from _counted(value)
    elif isinstance(body, list) and not (body and isinstance(body[0], float)):
        for item in body:
            yield from _counted(item)


def _is_count(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9


def _is_made_of(text: str, texts: list[str]) -> bool:
    """Whether a text is some of these texts in a row, in their order."""
    reached = {0}
    for piece in filter(None, texts):
        reached |= {at + len(piece) for at in reached if text.startswith(piece, at)}
    return len(text) in reached


def _all(value: Any) -> Iterator[Any]:
    yield value
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if isinstance(value, list) and len(value) > 100 and not isinstance(value[0], dict | list):
        return
    for item in items:
        yield from _all(item)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, list):
        if len(value) > 100 and isinstance(value[1], float):
            return
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def _reasons(body: Any) -> Iterator[Any]:
    """What a body says about why an answer ended."""
    if isinstance(body, dict):
        for name, value in body.items():
            if _ENDS.search(name):
                yield from (leaf for leaf in _leaves(value) if not isinstance(leaf, bool))
            else:
                yield from _reasons(value)
    elif isinstance(body, list):
        for item in body:
            yield from _reasons(item)
