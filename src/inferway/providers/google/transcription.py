"""Transcription by generateContent: an instruction beside the audio, or the own configuration of a transcription model."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from inferway.errors import BadRequest, ProviderBadAnswer, ProviderRefused
from inferway.providers.base import Target, Translated, WireRequest, WireResponse
from inferway.providers.google.answers import AudioTranscription, GenerateAnswer, read_chunks
from inferway.providers.google.collect import Collector
from inferway.providers.google.contents import make_media_part
from inferway.providers.google.decode import raise_error
from inferway.providers.google.paths import method_path
from inferway.providers.parameters import Rule, Rules, carry, merge_extra
from inferway.types import (
    Adaptation,
    ChatResult,
    Segment,
    Transcript,
    TranscriptionCall,
    TranscriptionResult,
    Word,
)

TRANSCRIPTION_RULES: Rules = {
    "temperature": Rule(path=("generationConfig", "temperature"), minimum=0, maximum=2),
    "language": Rule(note="in the instruction; transcription models: audioTranscriptionConfig.languageCodes"),
    "prompt": Rule(
        note="in the instruction; transcription models: audioTranscriptionConfig.customVocabulary"
    ),
    "response_format": Rule(note="segments and words from transcription models only"),
}
"""How the common parameters reach generateContent for transcription."""

RESERVED = frozenset(("contents", "model"))
MAX_INLINE_BYTES = 100_000_000
"""Gemini's limit for a whole request with content in it, in bytes of base64."""

_INSTRUCTION = "Transcribe the provided audio and respond with only the transcript text."
_OFFSET = re.compile(r"(\d{1,9}(?:\.\d{0,9})?)s", re.ASCII)
_FORMATS = ("text", "segments", "words")


class GoogleTranscriptionTranslator:
    """Translates transcription calls."""

    max_batch = 1

    def to_wire(self, call: TranscriptionCall, target: Target) -> Translated:
        """The request; raises `BadRequest` for audio above the size limit or that cannot be sent."""
        carried = carry(call.parameters, TRANSCRIPTION_RULES, target.facts, "google transcription")
        told = list(carried.adaptations)
        audio = make_media_part(call.audio, target)
        _check_size(audio)
        body: dict[str, Any] = carried.body
        config = body.setdefault("generationConfig", {})
        if target.facts.get("transcribe") is True:
            parts = [audio]
            config["audioTranscriptionConfig"] = _native_config(carried.left, told)
        else:
            parts = [{"text": _instruction(carried.left)}, audio]
            config["responseMimeType"] = "text/plain"
            _tell_instructed(carried.left, told)
        body["contents"] = [{"role": "user", "parts": parts}]
        merge_extra(body, call.parameters.extra, RESERVED)
        path = method_path(target, "generateContent")
        return Translated(
            request=WireRequest(path=path, body=msgspec.json.encode(body)), adaptations=tuple(told)
        )

    def from_wire(
        self, call: TranscriptionCall, target: Target, response: WireResponse
    ) -> TranscriptionResult:
        """The transcript.

        Raises `ProviderRefused` when the provider withheld it, `ProviderBadAnswer` or a msgspec error when there is none.
        """
        del target
        chunks = read_chunks(response.body)
        collector = Collector()
        for chunk in chunks:
            raise_error(chunk)
            collector.add(chunk)
        result = collector.result()
        heard = [*_heard(chunks)]
        transcript, missing = _transcript(result, heard, call.parameters.response_format)
        warnings = (*result.warnings, *missing)
        if result.completion.finish_reason == "length":
            warnings = (*warnings, "the transcript is cut: the model reached its output limit")
        return TranscriptionResult(
            transcript=transcript, usage=result.usage, model=result.model, warnings=warnings
        )


def _check_size(part: Mapping[str, Any]) -> None:
    size = len(part.get("inlineData", {}).get("data", ""))
    if size > MAX_INLINE_BYTES:
        raise BadRequest(
            f"the audio is {size} bytes of base64; google takes at most {MAX_INLINE_BYTES}",
            code="media_too_large",
            details={"limit": MAX_INLINE_BYTES, "actual": size},
        )


