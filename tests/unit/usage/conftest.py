"""Calls to record."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from inferway.types import Usage
from inferway.usage.records import AttemptRecord, Intent, UsageRecord

NOW = datetime(2026, 3, 4, 5, 6, 7, 890123, tzinfo=UTC)


@pytest.fixture
def intent() -> Callable[[str], Intent]:
    return lambda record_id: Intent(
        record_id=record_id,
        request_id="r",
        organization_id="org_1",
        namespace_id="ns_1",
        key_id="key_1",
        operation="chat",
        provider="openai",
        model="gpt",
        started_at=NOW,
    )


@pytest.fixture
def record() -> Callable[[str], UsageRecord]:
    return lambda record_id: UsageRecord(
        record_id=record_id,
        request_id="r",
        organization_id="org_1",
        namespace_id="ns_1",
        key_id="key_1",
        operation="chat",
        provider="openai",
        model="gpt",
        status="ok",
        started_at=NOW,
        latency_ms=12.5,
        upstream_ms=11.25,
        usage=Usage(input=7, output=3, source="provider", raw=b'{"prompt_tokens":7}'),
        attempts=(AttemptRecord(provider="openai", model="gpt", outcome="ok", duration_ms=11.25),),
        cost_microusd=42,
        price_version="v1",
    )
