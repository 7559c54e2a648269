"""What many calls come to, by hour and by day: made from the rows as they are written, so that nobody has to add up millions later."""

import math
from collections import Counter
from collections.abc import Iterable
from enum import IntEnum
from operator import attrgetter
from typing import Final

from msgspec import Struct

from inferway.types import METERS
from inferway.usage.records import UsageRecord


class View(IntEnum):
    """How finely calls are added up: for the whole organization (with an empty `namespace_id` and `key_id`), its namespaces, its keys."""

    DAY = 0
    HOUR = 1
    NAMESPACE_DAY = 2
    NAMESPACE_HOUR = 3
    KEY_DAY = 4
    KEY_HOUR = 5


HOURLY: Final = (int(View.HOUR), int(View.NAMESPACE_HOUR), int(View.KEY_HOUR))
DAILY: Final = (int(View.DAY), int(View.NAMESPACE_DAY), int(View.KEY_DAY))

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

FineKey = tuple[str, int, str, str, str, str, str, str]
SlowKey = tuple[str, int, str, str, str, str, str, int]
"""What is added up first: organization, hour, namespace, key, provider, model, operation, and status or bucket."""

CellKey = tuple[str, int, int, str, str, str, str, str, str]
"""Organization, view, hour, namespace, key, provider, model, operation, status. An hour is counted from 1970 in UTC; a day is its first."""

LatencyKey = tuple[str, int, int, str, str, str, str, str, int]
"""The same with a bucket of the histogram in place of the status; only calls that were answered are in it, and
none of them by key and hour, which would be as many rows as calls."""

ANSWERED: Final = ("ok", "partial")
_HOUR_S = 3600
_DAY = 24
_MOST = 10**12
"""More of one meter than any call can use: an impossible count must not make the sum of all others unusable."""

_PER_OCTAVE = 4
_FIRST = 40
_LONGEST_MS = 1e9
BUCKETS: Final = 128
"""Four buckets for each doubling of the latency, from 2^-10 ms to 2^22 ms (70 minutes): a percentile is right within 10 %."""


class Rolled(Struct, frozen=True, kw_only=True):
    """What is to be added to the rollups. The lists have the order of `SUMS`."""

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
    return _in_all_views({key: _sums(members) for key, members in groups.items()}, slow)


def roll_changes(changes: Iterable[tuple[UsageRecord, UsageRecord]]) -> Rolled:
    """What changes in the rollups when the cost of calls does: pairs of a record as it was and as it is now."""
    cost, unpriced = SUMS.index("cost_microusd"), SUMS.index("unpriced")
    fine: dict[FineKey, list[int]] = {}
    for was, now in changes:
        hour = int(was.started_at.timestamp()) // _HOUR_S
        place = (was.organization_id, hour, was.namespace_id, was.key_id, was.provider, was.model)
        cell = fine.setdefault((*place, was.operation, was.status), [0] * len(SUMS))
        cell[cost] += (now.cost_microusd or 0) - (was.cost_microusd or 0)
        cell[unpriced] += (now.cost_microusd is None) - (was.cost_microusd is None)
    return _in_all_views(fine, {})


def _sums(records: list[UsageRecord]) -> list[int]:
    """The sums of one group, in the order of `SUMS`; this runs for every call beside the calls themselves."""
    costs = [each.cost_microusd for each in records if each.cost_microusd is not None]
    usages = [each.usage for each in records]
    return [
        len(records),
        sum([len(each.attempts) for each in records]),
        sum([each.retries for each in records]),
        sum([each.streamed for each in records]),
        sum([each.cached for each in records]),
        *[_meter(list(map(attrgetter(name), usages))) for name in METERS],
        sum(costs),
        len(records) - len(costs),
        round(sum([each.latency_ms for each in records]) * 1000),
        round(sum([each.upstream_ms for each in records]) * 1000),
    ]


def _meter(counts: list[int]) -> int:
    return sum(counts) if max(counts) <= _MOST else sum(min(count, _MOST) for count in counts)


def _in_all_views(fine: dict[FineKey, list[int]], slow: dict[SlowKey, int]) -> Rolled:
    sums: dict[CellKey, list[int]] = {}
    for (organization, hour, *owner, provider, model, operation, status), cell in fine.items():
        for view, begin, namespace, key in _places(hour, str(owner[0]), str(owner[1])):
            place = (organization, view, begin, namespace, key, provider, model, operation, status)
            known = sums.get(place)
            sums[place] = cell if known is None else [a + b for a, b in zip(known, cell, strict=True)]
    latencies: dict[LatencyKey, int] = {}
    for (organization, hour, *owner, provider, model, operation, bucket), count in slow.items():
        for view, begin, namespace, key in _places(hour, str(owner[0]), str(owner[1])):
            if view != View.KEY_HOUR:
                at = (organization, view, begin, namespace, key, provider, model, operation, bucket)
                latencies[at] = latencies.get(at, 0) + count
    return Rolled(sums=sums, latencies=latencies)


def _places(hour: int, namespace_id: str, key_id: str) -> tuple[tuple[int, int, str, str], ...]:
    """Where a call of an hour is counted: view, bucket, namespace, key."""
    day = hour - hour % _DAY
    return (
        (0, day, "", ""),
        (1, hour, "", ""),
        (2, day, namespace_id, ""),
        (3, hour, namespace_id, ""),
        (4, day, namespace_id, key_id),
        (5, hour, namespace_id, key_id),
    )


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
