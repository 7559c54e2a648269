"""Moments in a table: whole microseconds since 1970, exact and ordered as the moments are."""

import math
from datetime import UTC, datetime

_SECOND = 1_000_000


def to_microseconds(moment: datetime) -> int:
    """An aware moment as stored."""
    return math.floor(moment.timestamp()) * _SECOND + moment.microsecond


def to_moment(microseconds: int) -> datetime:
    """A stored moment, in UTC."""
    seconds, rest = divmod(microseconds, _SECOND)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)
