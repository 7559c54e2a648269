"""The rows of all calls in SQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec

from inferway.store.moments import to_microseconds, to_moment
from inferway.store.work import Fill, Row, SqlDatabase, Work
from inferway.types import Usage
from inferway.usage.records import AttemptRecord, UsageRecord

_Kind = Literal["text", "integer", "real", "blob"]
_COLUMNS: dict[str, _Kind] = {
    "record_id": "text",
    "request_id": "text",
    "organization_id": "text",
    "namespace_id": "text",
    "key_id": "text",
    "operation": "text",
    "provider": "text",
    "model": "text",
    "status": "text",
    "started_at": "integer",
    "latency_ms": "real",
    "upstream_ms": "real",
    "input": "integer",
    "cached_read": "integer",
    "cache_write": "integer",
    "output": "integer",
    "reasoning": "integer",
    "audio_input": "integer",
    "audio_ms": "integer",
    "images": "integer",
    "vectors": "integer",
    "characters": "integer",
    "usage_source": "text",
    "usage_raw": "blob",
    "error_type": "text",
    "error_code": "text",
    "attempts": "text",
    "cost_microusd": "integer",
    "price_version": "text",
    "streamed": "integer",
    "cached": "integer",
}
_MAX_INTEGER = 2**63 - 1


class SqlLedger:
    """The `Ledger` of usage over a database."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    async def add(self, records: Sequence[UsageRecord]) -> int:
        """See `Ledger`."""

        def insert() -> Work[int]:
            added = yield Fill("usage", "record_id", _COLUMNS, list(map(_row, records)))
            return int(added[0][0])

        return await self._database.fill(insert())

    async def find_record(self, record_id: str) -> UsageRecord | None:
        """See `Ledger`."""
        rows = await self._database.select("SELECT * FROM usage WHERE record_id = $1", record_id)
        return _record(rows[0]) if rows else None

    async def list_records(self, organization_id: str, *, limit: int = 100) -> tuple[UsageRecord, ...]:
        """See `Ledger`."""
        rows = await self._database.select(
            "SELECT * FROM usage WHERE organization_id = $1 ORDER BY started_at DESC, record_id DESC LIMIT $2",
            organization_id,
            limit,
        )
        return tuple(map(_record, rows))

    async def spent(
        self,
        organization_id: str,
        *,
        day: datetime,
        month: datetime,
        key_id: str | None = None,
        namespace_id: str | None = None,
    ) -> tuple[int, int]:
        """See `Ledger`."""
        rows = await self._database.select(
            "SELECT COALESCE(SUM(CASE WHEN started_at >= $1 THEN cost_microusd END), 0) AS by_day, "
            "COALESCE(SUM(cost_microusd), 0) AS by_month FROM usage WHERE organization_id = $2 AND started_at >= $3 "
            "AND key_id = COALESCE($4, key_id) AND namespace_id = COALESCE($5, namespace_id)",
            to_microseconds(day),
            organization_id,
            to_microseconds(month),
            key_id,
            namespace_id,
        )
        return int(rows[0]["by_day"]), int(rows[0]["by_month"])


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
        int(record.streamed),
        int(record.cached),
    )


def _record(row: Row) -> UsageRecord:
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
