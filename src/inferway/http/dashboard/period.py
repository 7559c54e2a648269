"""The stretch of time that a page of figures is about, in UTC, and the days or hours that it has."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta

from msgspec import Struct

PERIODS = {"24h": "24 hours", "7d": "7 days", "30d": "30 days", "90d": "90 days", "custom": "Dates"}
"""What can be chosen, and how it is called."""

_DAYS = {"7d": 7, "30d": 30, "90d": 90}
_USUAL = "30d"
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_HOURLY_MAX = timedelta(days=3)
DAYS_MAX = 400


class Period(Struct, frozen=True, kw_only=True):
    """From `start` on and before `end`; `step` is an hour or a day. `problem` says what was wrong with the dates that were given."""

    name: str
    start: datetime
    end: datetime
    step: timedelta
    problem: str = ""

    @property
    def unit(self) -> str:
        """The name of the step, as the API calls it."""
        return "hour" if self.step == _HOUR else "day"

    @property
    def first_day(self) -> str:
        """The first day, for a field."""
        return self.start.date().isoformat()

    @property
    def last_day(self) -> str:
        """The last day that is in it, for a field."""
        return (self.end - timedelta(microseconds=1)).date().isoformat()

    @property
    def title(self) -> str:
        """How it is called in a heading."""
        if self.name == "custom":
            return f"{self.first_day} to {self.last_day}"
        return f"the last {PERIODS[self.name]}"

    def moments(self) -> Iterator[datetime]:
        """The beginning of every step."""
        at = self.start
        while at < self.end:
            yield at
            at += self.step


def read_period(query: Callable[[str], str], now: datetime) -> Period:
    """What the fields `period`, `start` and `end` mean; the last 30 days for what cannot be understood."""
    name = query("period")
    if name == "24h":
        end = _floor(now, _HOUR) + _HOUR
        return Period(name=name, start=end - _DAY, end=end, step=_HOUR)
    if name == "custom" or (not name and query("start")):
        return _custom(query("start"), query("end"), now)
    return _recent(name if name in _DAYS else _USUAL, now)


def _recent(name: str, now: datetime, problem: str = "") -> Period:
    end = _floor(now, _DAY) + _DAY
    return Period(name=name, start=end - _DAYS[name] * _DAY, end=end, step=_DAY, problem=problem)


def _custom(first: str, last: str, now: datetime) -> Period:
    today = now.astimezone(UTC).date()
    try:
        since = date.fromisoformat(first)
        until = min(date.fromisoformat(last) if last else today, today)
    except ValueError:
        return _recent(_USUAL, now, "A date is written as 2030-01-31.")
    if since > until:
        return _recent(_USUAL, now, "The first day lies behind the last one, or behind today.")
    if (until - since).days >= DAYS_MAX:
        return _recent(_USUAL, now, f"At most {DAYS_MAX} days can be shown at once.")
    start, end = (datetime.combine(each, time(), UTC) for each in (since, until + _DAY))
    return Period(name="custom", start=start, end=end, step=_HOUR if end - start <= _HOURLY_MAX else _DAY)


def _floor(moment: datetime, step: timedelta) -> datetime:
    began = datetime(1970, 1, 1, tzinfo=UTC)
    return moment - (moment - began) % step
