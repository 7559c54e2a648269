"""Fake embeddings and transcription: a vector of a hash, a transcript that says what it was made of."""

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from inferway.errors import BadRequest
from inferway.providers.base import Context, Prepared, Target, WireRequest
from inferway.providers.fake.switches import Switches, begin, read_switches
from inferway.providers.fake.values import made_up_vector
from inferway.providers.parameters import Rule, Rules, carry
from inferway.types import (
    Call,
    EmbeddingCall,
    EmbeddingResult,
    Media,
    Segment,
    Transcript,
    TranscriptionCall,
    TranscriptionResult,
    Usage,
    Word,
)

_EMBEDDING_RULES: Rules = {"dimensions": Rule(minimum=1, maximum=4_096, note="fake")}
_TRANSCRIPTION_RULES: Rules = {"language": Rule(note="fake"), "response_format": Rule(note="fake")}
_DETAILS = ("text", "segments", "words")
_BYTES_PER_S = 32_000
"""Of 16-bit samples at 16 kHz: what the fake takes every recording for."""


class FakeEmbedding:
    """Unit vectors that depend on the item's content alone."""

    max_batch = 64
    keeps_deadline = False

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options

    def prepare(self, call: EmbeddingCall, target: Target) -> Prepared:
        """Raises `BadRequest` for unusable switches."""
        read_switches(target, call.parameters.extra, self._options)
        carried = carry(call.parameters, _EMBEDDING_RULES, target.facts, "the fake embedding")
        shown = [item if isinstance(item, str) else f"({item.kind})" for item in call.items]
        body = msgspec.json.encode({"model": target.model, "input": shown, **carried.left})
        request = WireRequest(path="/fake/embeddings", body=body)
        return Prepared(call=call, target=target, payload=request, adaptations=carried.adaptations)

    async def execute(self, prepared: Prepared, context: Context) -> EmbeddingResult:
        """A vector for each item, or the error that was asked for. `cut_after` leaves the vectors after so many away."""
        call = cast("EmbeddingCall", prepared.call)
        switches = await _begin(call, prepared.target, self._options, context)
        length = min(max(call.parameters.dimensions or switches.dimensions, 1), 4_096)
        vectors = tuple(made_up_vector(_content(item), length) for item in call.items)
        tokens = sum(len(item.split()) if isinstance(item, str) else 1 for item in call.items)
        usage = Usage(input=tokens, vectors=len(vectors), source="provider")
        return EmbeddingResult(
            vectors=vectors[: switches.cut_after],
            usage=switches.report(usage),
            model=prepared.target.model.partition("?")[0],
        )


class FakeTranscription:
    """A transcript that says how many bytes it was made of."""

    max_batch = 1
    keeps_deadline = False

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options

    def prepare(self, call: TranscriptionCall, target: Target) -> Prepared:
        """Raises `BadRequest` for unusable switches and an unknown level of detail."""
        read_switches(target, call.parameters.extra, self._options)
        carried = carry(call.parameters, _TRANSCRIPTION_RULES, target.facts, "the fake transcription")
        if (call.parameters.response_format or "text") not in _DETAILS:
            raise BadRequest(f"response_format is one of {', '.join(_DETAILS)}")
        body = msgspec.json.encode({"model": target.model, "audio": call.audio.mime, **carried.left})
        request = WireRequest(path="/fake/transcriptions", body=body)
        return Prepared(call=call, target=target, payload=request, adaptations=carried.adaptations)

    async def execute(self, prepared: Prepared, context: Context) -> TranscriptionResult:
        """The transcript, or the error that was asked for."""
        call = cast("TranscriptionCall", prepared.call)
        switches = await _begin(call, prepared.target, self._options, context)
        if switches.cut_after is not None:
            raise switches.failure()
        content = _content(call.audio)
        usage = Usage(audio_ms=len(content) * 1000 // _BYTES_PER_S, source="provider")
        return TranscriptionResult(
            transcript=_transcript(call, len(content), switches),
            usage=switches.report(usage),
            model=prepared.target.model.partition("?")[0],
        )


async def _begin(call: Call, target: Target, options: Mapping[str, Any], context: Context) -> Switches:
    switches = read_switches(target, call.parameters.extra, options)
    await begin(switches, context)
    return switches


def _transcript(call: TranscriptionCall, size: int, switches: Switches) -> Transcript:
    text = switches.text or f"This is a fake transcript of {size} bytes of audio."
    end_s = round(size / _BYTES_PER_S, 3)
    words = text.split()
    step_s = end_s / max(1, len(words))
    detail = call.parameters.response_format
    spoken = tuple(
        Word(start_s=round(at * step_s, 3), end_s=round((at + 1) * step_s, 3), word=word)
        for at, word in enumerate(words)
    )
    return Transcript(
        text=text,
        language=call.parameters.language or "en",
        duration_s=end_s,
        segments=(Segment(start_s=0.0, end_s=end_s, text=text),) if detail in ("segments", "words") else None,
        words=spoken if detail == "words" else None,
    )


def _content(item: str | Media) -> bytes:
    if isinstance(item, str):
        return item.encode("utf-8", "surrogatepass")
    if item.data is None and item.base64 is None:
        return (item.url or "").encode()
    return item.as_bytes()
