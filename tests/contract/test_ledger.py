"""Every store keeps usage records alike."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from inferway.pipeline.plain import MAX_NAME_BYTES
from inferway.store.ledger import SqlLedger
from inferway.store.memory.ledger import MemoryLedger
from inferway.store.work import SqlDatabase
from inferway.types import Usage
from inferway.usage.ledger import Ledger, spent
from inferway.usage.records import AttemptRecord, UsageRecord

NOW = datetime(2026, 3, 4, 5, 6, 7, 890123, tzinfo=UTC)
PLAIN = UsageRecord(
    record_id="1",
    request_id="r",
    organization_id="org_1",
    namespace_id="ns_1",
    key_id="key_1",
    operation="chat",
    provider="local",
    model="m",
    status="unknown",
    started_at=NOW,
    latency_ms=0.0,
    upstream_ms=0.0,
    usage=Usage(),
)
FULL = replace(
    PLAIN,
    record_id="2",
    status="partial",
    latency_ms=1.5,
    upstream_ms=1.25,
    usage=Usage(
        input=1,
        cached_read=2,
        cache_write=3,
        output=4,
        reasoning=5,
        audio_input=6,
        audio_ms=7,
        images=8,
        vectors=9,
        characters=10,
        source="provider",
        raw=b'{"a":"\\u00fc"}',
    ),
    error_type="InferenceError",
    error_code="provider_error",
    attempts=(
        AttemptRecord(provider="openai", model="x", outcome="provider_error", duration_ms=3.5),
        AttemptRecord(provider="local", model="m", outcome="ok", duration_ms=0.5),
    ),
    cost_microusd=0,
    price_version="2026-01",
    streamed=True,
    cached=True,
)


@pytest.fixture
def ledger(database: SqlDatabase | None) -> Ledger:
    return MemoryLedger() if database is None else SqlLedger(database)


async def test_a_record_comes_back_equal(ledger: Ledger) -> None:
    assert await ledger.add([PLAIN, FULL]) == 2
    assert await ledger.find_record("1") == PLAIN
    assert await ledger.find_record("2") == FULL
    assert await ledger.find_record("3") is None


async def test_an_unpriced_call_is_not_a_free_one(ledger: Ledger) -> None:
    await ledger.add([PLAIN, FULL])
    costs = {each.record_id: each.cost_microusd for each in await ledger.list_records("org_1")}
    assert costs == {"1": None, "2": 0}


async def test_the_same_record_twice_is_one_row_and_the_first_stays(ledger: Ledger) -> None:
    assert await ledger.add([PLAIN, replace(PLAIN, status="ok")]) == 1
    assert await ledger.add([replace(PLAIN, status="ok"), FULL]) == 1
    assert await ledger.find_record("1") == PLAIN


async def test_many_records_at_once_are_stored_as_few_are(ledger: Ledger) -> None:
    many = [replace(FULL, record_id=f"{number:04}", latency_ms=float(number)) for number in range(200)]
    assert await ledger.add(many[50:60]) == 10
    assert await ledger.add(many) == 190
    stored = await ledger.list_records("org_1", limit=1000)
    assert sorted(stored, key=lambda each: each.record_id) == many


async def test_a_repeated_request_id_is_another_call(ledger: Ledger) -> None:
    assert await ledger.add([PLAIN, replace(PLAIN, record_id="other")]) == 2


async def test_an_organization_sees_its_own_records_newest_first(ledger: Ledger) -> None:
    records = [replace(PLAIN, record_id=str(n), started_at=NOW + timedelta(seconds=n)) for n in range(5)]
    await ledger.add([*records, replace(PLAIN, record_id="theirs", organization_id="org_2")])
    assert [each.record_id for each in await ledger.list_records("org_1", limit=3)] == ["4", "3", "2"]
    assert [each.record_id for each in await ledger.list_records("org_2")] == ["theirs"]


async def test_an_impossibly_large_count_is_stored_as_the_largest(
    ledger: Ledger, request: pytest.FixtureRequest
) -> None:
    await ledger.add([replace(PLAIN, usage=Usage(input=10**30))])
    found = await ledger.find_record("1")
    assert found is not None
    assert found.usage.input >= 2**63 - 1


async def test_what_was_spent_is_summed_by_day_and_month_and_by_whose_calls(ledger: Ledger) -> None:
    day, month = (
        NOW.replace(hour=0, minute=0, second=0, microsecond=0),
        NOW.replace(day=1, hour=0, minute=0, second=0, microsecond=0),
    )
    rows = [
        replace(PLAIN, record_id="a", cost_microusd=1, started_at=day),
        replace(PLAIN, record_id="b", cost_microusd=10, started_at=day - timedelta(microseconds=1)),
        replace(PLAIN, record_id="c", cost_microusd=100, started_at=month - timedelta(microseconds=1)),
        replace(PLAIN, record_id="d", cost_microusd=1_000, key_id="key_2"),
        replace(PLAIN, record_id="e", cost_microusd=10_000, namespace_id="ns_2"),
        replace(PLAIN, record_id="f", cost_microusd=100_000, organization_id="org_2"),
        replace(PLAIN, record_id="g", cost_microusd=None),
    ]
    await ledger.add(rows)
    assert await spent(ledger, "org_1", day=day, month=month) == (11_001, 11_011)
    assert await spent(ledger, "org_1", day=day, month=month, key_id="key_1") == (10_001, 10_011)
    assert await spent(ledger, "org_1", day=day, month=month, namespace_id="ns_1") == (1_001, 1_011)
    assert await spent(ledger, "org_3", day=day, month=month) == (0, 0)


async def test_two_that_add_the_same_records_at_once_add_them_once(ledger: Ledger) -> None:
    records = [replace(PLAIN, record_id=f"{n:04}") for n in range(500)]
    added = await asyncio.gather(ledger.add(records), ledger.add(records[::-1]), ledger.add(records[100:]))
    assert sum(added) == 500
    assert len(await ledger.list_records("org_1", limit=1000)) == 500


async def test_nothing_is_added_and_texts_of_any_kind_are(ledger: Ledger) -> None:
    assert await ledger.add([]) == 0
    odd = replace(PLAIN, model="m\0\ufffe'; --", request_id="\U0001f600")
    assert await ledger.add([odd]) == 1
    assert await ledger.find_record("1") == odd


async def test_the_longest_name_that_a_call_may_have_is_kept(ledger: Ledger) -> None:
    # Four bytes each, and none like another: no database can make them shorter.
    long = replace(PLAIN, model="".join(map(chr, range(0x20000, 0x20000 + MAX_NAME_BYTES // 4))))
    assert await ledger.add([long]) == 1
    assert await ledger.find_record("1") == long
