"""Transcription by Whisper models in CTranslate2's format."""

import io
import os
from collections.abc import Iterator, Sequence
from typing import Any

import av
import numpy as np
from av.audio.resampler import AudioResampler
from faster_whisper import WhisperModel
from numpy.typing import NDArray

from inferway.providers.local.engine import HeardSegment, Limits, Transcribed, TranscribeTask
from inferway.providers.local.model import Job, Model, Refusal
from inferway.providers.local.wire import Load

_RATE_HZ = 16_000
_BEAM = 5
_MAX_S = 2 * 3600.0


class Whisper:
    """Options: `max_audio_s`, the longest recording that is decoded (two hours: 460 MB of samples)."""

    def __init__(self, spec: Load) -> None:
        self._model = WhisperModel(
            spec.folder,
            device="cpu",
            compute_type="int8",
            cpu_threads=spec.threads or os.cpu_count() or 1,
            num_workers=1,
            local_files_only=True,
        )
        self._max_s = float(spec.options.get("max_audio_s", _MAX_S))
        self.limits = Limits(batch=1, concurrency=1)

    def run(self, batch: Sequence[Job]) -> None:
        """One recording after the other; a dropped one is left at the next segment."""
        for job in batch:
            try:
                self._transcribe(job)
            except Refusal as refusal:
                job.fail(refusal.fault)

    def _transcribe(self, job: Job) -> None:
        task = job.task
        if not isinstance(task, TranscribeTask):
            raise Refusal("this model transcribes recordings")
        language = self._language(task.language)
        audio = decode_audio(task.audio, self._max_s)
        segments, info = self._model.transcribe(
            audio,
            language=language,
            beam_size=_BEAM,
            initial_prompt=task.prompt,
            temperature=_temperatures(task.temperature),
            word_timestamps=task.detail == "words",
        )
        heard = []
        for segment in segments:
            if job.dropped:
                return
            heard.append(segment)
        job.finish(_output(task, heard, info))

    def _language(self, asked: str | None) -> str | None:
        if asked is None:
            return None if self._model.model.is_multilingual else "en"
        name = asked.lower().partition("-")[0]
        if name not in self._model.supported_languages:
            known = "en only" if len(self._model.supported_languages) == 1 else "other languages only"
            raise Refusal(
                f"this model does not know the language {asked[:20]!r} ({known})",
                code="language_not_supported",
            )
        return name


def decode_audio(content: bytes, max_s: float) -> NDArray[np.float32]:
    """Mono samples at 16 kHz, between -1 and 1. Raises `Refusal` for what is no audio, and above `max_s` seconds of it."""
    pieces: list[NDArray[np.int16]] = []
    samples = 0
    try:
        for piece in _pieces(content):
            samples += len(piece)
            if samples > max_s * _RATE_HZ:
                raise Refusal(f"the recording is longer than {max_s:g} seconds", code="audio_too_long")
            pieces.append(piece)
    except (av.error.FFmpegError, ValueError, IndexError) as error:
        raise Refusal("the audio cannot be decoded", code="media_unreadable") from error
    if not samples:
        raise Refusal("the audio holds no sound", code="media_unreadable")
    return np.concatenate(pieces).astype(np.float32) / 32768.0


def _pieces(content: bytes) -> Iterator[NDArray[np.int16]]:
    resampler = AudioResampler(format="s16", layout="mono", rate=_RATE_HZ)
    with av.open(io.BytesIO(content), mode="r", metadata_errors="ignore") as container:
        for frame in container.decode(container.streams.audio[0]):
            # Broken time stamps of the container would make the resampler refuse good samples.
            frame.pts = None
            for resampled in resampler.resample(frame):
                yield resampled.to_ndarray().reshape(-1).astype(np.int16, copy=False)
    for resampled in resampler.resample(None):
        yield resampled.to_ndarray().reshape(-1).astype(np.int16, copy=False)


def _temperatures(asked: float | None) -> list[float]:
    """Zero, or nothing said, means Whisper's own ladder: it goes warmer only when the cold answer is a loop."""
    return [asked] if asked else [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]


def _output(task: TranscribeTask, heard: list[Any], info: Any) -> Transcribed:
    words = [word for segment in heard for word in segment.words or ()]
    return Transcribed(
        text="".join(segment.text for segment in heard).strip(),
        language=info.language,
        duration_s=round(float(info.duration), 3),
        completion_tokens=sum(len(segment.tokens) for segment in heard),
        segments=tuple(_part(each, each.text) for each in heard) if task.detail != "text" else (),
        words=tuple(_part(each, each.word) for each in words),
    )


def _part(timed: Any, text: str) -> HeardSegment:
    return HeardSegment(
        start_s=round(float(timed.start), 3), end_s=round(float(timed.end), 3), text=text.strip()
    )


def load(spec: Load) -> Model:
    """Needs `model.bin`, `config.json`, `tokenizer.json`, `vocabulary.txt` in the folder."""
    return Whisper(spec)
