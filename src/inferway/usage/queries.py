"""What can be asked of the ledger, and what it answers."""

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from msgspec import Struct

from inferway.types import METERS
from inferway.usage.records import UsageRecord
from inferway.usage.rollups import DAILY, DAY_HOURS, HOURLY, STATUSES, SUMS, WEEK_HOURS, WEEKLY, View

Dimension = Literal["hour", "day", "namespace_id", "key_id", "provider", "model", "operation", "status"]
FILTERS = ("key_id", "provider", "model", "operation", "status")
_HOUR_S = 3600
_MONTH_AND_MORE = timedelta(days=35)


class UsageQuery(Struct, frozen=True, kw_only=True):
    """Calls of one organization that began from `start` on and before `end`; both are aware.

    `namespaces` are ids (None: all). Sums take whole hours: `start` is rounded down and `end` up.
    """

    organization_id: str
    start: datetime
    end: datetime
    namespaces: tuple[str, ...] | None = None
    key_id: str | None = None
    provider: str | None = None
    model: str | None = None
    operation: str | None = None
    status: str | None = None


class UsageSum(Struct, frozen=True, kw_only=True):
    """What a group of calls comes to. `group` has a value for each dimension that was asked for: text, or a moment for `hour` and `day`.

    `statuses` counts the calls by how they ended, without those that nobody met.
    """

    group: tuple[str | datetime, ...]
    sums: dict[str, int]
    statuses: dict[str, int]

    @property
    def tokens(self) -> int:
        """All tokens, in and out."""
        return sum(self.sums[name] for name in TOKENS)


TOKENS = tuple(
    name
    for name in METERS
    if name in ("input", "cached_read", "cache_write", "output", "reasoning", "audio_input")
)


class Latencies(Struct, frozen=True, kw_only=True):
    """How long the answered calls of a group took: how many fall into each bucket."""

    group: tuple[str | datetime, ...]
    histogram: dict[int, int]


class Place(Struct, frozen=True, kw_only=True):
    """Where a list of calls goes on: behind this one."""

    started_at: datetime
    record_id: str

    @classmethod
    def behind(cls, record: UsageRecord) -> "Place":
        """The place behind a record."""
        return cls(started_at=record.started_at, record_id=record.record_id)


class Repriced(Struct, frozen=True, kw_only=True):
    """A call whose cost changes: the record as it was found, and its new cost."""

    was: UsageRecord
    now: UsageRecord


class Cutoffs(Struct, frozen=True, kw_only=True):
    """Before which moment what is deleted: calls, hourly and daily rollups; None keeps all."""

    calls: datetime | None = None
    hourly: datetime | None = None
    daily: datetime | None = None


def old_rollups(cutoffs: Cutoffs) -> list[tuple[tuple[int, ...], int]]:
    """Which views lose what begins before which hour. A week goes when its last day may."""
    found: list[tuple[tuple[int, ...], int]] = []
    if cutoffs.hourly is not None:
        found.append((HOURLY, hour_of(cutoffs.hourly)))
    if cutoffs.daily is not None:
        end = hour_of(cutoffs.daily)
        found += [(DAILY, end), (WEEKLY, end - WEEK_HOURS + 1)]
    return found


class Span(Struct, frozen=True, kw_only=True):
    """A part of a range that one view answers: from hour to hour, the last not included."""

    view: View
    first: int
    end: int


def spans(query: UsageQuery, by: tuple[Dimension, ...]) -> tuple[Span, ...]:
    """The parts of a query's range: weeks and days where they are whole, hours at its ends or when hours are asked for."""
    hour, day, week = _views(query, by)
    sizes = [(WEEK_HOURS, week), (DAY_HOURS, day), (1, hour)]
    if "hour" in by:
        sizes = sizes[2:]
    elif "day" in by:
        sizes = sizes[1:]
    return tuple(_cut(*_hours(query), sizes))


