"""Transcription by local models."""

from typing import Literal

from inferway.errors import BadRequest, EngineFailed
from inferway.providers.base import Context, Prepared, Target
from inferway.providers.local.capability import Choice, Work, drop_extra, quality_warnings, run
from inferway.providers.local.engine import Transcribed, TranscribeTask
from inferway.providers.local.pool import EnginePool
from inferway.providers.parameters import Rule, carry
from inferway.types import (
    Operation,
    Segment,
    Transcript,
    TranscriptionCall,
    TranscriptionResult,
    Usage,
    Word,
)

Detail = Literal["text", "segments", "words"]
_DETAILS: dict[str, Detail] = {
    "text": "text",
    "json": "text",
    "segments": "segments",
    "verbose_json": "segments",
    "words": "words",
}
_RULES = {
    "temperature": Rule(minimum=0, maximum=1),
    "language": Rule(note="a code such as en or de"),
    "prompt": Rule(note="words that the recording is likely to hold"),
    "response_format": Rule(note="text, segments or words"),
}


class LocalTranscription:
    """A `Capability` of `TranscriptionCall`."""

    max_batch = 1
    keeps_deadline = False

    def __init__(self, choice: Choice, pool: EnginePool) -> None:
        self._choice = choice
        self._pool = pool

    def prepare(self, call: TranscriptionCall, target: Target) -> Prepared:
        """Raises `BadRequest` for a model, a language or a detail that there is not, and for audio that is not base64."""
        model = self._choice.require(target.model, Operation.TRANSCRIPTION)
        carried = carry(call.parameters, _RULES, target.facts, f"the local model {model.id}")
        given = carried.left
        language = given.get("language")
        if (
            language is not None
            and model.languages
            and language.lower().partition("-")[0] not in model.languages
        ):
            raise BadRequest(
                f"the local model {model.id} knows {', '.join(model.languages)} only",
                code="language_not_supported",
            )
        task = TranscribeTask(
            audio=_content(call),
            language=language,
            prompt=given.get("prompt"),
            temperature=given.get("temperature"),
            detail=_detail(given.get("response_format")),
        )
        told = (*carried.adaptations, *drop_extra(call.parameters)[1])
        return Prepared(call=call, target=target, payload=Work(model, task), adaptations=told)

    async def execute(self, prepared: Prepared, context: Context) -> TranscriptionResult:
        """See `EnginePool` for what it raises."""
        work: Work = prepared.payload
        output = await run(self._pool, work, context)
        if not isinstance(output, Transcribed) or not isinstance(work.task, TranscribeTask):
            raise EngineFailed("the local engine gave no transcript", retryable=False)
        usage = Usage(
            audio_ms=round(output.duration_s * 1000), output=output.completion_tokens, source="measured"
        )
        return TranscriptionResult(
            transcript=_transcript(output, work.task.detail),
            usage=usage,
            model=work.model.id,
            warnings=quality_warnings(work.model),
        )


def _content(call: TranscriptionCall) -> bytes:
    try:
        return call.audio.as_bytes()
    except ValueError as error:
        raise BadRequest("the audio is not base64", code="media_unreadable") from error


def _detail(asked: str | None) -> Detail:
    if asked is None:
        return "text"
    detail = _DETAILS.get(asked)
    if detail is None:
        raise BadRequest(f"response_format {asked[:40]!r}: local models give text, segments or words")
    return detail


def _transcript(output: Transcribed, detail: Detail) -> Transcript:
    segments = tuple(
        Segment(start_s=each.start_s, end_s=each.end_s, text=each.text) for each in output.segments
    )
    words = tuple(Word(start_s=each.start_s, end_s=each.end_s, word=each.text) for each in output.words)
    return Transcript(
        text=output.text,
        language=output.language,
        duration_s=output.duration_s,
        segments=segments if detail != "text" else None,
        words=words if detail == "words" else None,
    )
