"""OpenAI's usage objects as disjoint meters; counts that cannot be right are clamped and the whole marked as estimated."""

from typing import Annotated, Any, TypeGuard

import msgspec
from msgspec import Meta, Raw, Struct

from inferway.types import Usage

MOST_TOKENS = 100_000_000
"""More than any one call can use; a larger count is taken for a defect."""

MOST_SECONDS = 1_000_000.0
_LONGEST = 16_384


class _Counts:
    """Reads counts out of a stranger's object; remembers whether one could not be right."""

    def __init__(self, fields: object) -> None:
        self._fields = fields if isinstance(fields, dict) else {}
        self.doubtful = not isinstance(fields, dict)

    def find(self, *path: str) -> int | None:
        """The count at a path; None when it is absent or null, and when it cannot be right (which is remembered)."""
        value: Any = self._fields
        for step in path:
            if not isinstance(value, dict):
                self.doubtful = True
                return None
            value = value.get(step)
            if value is None:
                return None
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS:
            return value
        self.doubtful = True
        return None

    def part(self, whole: int, *path: str) -> int:
        """A count that is part of another and cannot exceed it."""
        count = self.find(*path) or 0
        if count > whole:
            self.doubtful = True
        return min(count, whole)


def read_usage(raw: Raw) -> tuple[_Counts, bytes] | None:
    """The counts of a usage object with its own bytes; None when there is none (or one too long to be one)."""
    content = bytes(raw)
    if not content or content == b"null" or len(content) > _LONGEST:
        return None
    return _Counts(_decode(content)), content


def _decode(content: bytes) -> object:
    """The usage object; a number beyond all range or a nesting too deep makes it none."""
    try:
        return msgspec.json.decode(content)
    except (msgspec.MsgspecError, RecursionError):
        return None


def chat_usage(raw: Raw) -> Usage:
    """`usage` of a chat completion: cached and audio tokens are part of the prompt, reasoning tokens part of the completion.

    Servers that count reasoning beside the completion (their total says so) are understood. A missing half is taken
    from the total. Source: OpenAI API reference, chat completions, `CompletionUsage`.
    """
    plain = _find_plain(raw)
    if plain is not None:
        return plain
    found = read_usage(raw)
    if found is None:
        return Usage()
    counts, content = found
    total = counts.find("total_tokens")
    prompt, completion = counts.find("prompt_tokens"), counts.find("completion_tokens")
    if (prompt is None and completion is None) or not (prompt or completion or total):
        # No answer has no tokens at all: servers that count nothing say 0.
        return Usage(raw=content)
    if prompt is None or completion is None:
        counts.doubtful = True
        prompt, completion = _halves(prompt, completion, total)
    reasoning = counts.find("completion_tokens_details", "reasoning_tokens") or 0
    if total == prompt + completion + reasoning:
        completion += reasoning
    elif total is not None and total != prompt + completion:
        counts.doubtful = True
    return _chat_meters(counts, prompt, completion, content)


_Count = Annotated[int, Meta(ge=0, le=MOST_TOKENS)]


class _PromptDetails(Struct, frozen=True):
    cached_tokens: _Count = 0
    audio_tokens: _Count = 0
    cache_write_tokens: _Count = 0


class _CompletionDetails(Struct, frozen=True):
    reasoning_tokens: _Count = 0


class _PlainUsage(Struct, frozen=True):
    prompt_tokens: _Count
    completion_tokens: _Count
    total_tokens: _Count
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None
    prompt_cache_hit_tokens: None = None


_plain_decoder = msgspec.json.Decoder(_PlainUsage)
_NO_PROMPT_DETAILS, _NO_COMPLETION_DETAILS = _PromptDetails(), _CompletionDetails()


