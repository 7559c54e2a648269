"""A settled call, to be observed."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from inferway.types import Parameters, Usage
from inferway.usage.records import AttemptRecord, UsageRecord

PARAMETERS = Parameters(temperature=0.5, max_tokens=100, top_p=0.9)

RECORD = UsageRecord(
    record_id="rec_1",
    request_id="req_1",
    organization_id="org_1",
    namespace_id="ns_1",
    key_id="key_1",
    operation="chat",
    provider="openai",
    model="gpt-5.4-mini",
    status="ok",
    started_at=datetime(2026, 1, 31, 12, tzinfo=UTC),
    latency_ms=320.0,
    upstream_ms=318.0,
    usage=Usage(input=10, cached_read=4, output=20, reasoning=3, source="provider"),
    attempts=(
        AttemptRecord(
            provider="openai", model="gpt-5.4-mini", outcome="ok", duration_ms=318.0, started_ms=1.0
        ),
    ),
    cost_microusd=12,
)


def settled(**changes: Any) -> UsageRecord:
    """The record with other values."""
    return msgspec.structs.replace(RECORD, **changes)


def tried(
    outcome: str = "ok", provider: str = "openai", model: str = "gpt-5.4-mini", **fields: Any
) -> AttemptRecord:
    """One try of 100 ms."""
    return AttemptRecord(provider=provider, model=model, outcome=outcome, **{"duration_ms": 100.0} | fields)
