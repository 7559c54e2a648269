"""The messages API's usage object as disjoint meters."""

from collections.abc import Mapping
from typing import Any

import msgspec

from inferway.types import Usage

MOST_TOKENS = 100_000_000
"""More than any one call can use; a larger count is taken for a defect."""


class _Counts:
    """Reads counts out of a stranger's object; remembers whether one could not be right."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = fields
        self.doubtful = False

    def find(self, name: str) -> int | None:
        """A count; None when it is absent or null, and when it cannot be right (which is remembered)."""
        value = self._fields.get(name)
        if value is None:
            return None
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS:
            return value
        self.doubtful = True
        return None

    def within(self, name: str, part: str) -> int:
        """A count inside a nested object; 0 when there is none."""
        nested = self._fields.get(name)
        if nested is None:
            return 0
        if not isinstance(nested, dict):
            self.doubtful = True
            return 0
        inner = _Counts(nested)
        count = inner.find(part) or 0
        self.doubtful = self.doubtful or inner.doubtful
        return count


def read_usage(fields: object) -> Usage:
    """The meters of a usage object; nothing is counted (`source` none) when it has no usable input and output count.

    `input_tokens` excludes both cache meters already; thinking tokens are part of `output_tokens`. A count that cannot be right is
    left out and the whole marked as estimated. Source: Anthropic API reference, messages, `usage`.
    """
    if not isinstance(fields, dict):
        return Usage()
    raw = msgspec.json.encode(fields)
    counts = _Counts(fields)
    given, made = counts.find("input_tokens"), counts.find("output_tokens")
    cached = counts.find("cache_read_input_tokens") or 0
    written = counts.find("cache_creation_input_tokens") or 0
    if not (given or made or cached or written):
        return Usage(raw=raw)
    thought = counts.within("output_tokens_details", "thinking_tokens")
    output = made or 0
    # An input of no tokens at all, or more thinking than output, cannot be: the provider counted wrongly.
    doubtful = (
        counts.doubtful or given is None or made is None or thought > output or not (given + cached + written)
    )
    reasoning = min(thought, output)
    return Usage(
        input=given or 0,
        cached_read=cached,
        cache_write=written,
        output=output - reasoning,
        reasoning=reasoning,
        source="estimated" if doubtful else "provider",
        raw=raw,
    )
