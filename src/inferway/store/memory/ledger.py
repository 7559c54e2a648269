"""The rows of all calls in memory, and their rollups."""

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec.structs import replace

from inferway.errors import StoreUnavailable
from inferway.usage.ledger import Look
from inferway.usage.queries import (
    FILTERS,
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
from inferway.usage.rollups import (
    DAY_HOURS,
    CellKey,
    LatencyKey,
    Rolled,
    roll,
    roll_changes,
)

_PLACES = ("", "", "hour", "namespace_id", "key_id", "provider", "model", "operation", "status")


class MemoryLedger:
    """The `Ledger` of usage in this process's memory. `is_away` makes every method raise, as a lost database does."""

    def __init__(self) -> None:
        self.is_away = False
        self._records: dict[str, UsageRecord] = {}
        self._sums: dict[CellKey, list[int]] = {}
        self._latencies: dict[LatencyKey, int] = {}

    async def add(self, records: Sequence[UsageRecord]) -> int:
        """See `Ledger`."""
        self._require()
        fresh = {each.record_id: each for each in reversed(records) if each.record_id not in self._records}
        self._records |= fresh
        self._roll(roll(fresh.values()))
        return len(fresh)

    async def find_record(self, record_id: str) -> UsageRecord | None:
        """See `Ledger`."""
        self._require()
        return self._records.get(record_id)

    async def list_records(self, organization_id: str, *, limit: int = 100) -> tuple[UsageRecord, ...]:
        """See `Ledger`."""
        self._require()
        owned = [each for each in self._records.values() if each.organization_id == organization_id]
        owned.sort(key=lambda each: (each.started_at, each.record_id), reverse=True)
        return tuple(owned[:limit])

    async def find_requests(
        self, organization_id: str, request_id: str, *, limit: int = 100
    ) -> tuple[UsageRecord, ...]:
        """See `Ledger`."""
        newest = await self.list_records(organization_id, limit=len(self._records))
        return tuple(each for each in newest if each.request_id == request_id)[:limit]

    async def look_back(
        self, query: UsageQuery, *, error_code: str | None = None, after: Place | None, looks: int, limit: int
    ) -> Look:
        """See `Ledger`."""
        newest = await self.list_records(query.organization_id, limit=len(self._records))
        behind = None if after is None else (after.started_at, after.record_id)
        looked = [
            each
            for each in newest
            if query.start <= each.started_at < query.end
            and (behind is None or (each.started_at, each.record_id) < behind)
            and error_code in (None, each.error_code)
        ][:looks]
        found = [
            each
            for each in looked
            if _is_picked(query, {name: getattr(each, name) for name in (*FILTERS, "namespace_id")})
        ]
        last = Place.behind(looked[-1]) if len(looked) == looks else None
        return Look(records=tuple(found[:limit]), last=last)

    async def scan(
        self, query: UsageQuery, after: Place | None = None, limit: int = 1000
    ) -> tuple[UsageRecord, ...]:
        """See `Ledger`."""
        self._require()
        behind = None if after is None else (after.started_at, after.record_id)
        found = [
            each
            for each in self._records.values()
            if each.organization_id == query.organization_id
            and query.start <= each.started_at < query.end
            and (behind is None or (each.started_at, each.record_id) > behind)
            and _is_picked(query, {name: getattr(each, name) for name in (*FILTERS, "namespace_id")})
        ]
        found.sort(key=lambda each: (each.started_at, each.record_id))
        return tuple(found[:limit])

    async def sums(self, query: UsageQuery, by: tuple[Dimension, ...] = ()) -> tuple[UsageSum, ...]:
        """See `Ledger`."""
        self._require()
        if not is_by_status(query, by):
            return merged(by, self._parts(query, spans(query, by), by))
        others = query if query.status != "ok" else replace(query, status=None)
        badly = self._parts(others, ended_spans(query, by), by)
        together = self._parts(replace(query, status=None), spans(query, by), by)
        return merged(by, told_apart(query, by, together, badly))

    def _parts(self, query: UsageQuery, parts: Sequence[Span], by: tuple[Dimension, ...]) -> list[Part]:
        return [
            (_group(key, by), self._sums[key]) for span in parts for key in _within(self._sums, query, span)
        ]

    async def latencies(self, query: UsageQuery, by: tuple[Dimension, ...] = ()) -> tuple[Latencies, ...]:
        """See `Ledger`."""
        self._require()
        parts: list[tuple[tuple[Any, ...], int, int]] = []
        for span in latency_spans(query, by):
            found = _within(self._latencies, query, span)
            parts += [(_group(key, by), key[-1], self._latencies[key]) for key in found]
        return merged_latencies(by, parts)

    async def reprice(self, changes: Sequence[Repriced]) -> int:
        """See `Ledger`."""
        self._require()
        done = []
        for change in changes:
            found = self._records.get(change.was.record_id)
            if found is not None and found.cost_microusd == change.was.cost_microusd:
                self._records[found.record_id] = change.now
                done.append((change.was, change.now))
        self._roll(roll_changes(done))
        return len(done)

    async def prune(self, cutoffs: Cutoffs, limit: int) -> int:
        """See `Ledger`."""
        self._require()
        old = [
            each.record_id
            for each in self._records.values()
            if cutoffs.calls is not None and each.started_at < cutoffs.calls
        ]
        for record_id in old[:limit]:
            del self._records[record_id]
        gone = len(old[:limit])
        for views, end in old_rollups(cutoffs):
            for rollups in (self._sums, self._latencies):
                keys = [key for key in rollups if key[1] in views and key[2] < end]
                for key in keys:
                    del rollups[key]  # type: ignore[arg-type] # a key of the same mapping
                gone += len(keys)
        return gone

    def _roll(self, rolled: Rolled) -> None:
        for key, values in rolled.sums.items():
            known = self._sums.get(key)
            self._sums[key] = values if known is None else [a + b for a, b in zip(known, values, strict=True)]
        for place, count in rolled.latencies.items():
            self._latencies[place] = self._latencies.get(place, 0) + count

    def _require(self) -> None:
        if self.is_away:
            raise StoreUnavailable("The database cannot be used right now.", retry_after_s=5)


def _within(keys: Any, query: UsageQuery, span: Span) -> Iterator[Any]:
    for key in keys:
        organization, view, hour, *_ = key
        if (organization, view) == (query.organization_id, span.view) and span.first <= hour < span.end:
            names = {name: value for name, value in zip(_PLACES, key, strict=True) if isinstance(value, str)}
            if _is_picked(query, names):
                yield key


def _is_picked(query: UsageQuery, names: dict[str, str]) -> bool:
    wanted = {name: getattr(query, name) for name in FILTERS if name in names}
    if any(value is not None and names[name] != value for name, value in wanted.items()):
        return False
    return query.namespaces is None or names["namespace_id"] in query.namespaces


def _group(key: Any, by: tuple[Dimension, ...]) -> tuple[Any, ...]:
    places = dict(zip(_PLACES, key, strict=True))
    return tuple(places["hour"] // DAY_HOURS * DAY_HOURS if name == "day" else places[name] for name in by)
