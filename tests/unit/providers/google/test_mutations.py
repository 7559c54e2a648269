"""Answers with each place in turn deleted or given another type: never an exception of another kind, never an invented answer."""

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from inferway.errors import ProviderBadAnswer, UpstreamError
from inferway.providers.base import Target
from inferway.providers.google.chat import GoogleChatTranslator
from inferway.providers.google.embeddings import GoogleEmbeddingTranslator
from inferway.providers.google.errors import classify
from inferway.providers.google.transcription import GoogleTranscriptionTranslator
from inferway.types import (
    ChatResult,
    Completion,
    EmbeddingCall,
    EmbeddingResult,
    Media,
    MediaKind,
    Parameters,
    TranscriptionCall,
    TranscriptionResult,
)
from tests.unit.providers.google.exchanges import ask, on_vertex, response, target

REPLACEMENTS: tuple[Any, ...] = (None, True, -1, 10**25, 1.5, "", "changed", [], [None], {}, {"changed": 1})
READABLE = (ProviderBadAnswer, msgspec.MsgspecError)
"""What a translator may raise; the capability makes a bad answer of the second."""

COUNTS = {
    "promptTokenCount": 9,
    "cachedContentTokenCount": 2,
    "candidatesTokenCount": 5,
    "thoughtsTokenCount": 3,
    "totalTokenCount": 17,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 4}, {"modality": "AUDIO", "tokenCount": 5}],
    "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 1}],
    "serviceTier": "standard",
}
ANSWER = {
    "candidates": [
        {
            "content": {
                "role": "model",
                "parts": [
                    {"text": "Thinking.", "thought": True, "thoughtSignature": "dGhpbms="},
                    {"text": "The answer "},
                    {"text": "is 42.", "thoughtSignature": "c2ln"},
                    {"functionCall": {"id": "f1", "name": "look", "args": {"deep": {"er": [1]}}}},
                ],
            },
            "finishReason": "STOP",
            "index": 0,
            "safetyRatings": [{"category": "HARM_CATEGORY_HARASSMENT", "probability": "LOW"}],
            "avgLogprobs": -0.1,
        },
        {"content": {"parts": [{"text": "Or 43."}]}, "finishReason": "MAX_TOKENS", "index": 1},
    ],
    "usageMetadata": COUNTS,
    "modelVersion": "gemini-3.8-flash-001",
    "responseId": "r1",
}
STREAM = [
    {
        "candidates": [{"content": {"parts": [{"text": text}], "role": "model"}, "index": 0} | end],
        "usageMetadata": COUNTS,
        "modelVersion": "gemini-3.8-flash-001",
    }
    for text, end in (("The answer ", {}), ("is 42.", {}), ("", {"finishReason": "STOP"}))
]
BLOCKED = {"promptFeedback": {"blockReason": "SAFETY", "safetyRatings": []}, "usageMetadata": COUNTS}
HEARD = {
    "candidates": [
        {
            "content": {
                "parts": [
                    {
                        "audioTranscription": {
                            "text": "Good day",
                            "languageCode": "en",
                            "speakerLabel": "s1",
                            "startOffset": "0s",
                            "endOffset": "1s",
                            "words": [{"word": "Good", "startOffset": "0s", "endOffset": "0.5s"}],
                        }
                    }
                ]
            },
            "finishReason": "STOP",
        }
    ],
    "usageMetadata": COUNTS,
}
ERROR = {
    "error": {
        "code": 429,
        "message": "Quota exceeded",
        "status": "RESOURCE_EXHAUSTED",
        "details": [
            {"@type": "ErrorInfo", "reason": "RATE_LIMIT_EXCEEDED", "domain": "googleapis.com"},
            {"@type": "QuotaFailure", "violations": [{"quotaId": "PerDay", "quotaValue": "5"}]},
            {"@type": "BadRequest", "fieldViolations": [{"field": "contents", "description": "x"}]},
            {"@type": "RetryInfo", "retryDelay": "48s"},
        ],
    }
}
_SPEECH = TranscriptionCall(
    audio=Media(kind=MediaKind.AUDIO, data=b"x"), parameters=Parameters(response_format="words")
)


def mutants(body: Any) -> Iterator[Any]:
    """The body with each place deleted, and with each place replaced by each of the replacements."""
    for path in _paths(body):
        yield _changed(body, path, lambda holder, key: holder.pop(key))
        for value in REPLACEMENTS:
            yield _changed(body, path, lambda holder, key, value=value: holder.__setitem__(key, value))
    yield from REPLACEMENTS


