"""Every path of an answer deleted or given another type: an error or the truth, never an answer that was made up."""

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from inferway.errors import UpstreamError
from inferway.providers.openai.embeddings import OpenAIEmbeddings
from inferway.providers.openai.quirks import Quirks
from inferway.providers.openai.transcription import OpenAITranscription
from inferway.providers.wire import UNREADABLE
from inferway.types import (
    Completion,
    EmbeddingCall,
    Media,
    MediaKind,
    Parameters,
    TranscriptionCall,
    Usage,
)
from tests.unit.providers.openai.samples import (
    WEATHER_CALL,
    chunk,
    completion,
    read,
    read_stream,
    response,
    target,
    usage_chunk,
)

Path = tuple[str | int, ...]
DELETED = object()
OTHERS: tuple[Any, ...] = (
    DELETED, None, True, -1, 7, 1.5, 10**30, "", "other", [], [1], ["x"], {}, {"a": 1}, [{}], [[]],
)  # fmt: skip
REFUSED = (UpstreamError, *UNREADABLE)


def paths(value: object, at: Path = ()) -> Iterator[Path]:
    if at:
        yield at
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, member in items:
        yield from paths(member, (*at, step))


def mutations(body: Any) -> Iterator[tuple[Path, Any, Any]]:
    """The path, what it became, and the whole."""
    for path in paths(body):
        for other in OTHERS:
            mutant = copy.deepcopy(body)
            holder = mutant
            for step in path[:-1]:
                holder = holder[step]
            if other is DELETED:
                del holder[path[-1]]
            else:
                holder[path[-1]] = other
            yield path, other, mutant


def check_usage(usage: Usage) -> None:
    """Nothing negative, nothing absurd, and integers that add up."""
    meters = (
        usage.input,
        usage.cached_read,
        usage.cache_write,
        usage.output,
        usage.reasoning,
        usage.audio_input,
    )
    assert all(type(count) is int and 0 <= count <= 10**9 for count in meters)
    used = usage.tokens_used()
    assert used is None or used["prompt"] + used["completion"] == used["total"]


def outcome(run: Callable[..., Any], *args: object) -> Any:
    try:
        return run(*args)
    except REFUSED:
        return None


WHOLE = {
    "text": completion(),
    "tools": completion("tool_calls", content=None, tool_calls=[WEATHER_CALL]),
    "refusal": completion(content=None, refusal="No."),
}


@pytest.mark.parametrize("name", WHOLE)
def test_whole_completions(name: str) -> None:
    truth = read(WHOLE[name]).completion
    survived = 0
    for path, other, mutant in mutations(WHOLE[name]):
        result = outcome(read, mutant)
        if result is not None:
            survived += 1
            check_usage(result.usage)
            check_completion(result.completion, truth, path, other)
    assert survived > 100


def check_completion(said: Completion, truth: Completion, path: Path, other: object) -> None:
    """The same answer, or the mutant's own words in the place that was changed."""
    place = path[-1]
    assert said.text == truth.text or (place == "content" and said.text == (other or "")), (path, other)
    if said.tool_calls != truth.tool_calls:
        assert place in ("id", "name", "arguments", "finish_reason", "refusal", "content"), (path, other)
        assert all(isinstance(call.arguments, dict) for call in said.tool_calls)
    assert said.finish_reason in (truth.finish_reason, None) or place in ("refusal", "finish_reason"), (
        path,
        other,
    )


def test_streams() -> None:
    pieces = [
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "Hi "}),
        chunk({"content": "there."}),
        chunk({}, "stop"),
        usage_chunk(),
    ]
    truth = read_stream(pieces)[1].completion
    survived = 0
    for path, other, mutant in mutations(pieces):
        result = outcome(read_stream, mutant)
        if result is None:
            continue
        survived += 1
        result = result[1]
        check_usage(result.usage)
        # A piece that is gone as a whole, or that says nothing, cannot be told from one that never came.
        if len(path) > 1 and path[-1] not in ("choices", "content", "delta", 0, "index"):
            assert result.completion.text == truth.text, (path, other)
    assert survived > 100


VECTORS = {
    "object": "list",
    "data": [
        {"object": "embedding", "index": 0, "embedding": [0.5, -0.25, 1e-05]},
        {"object": "embedding", "index": 1, "embedding": [0.125, 2, 3.5]},
    ],
    "model": "text-embedding-3-small",
    "usage": {"prompt_tokens": 2, "total_tokens": 2},
}


def test_embeddings() -> None:
    call = EmbeddingCall(items=("a", "b"), parameters=Parameters(dimensions=3))
    translator, to = OpenAIEmbeddings("openai", Quirks()), target("text-embedding-3-small")
    survived = 0
    for path, other, mutant in mutations(VECTORS):
        result = outcome(translator.from_wire, call, to, response(mutant))
        if result is None:
            continue
        survived += 1
        check_usage(result.usage)
        vectors = [json.loads(bytes(vector)) for vector in result.vectors]
        if len(path) == 4:
            assert isinstance(other, int | float)
            assert not isinstance(other, bool)
        else:
            assert vectors == [item["embedding"] for item in VECTORS["data"]], (path, other)  # type: ignore[index]
    assert survived > 50


VERBOSE = {
    "task": "transcribe",
    "language": "english",
    "duration": 2.5,
    "text": "Hello there.",
    "segments": [{"id": 0, "start": 0.0, "end": 2.0, "text": "Hello there."}],
    "words": [{"word": "Hello", "start": 0.0, "end": 0.5}],
    "usage": {"type": "duration", "seconds": 3},
}
DIARIZED = {
    "text": "Hello there.",
    "segments": [
        {"type": "x", "text": "Hello there.", "speaker": "A", "start": 0.0, "end": 3.3, "id": "seg_0"}
    ],
    "usage": {
        "type": "tokens",
        "total_tokens": 49,
        "input_tokens": 37,
        "input_token_details": {"text_tokens": 0, "audio_tokens": 37},
        "output_tokens": 12,
    },
}


@pytest.mark.parametrize("body", [VERBOSE, DIARIZED])
def test_transcripts(body: dict[str, Any]) -> None:
    audio = Media(kind=MediaKind.AUDIO, data=b"x", mime="audio/wav")
    call = TranscriptionCall(audio=audio)
    translator, to = OpenAITranscription("openai", Quirks()), target("whisper-1")
    survived = 0
    for path, other, mutant in mutations(body):
        result = outcome(translator.from_wire, call, to, response(mutant))
        if result is None:
            continue
        survived += 1
        check_usage(result.usage)
        assert 0 <= result.usage.audio_ms <= 10**10
        assert result.transcript.text == "Hello there." or path == ("text",), (path, other)
        for segment in result.transcript.segments or ():
            assert segment.text == "Hello there." or path[0] == "segments", (path, other)
    assert survived > 50
