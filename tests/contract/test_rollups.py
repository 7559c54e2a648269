"""Every store adds calls up alike, and the sums always agree with the rows."""

import random
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from inferway.store.ledger import SqlLedger
from inferway.store.memory.ledger import MemoryLedger
from inferway.store.work import SqlDatabase
from inferway.types import METERS, Usage
from inferway.usage.ledger import Ledger
from inferway.usage.queries import Cutoffs, Dimension, Place, Repriced, UsageQuery
from inferway.usage.records import AttemptRecord, UsageRecord
from inferway.usage.rollups import ANSWERED, bucket_of, percentile_ms

MIDNIGHT = datetime(2026, 3, 4, tzinfo=UTC)
ALL = UsageQuery(
    organization_id="org_1", start=MIDNIGHT - timedelta(days=1), end=MIDNIGHT + timedelta(days=9)
)
QUERIES = {
    "all": ALL,
    "two days": replace(ALL, start=MIDNIGHT + timedelta(days=1), end=MIDNIGHT + timedelta(days=3)),
    "odd hours": replace(ALL, start=MIDNIGHT + timedelta(hours=5), end=MIDNIGHT + timedelta(days=2, hours=7)),
    "within a day": replace(ALL, start=MIDNIGHT + timedelta(hours=5), end=MIDNIGHT + timedelta(hours=9)),
    "one key": replace(ALL, key_id="key_1"),
    "one model": replace(ALL, provider="openai", model="m1"),
    "errors": replace(ALL, status="error"),
    "those that ended well": replace(ALL, status="ok", namespaces=("ns_1",)),
    "one operation": replace(ALL, operation="chat"),
    "some namespaces": replace(ALL, namespaces=("ns_0", "ns_2", "none")),
    "no namespace": replace(ALL, namespaces=()),
    "somebody else": replace(ALL, organization_id="org_2"),
    "nothing": replace(ALL, start=ALL.end, end=ALL.end + timedelta(days=1)),
}
GROUPS: tuple[tuple[Dimension, ...], ...] = (
    (),
    ("day",),
    ("hour", "model"),
    ("provider", "model", "status"),
    ("key_id",),
    ("status", "key_id"),
    ("day", "namespace_id", "operation"),
)


@pytest.fixture
def ledger(database: SqlDatabase | None) -> Ledger:
    return MemoryLedger() if database is None else SqlLedger(database)


def some_calls(count: int, seed: int = 7) -> list[UsageRecord]:
    """Calls of two organizations over four days, some without a price, some that failed."""
    draw = random.Random(seed)
    return [_call(draw, number) for number in range(count)]


def _call(draw: random.Random, number: int) -> UsageRecord:
    # Quarters add up exactly in whatever order.
    latency_ms = round(draw.lognormvariate(6, 1.5) * 4) / 4
    meters = {name: draw.choice((0, 0, draw.randrange(5000))) for name in METERS}
    return UsageRecord(
        record_id=f"{number:08}",
        request_id="r",
        organization_id=draw.choice(("org_1", "org_1", "org_2")),
        namespace_id=f"ns_{draw.randrange(3)}",
        key_id=f"key_{draw.randrange(4)}",
        operation=draw.choice(("chat", "text_embedding")),
        provider=draw.choice(("openai", "google")),
        model=f"m{draw.randrange(3)}",
        status=draw.choice(("ok", "ok", "ok", "partial", "error", "client_disconnected", "unknown")),
        started_at=MIDNIGHT
        + timedelta(seconds=draw.randrange(4 * 86_400), microseconds=draw.randrange(10**6)),
        latency_ms=latency_ms,
        upstream_ms=latency_ms / 2,
        usage=replace(Usage(source="provider"), **meters),
        attempts=(AttemptRecord(provider="openai", model="m", outcome="ok", duration_ms=1.0),)
        * draw.randrange(3),
        cost_microusd=draw.choice((None, 0, draw.randrange(10**6))),
        price_version="v1",
        streamed=draw.random() < 0.3,
        cached=draw.random() < 0.1,
        retries=draw.randrange(2),
    )


