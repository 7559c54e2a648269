"""Every store finds single calls alike: the newest by page, few among many, and by the id that their caller has."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from inferway.store.ledger import SqlLedger
from inferway.store.memory.ledger import MemoryLedger
from inferway.store.work import SqlDatabase
from inferway.types import Usage
from inferway.usage.ledger import Ledger
from inferway.usage.queries import Place, UsageQuery
from inferway.usage.recent import newest_calls
from inferway.usage.records import UsageRecord

START = datetime(2026, 3, 1, tzinfo=UTC)
CALL = UsageRecord(
    record_id="",
    request_id="",
    organization_id="org_1",
    namespace_id="ns_1",
    key_id="key_1",
    operation="chat",
    provider="openai",
    model="m",
    status="ok",
    started_at=START,
    latency_ms=10.0,
    upstream_ms=9.0,
    usage=Usage(input=1, source="provider"),
)
WHOLE = UsageQuery(organization_id="org_1", start=START, end=START + timedelta(days=100))


def _calls(count: int, every: timedelta, **fields: object) -> list[UsageRecord]:
    return [
        replace(
            CALL,
            record_id=f"{number:06}",
            request_id=f"req_{number}",
            started_at=START + every * number,
            **fields,
        )
        for number in range(count)
    ]


@pytest.fixture
def ledger(database: SqlDatabase | None) -> Ledger:
    return MemoryLedger() if database is None else SqlLedger(database)


async def _pages(ledger: Ledger, query: UsageQuery, limit: int, error_code: str | None = None) -> list[str]:
    found: list[str] = []
    after: Place | None = None
    for _ in range(100):
        page = await newest_calls(ledger, query, error_code=error_code, after=after, limit=limit)
        found += [each.record_id for each in page.records]
        after = page.after
        if after is None:
            return found
    raise AssertionError("the pages do not end")


async def test_what_was_adapted_comes_back(ledger: Ledger) -> None:
    told = replace(CALL, record_id="1", adaptations=("parameters.top_k: dropped", "parameters.ü: clamped"))
    await ledger.add([told])
    assert await ledger.find_record("1") == told


async def test_a_call_is_found_by_its_request_id_in_its_own_organization(ledger: Ledger) -> None:
    calls = _calls(3, timedelta(seconds=1))
    twice = [replace(each, request_id="again") for each in calls[:2]]
    await ledger.add(
        [*twice, calls[2], replace(CALL, record_id="x", request_id="again", organization_id="o2")]
    )
    assert await ledger.find_requests("org_1", "again") == (twice[1], twice[0])
    assert await ledger.find_requests("org_1", "again", limit=1) == (twice[1],)
    assert await ledger.find_requests("org_1", "req_2") == (calls[2],)
    assert await ledger.find_requests("org_1", "req_9") == ()


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
async def test_pages_hold_every_call_once_the_newest_first(ledger: Ledger, limit: int) -> None:
    # Several of one moment: their ids say which comes first.
    calls = [
        replace(each, started_at=START + timedelta(hours=number // 3))
        for number, each in enumerate(_calls(7, timedelta()))
    ]
    await ledger.add([*calls, replace(CALL, record_id="x", organization_id="org_2")])
    assert await _pages(ledger, WHOLE, limit) == [each.record_id for each in reversed(calls)]


async def test_a_range_ends_before_its_end_and_begins_with_its_start(ledger: Ledger) -> None:
    await ledger.add(_calls(4, timedelta(microseconds=1)))
    query = replace(WHOLE, start=START + timedelta(microseconds=1), end=START + timedelta(microseconds=3))
    assert await _pages(ledger, query, 10) == ["000002", "000001"]


async def test_looking_back_has_a_bound_and_says_where_it_stopped(ledger: Ledger) -> None:
    calls = _calls(10, timedelta(minutes=1))
    calls[1] = replace(calls[1], key_id="rare")
    await ledger.add(calls)
    query = replace(WHOLE, key_id="rare")
    look = await ledger.look_back(query, after=None, looks=4, limit=10)
    assert (look.records, look.last) == ((), Place.behind(calls[6]))
    look = await ledger.look_back(query, after=Place.behind(calls[6]), looks=6, limit=10)
    assert (look.records, look.last) == ((calls[1],), Place.behind(calls[0]))
    look = await ledger.look_back(query, after=Place.behind(calls[6]), looks=7, limit=10)
    assert (look.records, look.last) == ((calls[1],), None)


async def test_of_an_error_only_the_calls_that_ended_with_it_are_looked_at(ledger: Ledger) -> None:
    calls = _calls(10, timedelta(minutes=1))
    for number in (1, 3):
        calls[number] = replace(calls[number], status="error", error_code="rare")
    await ledger.add(calls)
    look = await ledger.look_back(WHOLE, error_code="rare", after=None, looks=1, limit=10)
    assert (look.records, look.last) == ((calls[3],), Place.behind(calls[3]))
    look = await ledger.look_back(WHOLE, error_code="rare", after=look.last, looks=2, limit=10)
    assert (look.records, look.last) == ((calls[1],), None)


@pytest.mark.parametrize(
    ("fields", "query"),
    [
        ({"key_id": "rare"}, {"key_id": "rare"}),
        ({"namespace_id": "rare"}, {"namespaces": ("rare", "other")}),
        ({"model": "rare"}, {"model": "rare"}),
        ({"provider": "rare"}, {"provider": "rare"}),
        ({"operation": "rare"}, {"operation": "rare"}),
        ({"status": "client_disconnected"}, {"status": "client_disconnected"}),
        ({"status": "error", "error_code": "rare"}, {}),
    ],
)
async def test_few_calls_are_found_among_many(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, fields: dict[str, str], query: dict[str, object]
) -> None:
    monkeypatch.setattr("inferway.usage.recent._LOOKS", 20)
    calls = _calls(600, timedelta(hours=3))
    for number in (0, 1, 300, 310, 599):
        calls[number] = replace(calls[number], **fields)
    await ledger.add(calls)
    code = fields.get("error_code")
    found = await _pages(ledger, replace(WHOLE, **query), 2, code)
    assert found == ["000599", "000310", "000300", "000001", "000000"]
    page = await newest_calls(ledger, replace(WHOLE, **query), error_code=code, limit=5)
    assert len(page.records) == 5, "six leaps lead over what lies between"


async def test_nothing_is_looked_at_that_the_sums_do_not_know(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inferway.usage.recent._LOOKS", 5)
    await ledger.add(_calls(300, timedelta(hours=7)))
    page = await newest_calls(ledger, replace(WHOLE, model="nobody-asked-it"), limit=5)
    assert (page.records, page.after) == ((), None)
    page = await newest_calls(ledger, replace(WHOLE, namespaces=()), limit=5)
    assert (page.records, page.after) == ((), None)
