"""The rows of all calls in SQL, and what they come to."""

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from inferway.errors import StoreUnavailable
from inferway.store.moments import to_microseconds, to_moment
from inferway.store.request_sql import select_last_looked, select_newest, select_request
from inferway.store.usage_rows import COLUMNS, NAMES, record_of, row_of, written_attempts
from inferway.store.usage_sql import (
    DELETE_CALLS,
    REPRICE,
    ROLLUP_TABLES,
    counts_of,
    delete_hours,
    find_known,
    first_hour,
    next_organization,
    roll_statements,
    select_calls,
    select_latencies,
    select_sums,
)
from inferway.store.work import Ask, Fill, SqlDatabase, Work
from inferway.usage.ledger import Look
from inferway.usage.queries import (
    Cutoffs,
    Dimension,
    Latencies,
    Part,
    Place,
    Repriced,
    Span,
    UsageQuery,
    UsageSum,
    ended_spans,
    is_by_status,
    latency_spans,
    merged,
    merged_latencies,
    old_rollups,
    spans,
    told_apart,
)
from inferway.usage.records import UsageRecord
from inferway.usage.rollups import Rolled, roll, roll_changes

_STEP_HOURS = 24
_TRIES = 5


class _SomeAreThere(Exception):
    """Not every record was new."""


