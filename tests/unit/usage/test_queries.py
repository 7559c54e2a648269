"""A question's range is cut into weeks, days and hours, each hour of it in one piece."""

from datetime import UTC, datetime, timedelta
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from inferway.usage.queries import Cutoffs, UsageQuery, hour_of, old_rollups, spans
from inferway.usage.records import RecordStatus
from inferway.usage.rollups import DAILY, HOURLY, STATUSES, WEEKLY, View

START = datetime(2026, 3, 4, tzinfo=UTC)
QUERY = UsageQuery(organization_id="org_1", start=START, end=START)
SIZES = {**dict.fromkeys(HOURLY, 1), **dict.fromkeys(DAILY, 24), **dict.fromkeys(WEEKLY, 168)}


@given(st.integers(0, 3000), st.integers(0, 3000), st.sampled_from(((), ("day",), ("hour",), ("key_id",))))
def test_every_hour_of_a_range_is_in_one_piece(begin: int, length: int, by: tuple[str, ...]) -> None:
    start = START + timedelta(hours=begin)
    query = replace(QUERY, start=start, end=start + timedelta(hours=length))
    at = hour_of(start)
    for span in spans(query, by):  # type: ignore[arg-type] # names of dimensions
        assert span.first == at
        assert span.end > span.first
        assert span.first % SIZES[span.view] == span.end % SIZES[span.view] == 0
        at = span.end
    assert at == hour_of(start) + length


def test_ninety_days_are_a_few_weeks_and_days() -> None:
    query = replace(QUERY, end=START + timedelta(days=90))
    pieces = [(span.view, (span.end - span.first) // SIZES[span.view]) for span in spans(query, ("model",))]
    assert pieces == [(View.DAY, 1), (View.WEEK, 12), (View.DAY, 5)]
    assert [span.view for span in spans(query, ("day",))] == [View.DAY]
    one_key = spans(replace(query, key_id="key_1"), ("model",))
    assert [span.view for span in one_key] == [View.KEY_DAY, View.KEY_WEEK, View.KEY_DAY]


def test_a_week_is_kept_until_its_last_day_may_go() -> None:
    monday = datetime(2026, 3, 9, tzinfo=UTC)
    ends = dict(old_rollups(Cutoffs(hourly=monday, daily=monday)))
    assert ends[HOURLY] == ends[DAILY] == hour_of(monday)
    thursday = hour_of(datetime(2026, 3, 5, tzinfo=UTC))
    assert thursday - 168 < ends[WEEKLY] <= thursday, "the week since Thursday holds days that stay"
    assert old_rollups(Cutoffs()) == []


def test_every_way_that_a_call_ends_is_counted() -> None:
    assert get_args(RecordStatus) == STATUSES
