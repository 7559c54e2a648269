"""The newest calls, page by page, also those of which there are few among millions."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from inferway.usage.ledger import Ledger
from inferway.usage.queries import Dimension, Place, UsageQuery
from inferway.usage.records import UsageRecord

_LOOKS = 5_000
"""So many calls are looked at in one go: some ten milliseconds."""

_TURNS = 8
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_WINDOWS = (timedelta(days=7), timedelta(days=100))
"""How far back the sums are asked first: they answer the quicker the shorter it is."""


class CallPage(Struct, frozen=True, kw_only=True):
    """Calls, the newest first, and where the list goes on (None: there are no more).

    A page may hold fewer calls than were asked for, or none.
    """

    records: tuple[UsageRecord, ...]
    after: Place | None


async def newest_calls(
    ledger: Ledger,
    query: UsageQuery,
    *,
    error_code: str | None = None,
    after: Place | None = None,
    limit: int,
) -> CallPage:
    """The calls that a query picks. Raises `StoreUnavailable`.

    Rows have an index by time, and those that failed one by code and time. Where few of them are picked, the sums by day and by hour say
    where to look next, so that nobody reads all the others. The work of one page has a bound whatever is picked.
    """
    if error_code is not None and query.status is None:
        # The sums know how calls ended, not of which error they died.
        query = replace(query, status="error")
    found: list[UsageRecord] = []
    end = query.end
    for _ in range(_TURNS):
        wanted = limit + 1 - len(found)
        look = await ledger.look_back(
            replace(query, end=end), error_code=error_code, after=after, looks=_LOOKS, limit=wanted
        )
        found += look.records
        if len(found) > limit:
            return CallPage(records=tuple(found[:limit]), after=Place.behind(found[limit - 1]))
        if look.last is None:
            return CallPage(records=tuple(found), after=None)
        after = look.last
        latest = await _end_of_latest(ledger, query, after.started_at)
        if latest is None:
            return CallPage(records=tuple(found), after=None)
        end = min(end, latest)
    return CallPage(records=tuple(found), after=after)


async def _end_of_latest(ledger: Ledger, query: UsageQuery, before: datetime) -> datetime | None:
    """When the latest hour ends, up to a moment, in which the sums know calls that the query picks; None when there is none."""
    for window in (*_WINDOWS, before - query.start):
        start = max(query.start, before - window)
        days = await _moments(ledger, query, start, before, "day")
        if days:
            day = max(start, days[-1])
            hours = await _moments(ledger, query, day, min(before, days[-1] + _DAY), "hour")
            # Sums by hour are kept for less long than those by day.
            return hours[-1] + _HOUR if hours else days[-1] + _DAY
        if start == query.start:
            break
    return None


async def _moments(
    ledger: Ledger, query: UsageQuery, start: datetime, before: datetime, by: Dimension
) -> Sequence[datetime]:
    # The moment itself may be the one call's that is looked for: ends are not included.
    end = before + timedelta(microseconds=1)
    sums = await ledger.sums(replace(query, start=start, end=end), (by,))
    return [each.group[0] for each in sums if isinstance(each.group[0], datetime) and each.sums["calls"]]