def _paths(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield from _paths(value, (*path, key))


def _changed(body: Any, path: tuple[Any, ...], change: Callable[..., object]) -> Any:
    whole = copy.deepcopy(body)
    holder = whole
    for key in path[:-1]:
        holder = holder[key]
    change(holder, path[-1])
    return whole


def _strings(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict | list):
        for value in node.values() if isinstance(node, dict) else node:
            yield from _strings(value)


def _assert_not_invented(completion: Completion, body: Any) -> None:
    """Every word of the completion stands in the answer that it was read from."""
    given = list(_strings(body))
    left = completion.text
    for text in given:
        left = left.replace(text, "", 1) if text else left
    assert left.strip() == ""
    for call in completion.tool_calls:
        assert call.name in given
    for entry in completion.reasoning:
        assert entry.text is None or entry.text in given or "".join(given).count(entry.text)
        assert entry.signature is None or entry.signature.partition(":")[2] in given
    assert completion.finish_reason in ("stop", "length", "tool_calls", "content_filter")
    for other in completion.alternatives:
        _assert_not_invented(other, body)


def _assert_counts(result: ChatResult | TranscriptionResult | EmbeddingResult) -> None:
    used = result.usage.tokens_used()
    if used is not None:
        assert used["prompt"] + used["completion"] == used["total"]
        assert min(used.values()) >= 0


@pytest.mark.parametrize("body", [ANSWER, BLOCKED, STREAM, HEARD])
def test_a_chat_answer_in_pieces_is_read_or_refused(body: Any) -> None:
    translator, call, at = GoogleChatTranslator(), ask(), target()
    read = refused = 0
    for mutant in mutants(body):
        try:
            result = translator.from_wire(call, at, response(mutant))
        except (*READABLE, UpstreamError):
            refused += 1
            continue
        read += 1
        _assert_not_invented(result.completion, mutant)
        _assert_counts(result)
    assert read
    assert refused


@pytest.mark.parametrize("place", range(3))
def test_a_stream_in_pieces_is_read_or_refused_and_its_deltas_are_the_answer(place: int) -> None:
    translator, call, at = GoogleChatTranslator(), ask(stream=True), target()
    read = refused = 0
    for mutant in mutants(STREAM[place]):
        chunks = [*STREAM[:place], mutant, *STREAM[place + 1 :]]
        decoder = translator.decoder(call, at)
        try:
            events = [event for chunk in chunks for event in decoder.on_event("", json.dumps(chunk).encode())]
            result = decoder.finish()
        except (*READABLE, UpstreamError):
            refused += 1
            continue
        read += 1
        _assert_not_invented(result.completion, chunks)
        assert "".join(getattr(event, "text", "") for event in events if not hasattr(event, "call")) == (
            "".join(entry.text or "" for entry in result.completion.reasoning) + result.completion.text
            if any(entry.text for entry in result.completion.reasoning)
            else result.completion.text
        )
    assert read
    assert refused


def test_a_transcript_in_pieces_is_read_or_refused() -> None:
    translator, at = GoogleTranscriptionTranslator(), target("gemini-3.5-transcribe")
    read = refused = 0
    for mutant in mutants(HEARD):
        try:
            result = translator.from_wire(_SPEECH, at, response(mutant))
        except (*READABLE, UpstreamError):
            refused += 1
            continue
        read += 1
        assert result.transcript.text.strip() in [*(text.strip() for text in _strings(mutant)), ""]
        _assert_counts(result)
    assert read
    assert refused


_STATISTICS = {"token_count": 3, "truncated": False}
EMBEDDINGS: tuple[tuple[Target, EmbeddingCall, Any], ...] = (
    (
        target("gemini-embedding-2"),
        EmbeddingCall(items=("a", "b")),
        {"embeddings": [{"values": [0.5, 1]}, {"values": [2, 3]}], "usageMetadata": {"promptTokenCount": 4}},
    ),
    (
        on_vertex("text-embedding-005"),
        EmbeddingCall(items=("a", "b")),
        {
            "predictions": [
                {"embeddings": {"values": [0.5, 1], "statistics": _STATISTICS}},
                {"embeddings": {"values": [2, 3], "statistics": _STATISTICS}},
            ],
            "metadata": {"billableCharacterCount": 2},
        },
    ),
    (
        on_vertex("gemini-embedding-2"),
        EmbeddingCall(items=("a",)),
        {"embedding": {"values": [0.5, 1]}, "usageMetadata": {"promptTokenCount": 4}, "truncated": False},
    ),
    (
        on_vertex("multimodalembedding@001"),
        EmbeddingCall(items=(Media(kind=MediaKind.VIDEO, data=b"x"),)),
        {
            "predictions": [
                {"videoEmbeddings": [{"startOffsetSec": 0, "endOffsetSec": 9, "embedding": [0.5, 1]}]}
            ],
            "deployedModelId": "7",
        },
    ),
)


@pytest.mark.parametrize(("at", "call", "body"), EMBEDDINGS)
def test_vectors_in_pieces_are_read_or_refused(at: Target, call: EmbeddingCall, body: Any) -> None:
    translator = GoogleEmbeddingTranslator()
    read = refused = 0
    for mutant in mutants(body):
        try:
            result = translator.from_wire(call, at, response(mutant))
        except READABLE:
            refused += 1
            continue
        read += 1
        assert len(result.vectors) == len(call.items)
        for vector in result.vectors:
            assert isinstance(vector, msgspec.Raw)
            values = json.loads(bytes(vector))
            assert values in _lists(mutant)
        _assert_counts(result)
    assert read
    assert refused


def _lists(node: Any) -> list[list[Any]]:
    found: list[list[Any]] = []
    if isinstance(node, list):
        found.append(node)
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        found += _lists(value)
    return found


def test_an_error_in_pieces_is_classified() -> None:
    for status in (400, 401, 429, 500):
        for mutant in mutants(ERROR):
            error = classify(response(mutant, status))
            assert isinstance(error, UpstreamError)
            assert error.retry_after_s is None or error.retry_after_s == 48
            msgspec.json.encode(error.details)


def test_there_are_thousands_of_cases() -> None:
    bodies = (ANSWER, BLOCKED, STREAM, HEARD, HEARD, *STREAM, ERROR, *(body for _, _, body in EMBEDDINGS))
    assert sum(1 for body in bodies for _ in mutants(body)) > 2000
