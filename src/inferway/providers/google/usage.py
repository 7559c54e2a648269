"""Google's token counts as disjoint meters, whatever shape they come in."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from inferway.types import Usage

MOST_TOKENS = 100_000_000
"""More than any one call can use; a larger count is taken for a defect."""

_AUDIO = ("AUDIO", 4)
"""The name of the modality and its number in Google's enum, which some Vertex answers hold."""


class _Counts:
    """Reads counts out of a stranger's object; `clean` turns False when one of them cannot be right."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = fields
        self.clean = True

    def get(self, name: str) -> int:
        """A count; absent is 0, as proto JSON leaves zeros away."""
        return self.clamp(self._fields.get(name))

    def audio(self, name: str) -> int:
        """The audio tokens of a list of counts by modality."""
        details = self._fields.get(name)
        if not isinstance(details, Sequence) or isinstance(details, str):
            return 0
        return sum(
            self.clamp(item.get("tokenCount"))
            for item in details
            if isinstance(item, Mapping) and item.get("modality") in _AUDIO
        )

    def clamp(self, value: Any) -> int:
        """A whole number of tokens; 0 for what cannot be one."""
        if value is None:
            return 0
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST_TOKENS:
            self.clean = False
            return 0
        return int(value)


def read_usage(raw: msgspec.Raw) -> Usage:
    """A `usageMetadata` object as meters; `source` is `none` without one or without any count, `estimated` when one had to be mended.

    `promptTokenCount` includes cached tokens and all modalities, `candidatesTokenCount` excludes thoughts, tool-use tokens are
    counted apart. Source: Gemini API reference, UsageMetadata.
    """
    body = bytes(raw)
    if body in (b"", b"null"):
        return Usage()
    try:
        fields = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        # Numbers that no float can hold: the answer is good all the same.
        fields = None
    if not isinstance(fields, dict):
        return Usage(raw=body)
    counts = _Counts(fields)
    prompt = counts.get("promptTokenCount")
    cached = min(counts.get("cachedContentTokenCount"), prompt)
    cached_audio = min(counts.audio("cacheTokensDetails"), cached)
    audio = min(max(0, counts.audio("promptTokensDetails") - cached_audio), prompt - cached)
    meters = {
        "input": prompt - cached - audio + counts.get("toolUsePromptTokenCount"),
        "cached_read": cached,
        "audio_input": audio,
        "output": counts.get("candidatesTokenCount"),
        "reasoning": counts.get("thoughtsTokenCount"),
    }
    if not any(meters.values()):
        return Usage(raw=body)
    return Usage(**meters, source="provider" if counts.clean else "estimated", raw=body)


def sum_token_counts(values: Sequence[Any], raw: bytes | None) -> Usage:
    """Meters of counts that come one for each input, as Vertex text embeddings tell them; `none` when any is missing."""
    if not values or any(value is None for value in values):
        return Usage(raw=raw)
    counts = _Counts({})
    total = sum(counts.clamp(value) for value in values)
    if not total:
        return Usage(raw=raw)
    return Usage(input=total, source="provider" if counts.clean else "estimated", raw=raw)
