"""A usage record as a row of its table, in either database."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from inferway.store.moments import to_microseconds, to_moment
from inferway.store.work import Kind
from inferway.types import METERS, Usage
from inferway.usage.records import AttemptRecord, UsageRecord

COLUMNS: Mapping[str, Kind] = {
    **dict.fromkeys(("record_id", "request_id", "organization_id", "namespace_id", "key_id"), "text"),
    **dict.fromkeys(("operation", "provider", "model", "status"), "text"),
    "started_at": "integer",
    **dict.fromkeys(("latency_ms", "upstream_ms"), "real"),
    **dict.fromkeys(METERS, "integer"),
    "usage_source": "text",
    "usage_raw": "blob",
    **dict.fromkeys(("error_type", "error_code", "attempts"), "text"),
    "cost_microusd": "integer",
    "price_version": "text",
    **dict.fromkeys(("streamed", "cached"), "integer"),
    "first_event_ms": "real",
    "retries": "integer",
    **dict.fromkeys(("cache_kind", "model_version", "adaptations"), "text"),
}
"""The columns and their kinds, in the order of `row_of`."""

NAMES = ", ".join(COLUMNS)
_MAX_INTEGER = 2**63 - 1
_texts = msgspec.json.Decoder(tuple[str, ...])
_attempts = msgspec.json.Decoder(tuple[AttemptRecord, ...])


def row_of(record: UsageRecord) -> tuple[Any, ...]:
    """The values of a record's columns; a count that no database can hold is stored as the largest that it can."""
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
        written_attempts(record),
        record.cost_microusd,
        record.price_version,
        int(record.streamed),
        int(record.cached),
        record.first_event_ms,
        record.retries,
        record.cache_kind,
        record.model_version,
        msgspec.json.encode(record.adaptations).decode() if record.adaptations else None,
    )


def written_attempts(record: UsageRecord) -> str:
    """The attempts as they are stored."""
    return msgspec.json.encode(record.attempts).decode()


def record_of(row: Sequence[Any]) -> UsageRecord:
    """The record of a row that has all columns."""
    values = dict(zip(COLUMNS, row, strict=True))
    meters = {name: values.pop(name) for name in METERS}
    usage = Usage(**meters, source=values.pop("usage_source"), raw=values.pop("usage_raw"))
    values |= {
        "usage": usage,
        "started_at": to_moment(values["started_at"]),
        "attempts": _attempts.decode(values["attempts"]),
        "adaptations": _texts.decode(values["adaptations"]) if values["adaptations"] else (),
        "streamed": bool(values["streamed"]),
        "cached": bool(values["cached"]),
    }
    return UsageRecord(**values)