def _cut(first: int, end: int, sizes: Sequence[tuple[int, View]]) -> list[Span]:
    """A range in as large pieces as it has whole ones of; the last size divides both ends."""
    if end <= first:
        return []
    (size, view), *finer = sizes
    begin, stop = -(-first // size) * size, end // size * size
    if begin >= stop:
        return _cut(first, end, finer)
    return [*_cut(first, begin, finer), Span(view=view, first=begin, end=stop), *_cut(stop, end, finer)]


def ended_spans(query: UsageQuery, by: tuple[Dimension, ...]) -> tuple[Span, ...]:
    """The same parts in the views that tell how calls ended which did not end well."""
    return tuple(Span(view=each.view.ended(), first=each.first, end=each.end) for each in spans(query, by))


def is_by_status(query: UsageQuery, by: tuple[Dimension, ...]) -> bool:
    """Whether a question needs the views that tell how calls ended."""
    return query.status is not None or "status" in by


def latency_spans(query: UsageQuery, by: tuple[Dimension, ...]) -> tuple[Span, ...]:
    """The same for histograms, of which there are only whole days by key."""
    if not _is_by_key(query, by):
        return spans(query, by)
    first, end = _hours(query)
    if end <= first:
        return ()
    days = (first // DAY_HOURS * DAY_HOURS, -(-end // DAY_HOURS) * DAY_HOURS)
    _, day, week = _views(query, by)
    sizes = [(WEEK_HOURS, week), (DAY_HOURS, day)]
    return tuple(_cut(*days, sizes[1:] if "day" in by else sizes))


def has_latencies(query: UsageQuery, by: tuple[Dimension, ...]) -> bool:
    """Whether histograms can answer: they know nothing of how calls ended, and no hours by key."""
    return not is_by_status(query, by) and not ("hour" in by and _is_by_key(query, by))


def _views(query: UsageQuery, by: tuple[Dimension, ...]) -> tuple[View, View, View]:
    """The coarsest views that can tell: by hour, by day and by week."""
    if _is_by_key(query, by):
        views = (View.KEY_HOUR, View.KEY_DAY, View.KEY_WEEK)
    elif query.namespaces is not None or "namespace_id" in by:
        views = (View.NAMESPACE_HOUR, View.NAMESPACE_DAY, View.NAMESPACE_WEEK)
    else:
        return View.HOUR, View.DAY, View.WEEK
    if any(name in by or getattr(query, name) is not None for name in ("provider", "model", "operation")):
        return views
    return views[0].of_all(), views[1].of_all(), views[2].of_all()


def _is_by_key(query: UsageQuery, by: tuple[Dimension, ...]) -> bool:
    return query.key_id is not None or "key_id" in by


def _hours(query: UsageQuery) -> tuple[int, int]:
    return hour_of(query.start), -(-math.ceil(query.end.timestamp()) // _HOUR_S)


def spending(
    organization_id: str, start: datetime, key_id: str | None, namespace_id: str | None
) -> UsageQuery:
    """All that was spent since the beginning of a month, by one key or in one namespace when they are named."""
    return UsageQuery(
        organization_id=organization_id,
        start=start,
        # Days of a range with an end are looked up one by one.
        end=start + _MONTH_AND_MORE,
        key_id=key_id,
        namespaces=None if namespace_id is None else (namespace_id,),
    )


def spent_since(days: Iterable[UsageSum], start: datetime) -> int:
    """Micro-dollars of the days from one on."""
    return sum(each.sums["cost_microusd"] for each in days if each.group >= (start,))


def hour_of(moment: datetime) -> int:
    """The number of a moment's hour, from 1970."""
    return math.floor(moment.timestamp()) // _HOUR_S


def moment_of(hour: int) -> datetime:
    """When an hour begins."""
    return datetime.fromtimestamp(hour * _HOUR_S, UTC)


def merged(
    by: tuple[Dimension, ...], parts: Iterable[tuple[tuple[Any, ...], Sequence[int]]]
) -> tuple[UsageSum, ...]:
    """The sums of several spans as one, in the order of their groups; hours become moments.

    Values stand in the order of `COUNTED`; a group without calls is left out.
    """
    found: dict[tuple[Any, ...], Sequence[int]] = {}
    for group, values in parts:
        known = found.get(group)
        found[group] = values if known is None else [a + b for a, b in zip(known, values, strict=True)]
    return tuple(
        UsageSum(
            group=_shown(by, group),
            sums=dict(zip(SUMS, values, strict=False)),
            statuses={
                name: count for name, count in zip(STATUSES, values[len(SUMS) :], strict=True) if count
            },
        )
        for group, values in sorted(found.items())
        if values[0]
    )


Part = tuple[tuple[Any, ...], Sequence[int]]
"""A group and what is counted of it, in the order of `COUNTED`."""


def told_apart(
    query: UsageQuery, by: tuple[Dimension, ...], together: Iterable[Part], badly: Iterable[Part]
) -> list[Part]:
    """The parts of a question by status, from those of all calls and from those of the calls that did not end well.

    Calls that ended well are all but the others: nothing else counts them by themselves.
    """
    place = by.index("status") if "status" in by else len(by)

    def as_well(group: tuple[Any, ...]) -> tuple[Any, ...]:
        return (*group[:place], "ok", *group[place + 1 :])[: len(by)]

    parts: list[Part] = []
    for group, values in badly:
        if query.status != "ok":
            parts.append((group, values))
        if query.status in (None, "ok"):
            parts.append((as_well(group), [-each for each in values]))
    if query.status in (None, "ok"):
        parts += [(as_well(group), values) for group, values in together]
    return parts


def merged_latencies(
    by: tuple[Dimension, ...], parts: Iterable[tuple[tuple[Any, ...], int, int]]
) -> tuple[Latencies, ...]:
    """The same for histograms: group, bucket and count."""
    found: dict[tuple[Any, ...], dict[int, int]] = {}
    for group, bucket, count in parts:
        histogram = found.setdefault(group, {})
        histogram[bucket] = histogram.get(bucket, 0) + count
    return tuple(Latencies(group=_shown(by, group), histogram=found[group]) for group in sorted(found))


def _shown(by: tuple[Dimension, ...], group: tuple[Any, ...]) -> tuple[str | datetime, ...]:
    return tuple(
        moment_of(value) if name in ("hour", "day") else value for name, value in zip(by, group, strict=True)
    )
