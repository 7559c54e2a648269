"""Moments in a table: whole microseconds since 1970, exact and ordered as the moments are."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_microseconds(moment: datetime) -> int:
    """An aware moment as stored."""
    return (moment - _EPOCH) // _MICROSECOND


def to_moment(microseconds: int) -> datetime:
    """A stored moment, in UTC."""
    return _EPOCH + microseconds * _MICROSECOND
