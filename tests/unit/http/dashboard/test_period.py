"""Which days and hours a page of figures is about."""

from datetime import UTC, datetime, timedelta

import pytest

from inferway.http.dashboard.period import DAYS_MAX, read_period

NOW = datetime(2030, 3, 5, 14, 20, tzinfo=UTC)


def _read(**fields: str) -> tuple[str, str, str, int, str]:
    period = read_period(lambda name: fields.get(name, ""), NOW)
    moments = list(period.moments())
    return period.name, f"{moments[0]:%m-%d %H}", f"{moments[-1]:%m-%d %H}", len(moments), period.problem


def test_days_end_with_today_and_hours_with_this_one() -> None:
    assert _read() == ("30d", "02-04 00", "03-05 00", 30, "")
    assert _read(period="7d") == ("7d", "02-27 00", "03-05 00", 7, "")
    assert _read(period="90d")[3] == 90
    assert _read(period="24h") == ("24h", "03-04 15", "03-05 14", 24, "")
    assert _read(period="nonsense")[0] == "30d"


def test_dates_are_both_included() -> None:
    assert _read(period="custom", start="2030-01-31", end="2030-02-10")[1:4] == ("01-31 00", "02-10 00", 11)
    assert _read(start="2030-03-01")[2] == "03-05 00", "without an end until today"
    assert _read(period="custom", start="2030-03-04", end="2099-01-01")[2] == "03-05 23", (
        "today at most, by the hour"
    )


@pytest.mark.parametrize(
    ("start", "end", "problem"),
    [
        ("x", "", "written as"),
        ("2030-02-02", "2030-02-01", "behind the last"),
        ("2031-01-01", "", "behind today"),
        ("2001-01-01", "", f"{DAYS_MAX} days"),
        ("0001-01-01", "", f"{DAYS_MAX} days"),
    ],
)
def test_impossible_dates_say_so_and_show_what_is_usual(start: str, end: str, problem: str) -> None:
    told = _read(period="custom", start=start, end=end)
    assert problem in told[4]
    assert told[0] == "30d"


def test_a_period_tells_its_days_for_a_form() -> None:
    period = read_period(lambda name: {"period": "7d"}.get(name, ""), NOW)
    assert (period.first_day, period.last_day, period.unit) == ("2030-02-27", "2030-03-05", "day")
    assert period.end - period.start == timedelta(days=7)
