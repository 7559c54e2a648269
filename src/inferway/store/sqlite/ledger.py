"""The rows of all calls in SQLite."""

import sqlite3
from collections.abc import Sequence
from itertools import chain
from typing import Any

import msgspec

from inferway.store.sqlite.database import Database
from inferway.store.sqlite.moments import to_microseconds, to_moment
from inferway.types import Usage
from inferway.usage.records import AttemptRecord, UsageRecord

_INSERT = (
    "INSERT INTO usage (record_id, request_id, organization_id, namespace_id, key_id, operation, provider, model, status, "
    "started_at, latency_ms, upstream_ms, input, cached_read, cache_write, output, reasoning, audio_input, audio_ms, images, "
    "vectors, characters, usage_source, usage_raw, error_type, error_code, attempts, cost_microusd, price_version, streamed, "
    "cached) VALUES {rows} ON CONFLICT (record_id) DO NOTHING"
)
_ROW = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_ROWS_AT_ONCE = 64
"""Each statement gives the interpreter's lock away and has to wait for it again, so that many rows are one statement."""
_MAX_INTEGER = 2**63 - 1


class SqliteLedger:
    """The `Ledger` of usage over one database file."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._insert_one = _INSERT.format(rows=_ROW)
        self._insert_many = _INSERT.format(rows=", ".join([_ROW] * _ROWS_AT_ONCE))

    async def add(self, records: Sequence[UsageRecord]) -> int:
        """See `Ledger`."""

        def insert(connection: sqlite3.Connection) -> int:
            before = connection.total_changes
            whole = len(records) - len(records) % _ROWS_AT_ONCE
            for start in range(0, whole, _ROWS_AT_ONCE):
                rows = map(_row, records[start : start + _ROWS_AT_ONCE])
                connection.execute(self._insert_many, list(chain.from_iterable(rows)))
            connection.executemany(self._insert_one, map(_row, records[whole:]))
            return connection.total_changes - before

        return await self._database.write(insert)

    async def find_record(self, record_id: str) -> UsageRecord | None:
        """See `Ledger`."""
        rows = await self._rows("SELECT * FROM usage WHERE record_id = ?", record_id)
        return _record(rows[0]) if rows else None

    async def list_records(self, organization_id: str, *, limit: int = 100) -> tuple[UsageRecord, ...]:
        """See `Ledger`."""
        rows = await self._rows(
            "SELECT * FROM usage WHERE organization_id = ? ORDER BY started_at DESC, record_id DESC LIMIT ?",
            organization_id,
            limit,
        )
        return tuple(map(_record, rows))

    async def _rows(self, query: str, *values: object) -> list[sqlite3.Row]:
        def select(connection: sqlite3.Connection) -> list[sqlite3.Row]:
            cursor = connection.cursor()
            cursor.row_factory = sqlite3.Row
            return cursor.execute(query, values).fetchall()

        return await self._database.read(select)


def _row(record: UsageRecord) -> tuple[Any, ...]:
    *meters, source, raw = msgspec.structs.astuple(record.usage)
    if max(meters) > _MAX_INTEGER:
        meters = [min(count, _MAX_INTEGER) for count in meters]
    return (
        record.record_id,
        record.request_id,
        record.organization_id,
        record.namespace_id,
        record.key_id,
        record.operation,
        record.provider,
        record.model,
        record.status,
        to_microseconds(record.started_at),
        record.latency_ms,
        record.upstream_ms,
        # The columns of the meters stand in the order of the value's fields.
        *meters,
        source,
        raw,
        record.error_type,
        record.error_code,
        msgspec.json.encode(record.attempts).decode(),
        record.cost_microusd,
        record.price_version,
        record.streamed,
        record.cached,
    )


def _record(row: sqlite3.Row) -> UsageRecord:
    return UsageRecord(
        record_id=row["record_id"],
        request_id=row["request_id"],
        organization_id=row["organization_id"],
        namespace_id=row["namespace_id"],
        key_id=row["key_id"],
        operation=row["operation"],
        provider=row["provider"],
        model=row["model"],
        status=row["status"],
        started_at=to_moment(row["started_at"]),
        latency_ms=row["latency_ms"],
        upstream_ms=row["upstream_ms"],
        usage=Usage(
            input=row["input"],
            cached_read=row["cached_read"],
            cache_write=row["cache_write"],
            output=row["output"],
            reasoning=row["reasoning"],
            audio_input=row["audio_input"],
            audio_ms=row["audio_ms"],
            images=row["images"],
            vectors=row["vectors"],
            characters=row["characters"],
            source=row["usage_source"],
            raw=row["usage_raw"],
        ),
        error_type=row["error_type"],
        error_code=row["error_code"],
        attempts=msgspec.json.decode(row["attempts"], type=tuple[AttemptRecord, ...]),
        cost_microusd=row["cost_microusd"],
        price_version=row["price_version"],
        streamed=bool(row["streamed"]),
        cached=bool(row["cached"]),
    )