def picked(records: Iterable[UsageRecord], query: UsageQuery) -> list[UsageRecord]:
    """The records that a query means, by whole hours."""
    first = query.start.replace(minute=0, second=0)
    names = ("organization_id", "key_id", "provider", "model", "operation", "status")
    return [
        each
        for each in records
        if first <= each.started_at < query.end
        and all(getattr(query, name) in (None, getattr(each, name)) for name in names)
        and (query.namespaces is None or each.namespace_id in query.namespaces)
    ]


def group_of(record: UsageRecord, by: tuple[Dimension, ...]) -> tuple[object, ...]:
    day = record.started_at.replace(hour=0, minute=0, second=0, microsecond=0)
    times = {"day": day, "hour": record.started_at.replace(minute=0, second=0, microsecond=0)}
    return tuple(times[name] if name in times else getattr(record, name) for name in by)


def added_up(records: list[UsageRecord]) -> dict[str, int]:
    """The same sums, the slow way."""
    costs = [each.cost_microusd for each in records]
    return {name: sum(getattr(each.usage, name) for each in records) for name in METERS} | {
        "calls": len(records),
        "attempts": sum(len(each.attempts) for each in records),
        "retries": sum(each.retries for each in records),
        "streamed": sum(each.streamed for each in records),
        "cached": sum(each.cached for each in records),
        "cost_microusd": sum(cost for cost in costs if cost is not None),
        "unpriced": costs.count(None),
        "latency_us": round(sum(each.latency_ms for each in records) * 1000),
        "upstream_us": round(sum(each.upstream_ms for each in records) * 1000),
    }


async def check_sums(ledger: Ledger, records: list[UsageRecord], names: Iterable[str] = QUERIES) -> None:
    for name in names:
        wanted = picked(records, QUERIES[name])
        for by in GROUPS:
            expected: dict[tuple[object, ...], list[UsageRecord]] = {}
            for record in wanted:
                expected.setdefault(group_of(record, by), []).append(record)
            found = {each.group: (each.sums, each.statuses) for each in await ledger.sums(QUERIES[name], by)}
            assert found == {
                group: (added_up(members), Counter(each.status for each in members))
                for group, members in expected.items()
            }, (name, by)


async def test_sums_are_those_of_the_rows_for_every_question(ledger: Ledger) -> None:
    records = some_calls(500)
    for start in range(0, 500, 130):
        await ledger.add(records[start : start + 130])
    await check_sums(ledger, records)


async def test_many_calls_of_one_hour_that_are_alike_count_as_many(ledger: Ledger) -> None:
    [call] = some_calls(1)
    ends = ("ok",) * 5 + ("error",) * 3
    alike = [replace(call, record_id=f"r{place}", status=end) for place, end in enumerate(ends)]
    await ledger.add(alike)
    [total] = await ledger.sums(replace(ALL, organization_id=call.organization_id), ())
    assert (total.sums["calls"], total.statuses) == (8, {"ok": 5, "error": 3})


async def test_a_batch_that_is_partly_there_is_added_up_once(ledger: Ledger) -> None:
    records = some_calls(120)
    assert await ledger.add(records[:70]) == 70
    assert await ledger.add(records) == 50
    assert await ledger.add([*records, *records]) == 0
    await check_sums(ledger, records, ["all", "one key"])


async def test_histograms_hold_every_answered_call(ledger: Ledger) -> None:
    records = some_calls(300)
    await ledger.add(records)
    for name in ("all", "odd hours", "one key", "within a day"):
        expected: dict[str, dict[int, int]] = {}
        for record in picked(records, QUERIES[name]):
            if record.status in ANSWERED:
                histogram = expected.setdefault(record.model, {})
                bucket = bucket_of(record.latency_ms)
                histogram[bucket] = histogram.get(bucket, 0) + 1
        found = {each.group[0]: each.histogram for each in await ledger.latencies(QUERIES[name], ("model",))}
        assert found == expected, name


async def test_a_scan_gives_every_call_once_in_order(ledger: Ledger) -> None:
    records = [
        replace(each, started_at=each.started_at.replace(second=0, microsecond=0)) for each in some_calls(200)
    ]
    await ledger.add(records)
    query = QUERIES["one key"]
    found: list[UsageRecord] = []
    while page := await ledger.scan(query, Place.behind(found[-1]) if found else None, limit=7):
        found += page
    wanted = [each for each in picked(records, query) if query.start <= each.started_at < query.end]
    assert found == sorted(wanted, key=lambda each: (each.started_at, each.record_id))
    assert len(found) > 7


