"""Moments in a table are exact, whatever their time zone."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from inferway.store.moments import to_microseconds, to_moment

ZONES = st.integers(-720, 840).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.datetimes(datetime(1900, 1, 2), datetime(2200, 1, 1), timezones=ZONES)  # noqa: DTZ001 - they get a zone


@given(MOMENTS, MOMENTS)
def test_a_moment_comes_back_and_keeps_its_order(one: datetime, two: datetime) -> None:
    assert to_moment(to_microseconds(one)) == one
    assert to_moment(to_microseconds(one)).tzinfo is UTC
    assert (one < two) == (to_microseconds(one) < to_microseconds(two))