class SqlLedger:
    """The `Ledger` of usage over a database."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    async def add(self, records: Sequence[UsageRecord]) -> int:
        """See `Ledger`."""
        try:
            return await self._database.fill(_insert(records))
        except _SomeAreThere:
            # Seldom: a worker died between its commit and the deletion of its file, and only what is new may be added up.
            return await self._add_what_is_new(records)

    async def _add_what_is_new(self, records: Sequence[UsageRecord]) -> int:
        for _ in range(_TRIES):
            try:
                return await self._database.fill(_insert_new(records))
            except _SomeAreThere:
                continue
        raise StoreUnavailable("Others write the same calls.", retry_after_s=5)

    async def find_record(self, record_id: str) -> UsageRecord | None:
        """See `Ledger`."""
        text = f"SELECT {NAMES} FROM usage WHERE record_id = $1"  # noqa: S608 - names of our own columns
        rows = await self._database.select(text, record_id)
        return record_of(rows[0]) if rows else None

    async def list_records(self, organization_id: str, *, limit: int = 100) -> tuple[UsageRecord, ...]:
        """See `Ledger`."""
        rows = await self._database.select(
            f"SELECT {NAMES} FROM usage WHERE organization_id = $1 "  # noqa: S608 - names of our own columns
            "ORDER BY started_at DESC, record_id DESC LIMIT $2",
            organization_id,
            limit,
        )
        return tuple(map(record_of, rows))

    async def find_requests(
        self, organization_id: str, request_id: str, *, limit: int = 100
    ) -> tuple[UsageRecord, ...]:
        """See `Ledger`."""
        asked = select_request(NAMES, organization_id, request_id, limit)
        return tuple(map(record_of, await self._database.select(asked.text, *asked.values)))

    async def look_back(
        self, query: UsageQuery, *, error_code: str | None = None, after: Place | None, looks: int, limit: int
    ) -> Look:
        """See `Ledger`."""
        last = await self._database.report([select_last_looked(query, error_code, after, looks)])
        found = await self._database.report([select_newest(NAMES, query, error_code, after, looks, limit)])
        return Look(
            records=tuple(map(record_of, found)),
            last=Place(started_at=to_moment(last[0][0]), record_id=last[0][1]) if last else None,
        )

    async def scan(
        self, query: UsageQuery, after: Place | None = None, limit: int = 1000
    ) -> tuple[UsageRecord, ...]:
        """See `Ledger`."""
        return tuple(map(record_of, await self._database.report([select_calls(NAMES, query, after, limit)])))

    async def sums(self, query: UsageQuery, by: tuple[Dimension, ...] = ()) -> tuple[UsageSum, ...]:
        """See `Ledger`."""
        if not is_by_status(query, by):
            return merged(by, await self._parts(query, spans(query, by), by))
        # All but the others ended well, which takes all the others, whatever is asked for.
        others = query if query.status != "ok" else replace(query, status=None)
        badly = await self._parts(others, ended_spans(query, by), by)
        together = await self._parts(replace(query, status=None), spans(query, by), by)
        return merged(by, told_apart(query, by, together, badly))

    async def _parts(self, query: UsageQuery, parts: Sequence[Span], by: tuple[Dimension, ...]) -> list[Part]:
        rows = await self._database.report([select_sums(query, span, by) for span in parts])
        return [(tuple(row[: len(by)]), tuple(row[len(by) :])) for row in rows]

    async def latencies(self, query: UsageQuery, by: tuple[Dimension, ...] = ()) -> tuple[Latencies, ...]:
        """See `Ledger`."""
        rows = await self._database.report(
            [select_latencies(query, span, by) for span in latency_spans(query, by)]
        )
        return merged_latencies(by, counts_of(rows, len(by)))

    async def reprice(self, changes: Sequence[Repriced]) -> int:
        """See `Ledger`."""
        return await self._database.fill(_reprice(changes))

    async def prune(self, cutoffs: Cutoffs, limit: int) -> int:
        """See `Ledger`."""
        return await self._database.fill(_prune(cutoffs, limit))


def _insert(records: Sequence[UsageRecord]) -> Work[int]:
    # In the order of their keys, so that two who add the same records never wait crosswise.
    records = sorted(records, key=lambda record: record.record_id)
    added = yield Fill("usage", "record_id", COLUMNS, list(map(row_of, records)))
    if added[0][0] != len(records):
        raise _SomeAreThere
    yield from _roll(roll(records))
    return len(records)


def _insert_new(records: Sequence[UsageRecord]) -> Work[int]:
    fresh = {record.record_id: record for record in reversed(records)}
    for row in (yield find_known(list(fresh))):
        del fresh[row[0]]
    return (yield from _insert(list(fresh.values()))) if fresh else 0


def _roll(rolled: Rolled) -> Work[None]:
    for statement in roll_statements(rolled):  # noqa: UP028 - a list takes no answers
        yield statement


def _reprice(changes: Sequence[Repriced]) -> Work[int]:
    done: list[tuple[UsageRecord, UsageRecord]] = []
    for change in changes:
        was, now = change.was, change.now
        found = -1 if was.cost_microusd is None else was.cost_microusd
        values: tuple[Any, ...] = (now.cost_microusd, now.price_version, written_attempts(now))
        if (yield Ask(REPRICE, (*values, was.record_id, found))):
            done.append((was, now))
    yield from _roll(roll_changes(done))
    return len(done)


def _prune(cutoffs: Cutoffs, limit: int) -> Work[int]:
    gone = 0
    if cutoffs.calls is not None:
        before = to_microseconds(cutoffs.calls)
        for organization_id in (yield from _organizations("usage")):
            if gone < limit:
                gone += len((yield Ask(DELETE_CALLS, (organization_id, before, limit - gone))))
    for views, end in old_rollups(cutoffs):
        gone += yield from _prune_rollups(views, end)
    return gone


def _prune_rollups(views: tuple[int, ...], cutoff: int) -> Work[int]:
    """A day of each view at most: short enough to keep nobody waiting."""
    gone = 0
    for table in ROLLUP_TABLES:
        for organization_id in (yield from _organizations(table)):
            for view in views:
                first = (yield Ask(first_hour(table), (organization_id, view)))[0][0]
                if first is not None and first < cutoff:
                    end = min(first + _STEP_HOURS, cutoff)
                    gone += len((yield Ask(delete_hours(table), (organization_id, view, end))))
    return gone


def _organizations(table: str) -> Work[list[str]]:
    """Every organization that has rows, each found by one step through an index."""
    found: list[str] = []
    while True:
        name = (yield Ask(next_organization(table), (found[-1] if found else "",)))[0][0]
        if name is None:
            return found
        found.append(name)