async def test_a_new_price_moves_the_rows_and_the_sums_together(ledger: Ledger) -> None:
    records = some_calls(200)
    await ledger.add(records)
    changes = [
        Repriced(was=each, now=replace(each, cost_microusd=cost, price_version="v2"))
        for each, cost in zip(records[:90], (5, None, 10**7) * 30, strict=True)
    ]
    assert await ledger.reprice(changes) == 90
    now = {each.record_id: each for each in records} | {each.now.record_id: each.now for each in changes}
    assert await ledger.find_record(records[0].record_id) == changes[0].now
    await check_sums(ledger, list(now.values()), ["all", "two days", "one key"])


async def test_a_cost_that_changed_meanwhile_is_left_alone(ledger: Ledger) -> None:
    first, second = (
        replace(each, organization_id="org_1", cost_microusd=cost)
        for each, cost in zip(some_calls(2), (7, None), strict=True)
    )
    await ledger.add([first, second])
    stale = [
        Repriced(was=replace(first, cost_microusd=8), now=replace(first, cost_microusd=9)),
        Repriced(was=replace(second, cost_microusd=0), now=replace(second, cost_microusd=9)),
    ]
    assert await ledger.reprice(stale) == 0
    await check_sums(ledger, [first, second], ["all"])


async def test_old_calls_go_in_steps_and_their_sums_stay(ledger: Ledger) -> None:
    records = some_calls(200)
    await ledger.add(records)
    cutoff = MIDNIGHT + timedelta(days=2, hours=3, minutes=30)
    steps = []
    while gone := await ledger.prune(Cutoffs(calls=cutoff), 30):
        steps.append(gone)
    assert max(steps) <= 30
    assert sum(steps) == sum(each.started_at < cutoff for each in records)
    left = await ledger.scan(ALL, limit=1000)
    assert all(each.started_at >= cutoff for each in left)
    await check_sums(ledger, records, ["all", "one key"])


async def test_hours_and_days_are_kept_for_times_of_their_own(ledger: Ledger) -> None:
    records = some_calls(200)
    await ledger.add(records)
    cutoff = MIDNIGHT + timedelta(days=3)
    while await ledger.prune(Cutoffs(hourly=cutoff), 10):
        pass
    await check_sums_by_day(ledger, records)
    assert all(each.group[0] >= cutoff for each in await ledger.sums(ALL, ("hour",)))  # type: ignore[operator] # a moment
    assert await ledger.sums(replace(ALL, start=cutoff), ("hour",))
    while await ledger.prune(Cutoffs(daily=cutoff), 10):
        pass
    days = [each.group[0] for each in await ledger.sums(ALL, ("day",))]
    assert days == [cutoff]
    assert len(await ledger.scan(ALL, limit=1000)) == len(picked(records, ALL))


async def check_sums_by_day(ledger: Ledger, records: list[UsageRecord]) -> None:
    """Whole days do not need the hours."""
    found = await ledger.sums(ALL)
    assert found[0].sums == added_up(picked(records, ALL))


async def test_an_impossible_count_spoils_no_sum(ledger: Ledger) -> None:
    one, two = (replace(each, organization_id="org_1") for each in some_calls(2))
    await ledger.add([replace(one, usage=Usage(input=10**30)), replace(two, usage=Usage(input=10**30))])
    await ledger.add([replace(one, record_id="3", usage=Usage(input=10**30))])
    (total,) = await ledger.sums(ALL)
    assert total.sums["input"] == 3 * 10**12


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
def test_a_percentile_is_right_within_a_tenth(share: float) -> None:
    draw = random.Random(3)
    latencies = sorted(draw.lognormvariate(6, 1) for _ in range(5000))
    histogram: dict[int, int] = {}
    for latency in latencies:
        histogram[bucket_of(latency)] = histogram.get(bucket_of(latency), 0) + 1
    found = percentile_ms(histogram, share)
    assert found == pytest.approx(latencies[int(share * 5000)], rel=0.1)
    assert percentile_ms({}, share) is None


@pytest.mark.parametrize("latency_ms", [0.0, -1.0, float("nan"), 1e-9, 1e12, float("inf")])
def test_any_latency_has_a_bucket(latency_ms: float) -> None:
    assert 0 <= bucket_of(latency_ms) < 128