def _find_plain(raw: Raw) -> Usage | None:
    """The meters of a usage object in which everything is as documented and adds up; None for any other, which is read with care."""
    if len(bytes(raw)) > _LONGEST:
        return None
    try:
        told = _plain_decoder.decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    prompt = told.prompt_tokens_details or _NO_PROMPT_DETAILS
    completion = told.completion_tokens_details or _NO_COMPLETION_DETAILS
    reasoning = completion.reasoning_tokens
    plain = told.prompt_tokens - prompt.cached_tokens - prompt.cache_write_tokens - prompt.audio_tokens
    is_sum = told.total_tokens == told.prompt_tokens + told.completion_tokens
    if not is_sum or not told.total_tokens or plain < 0 or reasoning > told.completion_tokens:
        return None
    return Usage(
        input=plain,
        cached_read=prompt.cached_tokens,
        cache_write=prompt.cache_write_tokens,
        audio_input=prompt.audio_tokens,
        output=told.completion_tokens - reasoning,
        reasoning=reasoning,
        source="provider",
        raw=bytes(raw),
    )


def _chat_meters(counts: _Counts, prompt: int, completion: int, content: bytes) -> Usage:
    details = "prompt_tokens_details"
    cached = counts.part(prompt, details, "cached_tokens")
    cached = cached or counts.part(prompt, "prompt_cache_hit_tokens")
    written = counts.part(prompt - cached, details, "cache_write_tokens")
    audio = counts.part(prompt - cached - written, details, "audio_tokens")
    reasoning = counts.part(completion, "completion_tokens_details", "reasoning_tokens")
    return Usage(
        input=prompt - cached - written - audio,
        cached_read=cached,
        cache_write=written,
        audio_input=audio,
        output=completion - reasoning,
        reasoning=reasoning,
        source="estimated" if counts.doubtful else "provider",
        raw=content,
    )


def _halves(prompt: int | None, completion: int | None, total: int | None) -> tuple[int, int]:
    rest = max(0, (total or 0) - (prompt or completion or 0))
    return (rest if prompt is None else prompt), (rest if completion is None else completion)


def embedding_usage(raw: Raw) -> Usage:
    """`usage` of embeddings: all tokens are input. Source: OpenAI API reference, embeddings."""
    found = read_usage(raw)
    if found is None:
        return Usage()
    counts, content = found
    prompt, total = counts.find("prompt_tokens"), counts.find("total_tokens")
    if prompt is None and total is None:
        return Usage(raw=content)
    doubtful = counts.doubtful or (prompt is not None and total is not None and prompt != total)
    tokens = prompt if prompt is not None else total
    return Usage(input=tokens or 0, source="estimated" if doubtful else "provider", raw=content)


def transcription_usage(raw: Raw, duration_s: float | None) -> Usage:
    """`usage` of a transcription: seconds (`whisper-1`) or tokens; else the duration that the answer tells, as an estimate.

    Source: OpenAI API reference, audio transcriptions.
    """
    found = read_usage(raw)
    if found is None:
        return _by_duration(duration_s, None)
    counts, content = found
    fields = _decode(content)
    if isinstance(fields, dict) and fields.get("type") == "duration":
        seconds = fields.get("seconds")
        if not is_seconds(seconds):
            return _by_duration(duration_s, content)
        return Usage(audio_ms=round(seconds * 1000), source="provider", raw=content)
    return _transcription_tokens(counts, content) or _by_duration(duration_s, content)


def _transcription_tokens(counts: _Counts, content: bytes) -> Usage | None:
    taken, given = counts.find("input_tokens"), counts.find("output_tokens")
    total = counts.find("total_tokens")
    if taken is None and given is None:
        return None
    if taken is None or given is None:
        counts.doubtful = True
        taken, given = _halves(taken, given, total)
    elif total is not None and total != taken + given:
        counts.doubtful = True
    audio = counts.part(taken, "input_token_details", "audio_tokens")
    return Usage(
        input=taken - audio,
        audio_input=audio,
        output=given,
        source="estimated" if counts.doubtful else "provider",
        raw=content,
    )


def _by_duration(duration_s: float | None, content: bytes | None) -> Usage:
    if duration_s is None or not is_seconds(duration_s):
        return Usage(raw=content)
    return Usage(audio_ms=round(duration_s * 1000), source="estimated", raw=content)


def is_seconds(value: Any) -> TypeGuard[float]:
    """Whether a JSON value is a length of time that can be right."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= MOST_SECONDS
