"""Transcription both ways. Source: OpenAI API reference, audio transcriptions (create, verbose and diarized objects, stream events)."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct, field

from inferway.errors import BadRequest, ProviderBadAnswer
from inferway.providers.base import Facts, Target, Translated, WireRequest, WireResponse
from inferway.providers.openai.answers import is_given
from inferway.providers.openai.errors import answer_error
from inferway.providers.openai.form import File, write_form
from inferway.providers.openai.quirks import Quirks
from inferway.providers.openai.usage import is_seconds, transcription_usage
from inferway.providers.parameters import Rule, Rules, carry, merge_extra
from inferway.providers.sse import SseParser
from inferway.types import (
    Adaptation,
    Media,
    Parameters,
    Segment,
    Transcript,
    TranscriptionCall,
    TranscriptionResult,
    Word,
)

RESERVED = frozenset(("model", "file"))
"""Form fields that `parameters.extra` may not set."""

AUDIO_TYPES: Mapping[str, str] = {
    "audio/flac": "flac",
    "audio/x-flac": "flac",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/mp4": "m4a",
    "audio/x-m4a": "m4a",
    "audio/m4a": "m4a",
    "audio/ogg": "ogg",
    "audio/opus": "ogg",
    "application/ogg": "ogg",
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/vnd.wave": "wav",
    "audio/webm": "webm",
    "video/mp4": "mp4",
    "video/mpeg": "mpeg",
    "video/webm": "webm",
}
"""File-name extension by MIME type: the API judges a file by its name."""

DETAILS = ("text", "segments", "words")
"""The common values of `response_format`, each with more than the one before."""

_ABLE = {"text": "json", "segments": "verbose_json", "words": "verbose_json"}
_GRANULARITIES = {"segments": "segment", "words": "word"}
_PLAIN = frozenset(("text", "srt", "vtt"))
_PLAIN_TYPES = frozenset(("text/plain", "text/vtt", "text/srt", "application/x-subrip", ""))


def transcription_rules(quirks: Quirks) -> Rules:
    """How the common parameters reach the form."""
    names = {name: (quirks.fields.get(name, name),) for name in ("temperature", "language", "prompt")}
    return {
        "temperature": Rule(path=names["temperature"], minimum=0, maximum=1),
        "language": Rule(path=names["language"]),
        "prompt": Rule(path=names["prompt"]),
        "response_format": Rule(
            note="text, segments or words; response_format and timestamp_granularities[]"
        ),
    }


class _Segment(Struct, frozen=True, kw_only=True):
    start: float
    end: float
    text: str
    speaker: str | None = None


class _Word(Struct, frozen=True, kw_only=True):
    start: float
    end: float
    word: str


class _Answer(Struct, frozen=True, kw_only=True):
    text: str | None = None
    language: str | None = None
    duration: float | str | None = None
    segments: list[_Segment] | None = None
    words: list[_Word] | None = None
    usage: Raw = field(default_factory=Raw)
    error: Raw = field(default_factory=Raw)


class _Event(Struct, frozen=True, kw_only=True):
    """An event of a streamed transcription; `start` and `end` belong to segments."""

    type: str | None = None
    text: str | None = None
    start: float | None = None
    end: float | None = None
    speaker: str | None = None
    usage: Raw = field(default_factory=Raw)
    error: Raw = field(default_factory=Raw)


class OpenAITranscription:
    """Translates transcription. Implements `Translator`.

    Native answers that are no JSON (`text`, `srt` and `vtt`, asked for in `parameters.extra`) become the transcript's text as they
    are; `stream: true` there is read to its end.
    """

    max_batch = 1

    def __init__(self, subject: str, quirks: Quirks) -> None:
        self._subject = subject
        self._quirks = quirks
        self._rules = transcription_rules(quirks)

    def to_wire(self, call: TranscriptionCall, target: Target) -> Translated:
        """`POST /audio/transcriptions`; raises `BadRequest` for audio of another type or above the limit."""
        facts = target.facts
        carried = carry(call.parameters, self._rules, facts, f"{self._subject} transcription")
        told = list(carried.adaptations)
        body: dict[str, Any] = {"model": target.model, **carried.body, **facts.get("form", {})}
        if "response_format" in carried.left:
            body |= _detail(str(carried.left["response_format"]), facts, told)
        merge_extra(body, _named_plainly(call.parameters.extra), RESERVED)
        form, content_type = write_form(_fields(body), self._file(call.audio))
        headers = (("content-type", content_type),)
        request = WireRequest(path="/audio/transcriptions", body=form, headers=headers)
        return Translated(request=request, adaptations=tuple(told))

    def from_wire(
        self, call: TranscriptionCall, target: Target, response: WireResponse
    ) -> TranscriptionResult:
        """The transcript of a 2xx answer; raises `ProviderBadAnswer` or a decoding error when it is none."""
        del target
        content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type == "text/event-stream":
            return self._from_events(response.body)
        if content_type != "application/json" and _asks_plain(call.parameters):
            return TranscriptionResult(transcript=_plain_transcript(content_type, response.body))
        return self._from_json(response.body)

    def _file(self, audio: Media) -> File:
        types = AUDIO_TYPES if self._quirks.audio_types is None else self._quirks.audio_types
        mime = (audio.mime or "").partition(";")[0].strip().lower()
        extension = types.get(mime)
        if extension is None:
            taken = ", ".join(dict.fromkeys(types.values()))
            raise BadRequest(
                f"{self._subject} does not transcribe {mime or 'audio of an unknown type'}; it takes {taken}",
                code="input_not_supported",
            )
        content = _content(audio)
        limit = self._quirks.audio_limit_bytes
        if limit is not None and len(content) > limit:
            raise BadRequest(
                f"{self._subject} transcribes files of at most {limit / 1024 / 1024:g} MB; this one has"
                f" {len(content) / 1024 / 1024:.1f} MB",
                code="media_too_large",
                details={"limit_bytes": limit, "bytes": len(content)},
            )
        return File(field="file", filename=f"audio.{extension}", mime=mime, content=content)

    def _from_json(self, body: bytes) -> TranscriptionResult:
        answer = msgspec.json.decode(body, type=_Answer)
        if answer.text is None:
            if is_given(answer.error):
                raise answer_error(self._subject, body)
            raise ProviderBadAnswer("The answer holds no text.")
        duration_s = _duration(answer.duration)
        transcript = Transcript(
            text=answer.text,
            language=answer.language,
            duration_s=duration_s,
            segments=None if answer.segments is None else tuple(map(_to_segment, answer.segments)),
            words=None
            if answer.words is None
            else tuple(Word(start_s=word.start, end_s=word.end, word=word.word) for word in answer.words),
        )
        return TranscriptionResult(transcript=transcript, usage=transcription_usage(answer.usage, duration_s))

    def _from_events(self, body: bytes) -> TranscriptionResult:
        done: _Event | None = None
        segments: list[_Segment] = []
        for data in _events(body):
            event = msgspec.json.decode(data, type=_Event)
            if is_given(event.error):
                raise answer_error(self._subject, data)
            if event.type == "transcript.text.segment":
                segments.append(msgspec.json.decode(data, type=_Segment))
            elif event.type == "transcript.text.done":
                done = event
            elif event.type is None:
                raise ProviderBadAnswer("An event of the stream has no type.")
        if done is None or done.text is None:
            raise ProviderBadAnswer("The provider's stream ended before its last event.")
        transcript = Transcript(text=done.text, segments=tuple(map(_to_segment, segments)) or None)
        return TranscriptionResult(transcript=transcript, usage=transcription_usage(done.usage, None))


def _detail(detail: str, facts: Facts, told: list[Adaptation]) -> dict[str, Any]:
    """The native fields of a common `response_format`; a detail that the model lacks becomes the most it has below it, and is told."""
    if detail not in DETAILS:
        raise BadRequest(
            f"parameters.response_format is one of {', '.join(DETAILS)};"
            " a provider's own format goes under parameters.extra.response_format"
        )
    able: Mapping[str, str] = facts.get("transcripts", _ABLE)
    given = next(name for name in DETAILS[DETAILS.index(detail) :: -1] if name in able or name == "text")
    if given != detail:
        reason = f"this model gives no {detail}; {given} is the most it has"
        told.append(Adaptation(field="parameters.response_format", action="clamped", reason=reason))
    native = able.get(given, "json")
    fields: dict[str, Any] = {"response_format": native}
    if native == "verbose_json" and given in _GRANULARITIES:
        fields["timestamp_granularities"] = [_GRANULARITIES[given]]
    return fields


def _named_plainly(extra: Mapping[str, Any] | None) -> dict[str, Any]:
    """Native fields without the `[]` behind the name of a list: `_fields` writes it, and fields of one name are one field."""
    named: dict[str, Any] = {}
    for name, value in (extra or {}).items():
        is_item = name.endswith("[]") and value is not None and not isinstance(value, list)
        named[name.removesuffix("[]")] = [value] if is_item else value
    return named


def _fields(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Form fields as the API reads them: lists repeat `name[]`, objects are `name[key]`, null is left out."""
    for name, value in body.items():
        if isinstance(value, list):
            yield from ((f"{name}[]", _text(item)) for item in value)
        elif isinstance(value, Mapping):
            yield from _fields({f"{name}[{key}]": item for key, item in value.items()})
        elif value is not None:
            yield name, _text(value)


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _content(audio: Media) -> bytes:
    try:
        return audio.as_bytes()
    except ValueError:
        raise BadRequest("the audio is not loaded, or is not valid base64", code="media_unreadable") from None


def _asks_plain(parameters: Parameters) -> bool:
    return (parameters.extra or {}).get("response_format") in _PLAIN


def _plain_transcript(content_type: str, body: bytes) -> Transcript:
    """A plain text as it is, without the line end after it; a page or nothing at all is no transcript."""
    text = body.decode("utf-8")
    if (
        content_type not in _PLAIN_TYPES
        or not text
        or text.lstrip().lower().startswith(("<!doctype", "<html"))
    ):
        raise ProviderBadAnswer("The answer is not a transcript.")
    return Transcript(text=text.removesuffix("\n"))


def _duration(value: float | str | None) -> float | None:
    """Seconds; older answers give them as text."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    return float(value) if is_seconds(value) else None


def _to_segment(segment: _Segment) -> Segment:
    return Segment(start_s=segment.start, end_s=segment.end, text=segment.text, speaker=segment.speaker)


def _events(body: bytes) -> Iterator[bytes]:
    """The data of the events before the end marker."""
    parser = SseParser()
    for _, data in (*parser.feed(body), *parser.finish()):
        if data.strip() == b"[DONE]":
            return
        yield data
