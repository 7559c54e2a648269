"""What many calls come to, by hour, by day and by week: made from the rows as they are written, so that nobody adds up millions later."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from typing import Any, Final, TypeVar

from msgspec import Struct
from msgspec.structs import astuple

from inferway.types import METERS
from inferway.usage.records import RecordStatus, UsageRecord


class View(IntEnum):
    """How finely calls are added up: for the whole organization (with an empty `namespace_id` and `key_id`), its namespaces, its keys.

    The views `ENDED_…` hold the same once more for the calls that did not end well, by how they ended. `…ALL_…` are those of
    namespaces and keys without provider, model and operation, which most questions about many keys do not ask for.
    """

    DAY = 0
    HOUR = 1
    NAMESPACE_DAY = 2
    NAMESPACE_HOUR = 3
    KEY_DAY = 4
    KEY_HOUR = 5
    WEEK = 6
    NAMESPACE_WEEK = 7
    KEY_WEEK = 8
    ENDED_DAY = 9
    ENDED_HOUR = 10
    ENDED_NAMESPACE_DAY = 11
    ENDED_NAMESPACE_HOUR = 12
    ENDED_KEY_DAY = 13
    ENDED_KEY_HOUR = 14
    ENDED_WEEK = 15
    ENDED_NAMESPACE_WEEK = 16
    ENDED_KEY_WEEK = 17
    ALL_NAMESPACE_DAY = 20
    ALL_NAMESPACE_HOUR = 21
    ALL_KEY_DAY = 22
    ALL_KEY_HOUR = 23
    ALL_NAMESPACE_WEEK = 25
    ALL_KEY_WEEK = 26
    ENDED_ALL_NAMESPACE_DAY = 29
    ENDED_ALL_NAMESPACE_HOUR = 30
    ENDED_ALL_KEY_DAY = 31
    ENDED_ALL_KEY_HOUR = 32
    ENDED_ALL_NAMESPACE_WEEK = 34
    ENDED_ALL_KEY_WEEK = 35

    def ended(self) -> "View":
        """The view of the calls that did not end well."""
        return View(self + 9)

    def of_all(self) -> "View":
        """The view without provider, model and operation; of the whole organization's there is none."""
        return View(self + 18)


_PERIODS: Final = (
    (View.HOUR, View.DAY, View.WEEK),
    (View.NAMESPACE_HOUR, View.NAMESPACE_DAY, View.NAMESPACE_WEEK),
    (View.KEY_HOUR, View.KEY_DAY, View.KEY_WEEK),
    (View.ALL_NAMESPACE_HOUR, View.ALL_NAMESPACE_DAY, View.ALL_NAMESPACE_WEEK),
    (View.ALL_KEY_HOUR, View.ALL_KEY_DAY, View.ALL_KEY_WEEK),
)
HOURLY: Final = tuple(hour + more for hour, _, _ in _PERIODS for more in (0, 9))
DAILY: Final = tuple(day + more for _, day, _ in _PERIODS for more in (0, 9))
WEEKLY: Final = tuple(week + more for _, _, week in _PERIODS for more in (0, 9))
"""Weeks are there so that a question over months that asks for no days reads few rows. Each is 168 hours, counted from 1970."""

BY_NAMESPACE: Final = tuple(view + more for place in (1, 3) for view in _PERIODS[place] for more in (0, 9))

DAY_HOURS: Final = 24
WEEK_HOURS: Final = 168

SUMS: Final = (
    "calls",
    "attempts",
    "retries",
    "streamed",
    "cached",
    *METERS,
    "cost_microusd",
    "unpriced",
    "latency_us",
    "upstream_us",
)
"""What is added up: counts, meters, micro-dollars of the calls whose cost is known, the number of those whose cost is not, microseconds."""

STATUSES: Final[tuple[RecordStatus, ...]] = ("ok", "partial", "error", "client_disconnected", "unknown")
COUNTED: Final = (*SUMS, *(f"ended_{name}" for name in STATUSES))
"""The columns of a row: the sums, and how many of the calls ended in each way."""