def _instruction(given: Mapping[str, Any]) -> str:
    sentences = [_INSTRUCTION]
    if "language" in given:
        sentences.append(f"Respond in the {given['language']} language.")
    if "prompt" in given:
        sentences.append(f"Context for names and spelling: {given['prompt']}")
    return " ".join(sentences)


def _tell_instructed(given: Mapping[str, Any], told: list[Adaptation]) -> None:
    said = "this model transcribes by instruction: it was said in words"
    told += [_told(name, "translated", said) for name in ("language", "prompt") if name in given]
    if given.get("response_format", "text") != "text":
        told.append(_told("response_format", "dropped", "this model gives text only, without times"))


def _native_config(given: Mapping[str, Any], told: list[Adaptation]) -> dict[str, Any]:
    """The transcription model's own configuration. Source: types of Google's SDK, AudioTranscriptionConfig."""
    config: dict[str, Any] = {}
    if "language" in given:
        config["languageCodes"] = [given["language"]]
    if "prompt" in given:
        config["customVocabulary"] = [word.strip() for word in given["prompt"].split(",") if word.strip()]
        told.append(_told("prompt", "translated", "sent as custom vocabulary, split at commas"))
    wanted = given.get("response_format", "text")
    if wanted in ("segments", "words"):
        config["wordTimestamp"] = True
    elif wanted not in _FORMATS:
        told.append(_told("response_format", "dropped", f"google knows {', '.join(_FORMATS)}"))
    return config


def _told(name: str, action: Any, reason: str) -> Adaptation:
    return Adaptation(field=f"parameters.{name}", action=action, reason=reason)


def _heard(chunks: tuple[GenerateAnswer, ...]) -> Iterator[AudioTranscription]:
    for chunk in chunks:
        for candidate in (chunk.candidates or ())[:1]:
            for part in (candidate.content.parts if candidate.content else None) or ():
                if part.audio_transcription is not None:
                    yield part.audio_transcription


def _transcript(
    result: ChatResult, heard: list[AudioTranscription], wanted: str | None
) -> tuple[Transcript, tuple[str, ...]]:
    completion = result.completion
    if completion.finish_reason == "content_filter":
        raise ProviderRefused(
            "google withheld the transcript by its content filter",
            code="content_filter",
            details={"provider_error": {"code": "content_filter"}},
        )
    text = completion.text
    if completion.tool_calls or (not text and completion.finish_reason != "stop"):
        raise ProviderBadAnswer("The provider's answer holds no transcript.")
    segments = tuple(_segments(heard)) if wanted == "segments" else ()
    words = tuple(_words(heard)) if wanted == "words" else ()
    absent = wanted in ("segments", "words") and heard and not (segments or words)
    languages = {piece.language_code for piece in heard if piece.language_code}
    transcript = Transcript(
        text=text.strip(),
        language=languages.pop() if len(languages) == 1 else None,
        segments=segments or None,
        words=words or None,
    )
    return transcript, (f"google gave no {wanted}",) if absent else ()


def _segments(heard: list[AudioTranscription]) -> Iterator[Segment]:
    for piece in heard:
        words = piece.words or ()
        start = _seconds(piece.start_offset or (words[0].start_offset if words else None))
        end = _seconds(piece.end_offset or (words[-1].end_offset if words else None))
        if piece.text and start is not None and end is not None:
            yield Segment(start_s=start, end_s=end, text=piece.text, speaker=piece.speaker_label)


def _words(heard: list[AudioTranscription]) -> Iterator[Word]:
    for piece in heard:
        for word in piece.words or ():
            start, end = _seconds(word.start_offset), _seconds(word.end_offset)
            if start is not None and end is not None:
                yield Word(start_s=start, end_s=end, word=word.word)


def _seconds(offset: str | None) -> float | None:
    """A protobuf duration such as "1.500s" in seconds."""
    found = _OFFSET.fullmatch(offset) if offset else None
    seconds = float(found[1]) if found else None
    return seconds if seconds is not None and math.isfinite(seconds) else None
