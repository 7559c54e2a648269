"""What the ledger tells people and programs: sums with what follows from them, under the names that the outside knows."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from msgspec import Struct

from inferway.types import METERS
from inferway.usage.ledger import Ledger
from inferway.usage.queries import Dimension, UsageQuery, has_latencies
from inferway.usage.rollups import ANSWERED, SUMS, percentile_ms

TOKENS = ("input", "cached_read", "cache_write", "audio_input", "output", "reasoning")
_MICRO = 1_000_000


class Group(Struct, frozen=True, kw_only=True):
    """What a group of calls comes to; `statuses` counts them by how they ended, `histogram` (if asked for) by how long they took."""

    key: tuple[str | datetime, ...]
    sums: dict[str, int]
    statuses: dict[str, int]
    histogram: dict[int, int] | None = None


async def add_up(
    ledger: Ledger, query: UsageQuery, by: tuple[Dimension, ...] = (), *, with_latency: bool = False
) -> tuple[Group, ...]:
    """The groups of a query that have calls, in order. Raises `StoreUnavailable`.

    Some questions have no histograms, whether they are asked for or not: see `has_latencies`.
    """
    found = await ledger.sums(query, by)
    if not (with_latency and has_latencies(query, by)):
        return tuple(Group(key=each.group, sums=each.sums, statuses=each.statuses) for each in found)
    histograms = {each.group: each.histogram for each in await ledger.latencies(query, by)}
    return tuple(
        Group(
            key=each.group,
            sums=each.sums,
            statuses=each.statuses,
            histogram=histograms.get(each.group, {}),
        )
        for each in found
    )


def total_of(groups: Iterable[Group]) -> Group | None:
    """All groups as one, with latencies if all have them; None when there are none."""
    sums: Counter[str] = Counter()
    statuses: Counter[str] = Counter()
    histogram: Counter[int] | None = Counter()
    for each in groups:
        sums.update(each.sums)
        statuses.update(each.statuses)
        if histogram is not None:
            histogram = None if each.histogram is None else histogram + Counter(each.histogram)
    return Group(key=(), sums=dict(sums), statuses=dict(statuses), histogram=histogram) if sums else None


def shown(group: Group | None, by: tuple[str, ...] = ()) -> dict[str, Any]:
    """A group as an object: its dimensions by name, counts, tokens, money, latencies in milliseconds.

    `cost_usd` and `cost_microusd` are those of the calls whose cost is known; `unpriced_calls` says how many are not in it.
    """
    if group is None:
        return shown(Group(key=(), sums=dict.fromkeys(SUMS, 0), statuses={}, histogram={}), by)
    sums = group.sums
    calls, prompt = sums["calls"], sum(sums[name] for name in TOKENS[:4])
    completion = sums["output"] + sums["reasoning"]
    told: dict[str, Any] = dict(zip(by, group.key, strict=True))
    told |= {
        "calls": calls,
        "errors": group.statuses.get("error", 0),
        "statuses": group.statuses,
        "attempts": sums["attempts"],
        "retries": sums["retries"],
        "streamed": sums["streamed"],
        "cached": sums["cached"],
        "tokens": {"prompt": prompt, "completion": completion, "total": prompt + completion},
        "meters": {name: sums[name] for name in METERS},
        "cost_usd": sums["cost_microusd"] / _MICRO,
        "cost_microusd": sums["cost_microusd"],
        "unpriced_calls": sums["unpriced"],
        "latency_ms": {"mean": round(sums["latency_us"] / 1000 / calls, 3) if calls else None},
    }
    if group.histogram is not None:
        told["latency_ms"] |= {
            f"p{share}": percentile_ms(group.histogram, share / 100) for share in (50, 95, 99)
        }
    return told


def error_rate(group: Group) -> float:
    """Which part of the calls whose end was seen failed, from 0 to 1."""
    errors = group.statuses.get("error", 0)
    ended = errors + sum(group.statuses.get(name, 0) for name in ANSWERED)
    return round(errors / ended, 6) if ended else 0.0