FineKey = tuple[str, int, str, str, str, str, str, str]
SlowKey = tuple[str, int, str, str, str, str, str, int]
"""What is added up first: organization, hour, namespace, key, provider, model, operation, and status or bucket."""

CellKey = tuple[str, int, int, str, str, str, str, str, str]
"""Organization, view, hour, namespace, key, provider, model, operation, status.

An hour is counted from 1970 in UTC; a day or a week is its first. The status is empty where all calls are counted together: most
questions do not ask for it, and each way to end would be a row of its own for them to read.
The views of those that did not end well tell it."""

LatencyKey = tuple[str, int, int, str, str, str, str, str, int]
"""The same with a bucket of the histogram in place of the status; only calls that were answered are in it, and
none of them by key and hour, which would be as many rows as calls."""

ANSWERED: Final = ("ok", "partial")
_HOUR_S = 3600
C = TypeVar("C")
_MOST = 10**12
"""More of one meter than any call can use: an impossible count must not make the sum of all others unusable."""

_PER_OCTAVE = 4
_FIRST = 40
_LONGEST_MS = 1e9
BUCKETS: Final = 128
"""Four buckets for each doubling of the latency, from 2^-10 ms to 2^22 ms (70 minutes): a percentile is right within 10 %."""


class Rolled(Struct, frozen=True, kw_only=True):
    """What is to be added to the rollups. The lists have the order of `COUNTED`."""

    sums: dict[CellKey, list[int]]
    latencies: dict[LatencyKey, int]


def roll(records: Iterable[UsageRecord]) -> Rolled:
    """Add up calls in every view."""
    groups: dict[FineKey, list[UsageRecord]] = {}
    key: FineKey
    for each in records:
        hour = int(each.started_at.timestamp()) // _HOUR_S
        names = (each.provider, each.model, each.operation, each.status)
        key = (each.organization_id, hour, each.namespace_id, each.key_id, *names)
        members = groups.get(key)
        if members is None:
            groups[key] = [each]
        else:
            members.append(each)
    slow: dict[SlowKey, int] = {}
    for key, members in groups.items():
        if key[-1] in ANSWERED:
            for bucket, count in Counter([bucket_of(each.latency_ms) for each in members]).items():
                slow[*key[:-1], bucket] = count
    fine = {
        key: _sums(members) + [len(members) * each for each in _ENDED[key[-1]]]
        for key, members in groups.items()
    }
    return Rolled(sums=_in_all_views(fine), latencies=_histograms(slow))


def roll_changes(changes: Iterable[tuple[UsageRecord, UsageRecord]]) -> Rolled:
    """What changes in the rollups when the cost of calls does: pairs of a record as it was and as it is now."""
    cost, unpriced = SUMS.index("cost_microusd"), SUMS.index("unpriced")
    fine: dict[FineKey, list[int]] = {}
    for was, now in changes:
        hour = int(was.started_at.timestamp()) // _HOUR_S
        place = (was.organization_id, hour, was.namespace_id, was.key_id, was.provider, was.model)
        cell = fine.setdefault((*place, was.operation, was.status), [0] * len(COUNTED))
        cell[cost] += (now.cost_microusd or 0) - (was.cost_microusd or 0)
        cell[unpriced] += (now.cost_microusd is None) - (was.cost_microusd is None)
    return Rolled(sums=_in_all_views(fine), latencies={})


def _sums(records: list[UsageRecord]) -> list[int]:
    """The sums of one group, in the order of `SUMS`; this runs for every call beside the calls themselves."""
    costs = [each.cost_microusd for each in records if each.cost_microusd is not None]
    # Its fields are the meters in their order, then source and raw.
    meters = zip(*[astuple(each.usage)[:-2] for each in records], strict=True)
    return [
        len(records),
        sum([len(each.attempts) for each in records]),
        sum([each.retries for each in records]),
        sum([each.streamed for each in records]),
        sum([each.cached for each in records]),
        *map(_meter, meters),
        sum(costs),
        len(records) - len(costs),
        round(sum([each.latency_ms for each in records]) * 1000),
        round(sum([each.upstream_ms for each in records]) * 1000),
    ]


def _meter(counts: tuple[int, ...]) -> int:
    return sum(counts) if max(counts) <= _MOST else sum(min(count, _MOST) for count in counts)


_ENDED: Final[Mapping[str, list[int]]] = {name: [int(name == each) for each in STATUSES] for name in STATUSES}


def _in_all_views(fine: dict[FineKey, list[int]]) -> dict[CellKey, list[int]]:
    """All calls together, and once more by how they ended those that did not end well."""
    together = _fold(fine, lambda key: (*key[:-1], ""), _plus)
    badly = {key: cell for key, cell in fine.items() if key[-1] != "ok"}
    sums: dict[Any, list[int]] = {}
    for view, cells in _views_of(together, _plus).items():
        sums |= {(key[0], view, *key[1:]): cell for key, cell in cells.items()}
    for view, cells in _views_of(badly, _plus).items():
        sums |= {(key[0], view.ended(), *key[1:]): cell for key, cell in cells.items()}
    return sums


def _histograms(slow: dict[SlowKey, int]) -> dict[LatencyKey, int]:
    latencies: dict[Any, int] = {}
    for view, counts in _views_of(slow, int.__add__).items():
        if view not in (View.KEY_HOUR, View.ALL_KEY_HOUR):
            latencies |= {(key[0], view, *key[1:]): count for key, count in counts.items()}
    return latencies


def _plus(one: list[int], other: list[int]) -> list[int]:
    return [a + b for a, b in zip(one, other, strict=True)]


def _views_of(by_key: Mapping[Any, C], add: Callable[[C, C], C]) -> dict[View, Mapping[Any, C]]:
    """Every view of all calls. Each is made from the next finer one, so that little is added twice."""
    by_namespace = _fold(by_key, lambda key: (*key[:3], "", *key[4:]), add)
    by_organization = _fold(by_namespace, lambda key: (*key[:2], "", "", *key[4:]), add)
    all_of = [
        _fold(cells, lambda key: (*key[:4], "", "", "", key[-1]), add) for cells in (by_namespace, by_key)
    ]
    levels = (by_organization, by_namespace, by_key, *all_of)
    found: dict[View, Mapping[Any, C]] = {}
    for (hour, day, week), hours in zip(_PERIODS, levels, strict=True):
        days = _fold(hours, lambda key: (key[0], key[1] - key[1] % DAY_HOURS, *key[2:]), add)
        weeks = _fold(days, lambda key: (key[0], key[1] - key[1] % WEEK_HOURS, *key[2:]), add)
        found |= {hour: hours, day: days, week: weeks}
    return found


def _fold(cells: Mapping[Any, C], name: Callable[[Any], Any], add: Callable[[C, C], C]) -> Mapping[Any, C]:
    found: dict[Any, C] = {}
    for key, cell in cells.items():
        place = name(key)
        found[place] = add(found[place], cell) if place in found else cell
    return found


def bucket_of(latency_ms: float) -> int:
    """The bucket of the histogram that a latency falls into."""
    if not latency_ms > 0:
        return 0
    return min(
        max(math.floor(_PER_OCTAVE * math.log2(min(latency_ms, _LONGEST_MS))) + _FIRST, 0), BUCKETS - 1
    )


def percentile_ms(histogram: dict[int, int], share: float) -> float | None:
    """The latency that a share (0 to 1) of the calls does not exceed, within 10 %; None without calls."""
    left = share * sum(histogram.values())
    for bucket, count in sorted(histogram.items()):
        if count and left <= count:
            return round(float(2 ** ((bucket - _FIRST + max(left, 0.0) / count) / _PER_OCTAVE)), 3)
        left -= count
    return None
