"""The values of the ledger: what was begun, and how it ended."""

import random
import time
from datetime import datetime
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from inferway.types import Usage

RecordStatus = Literal["ok", "partial", "error", "client_disconnected", "unknown"]


class Intent(Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """A call that is about to be made; written before the first upstream attempt.

    The journal keeps these values by the position of their fields: a new field stands last and has a default, as a journal may outlive
    the program that wrote it.
    """

    record_id: str
    request_id: str
    organization_id: str
    namespace_id: str
    key_id: str
    operation: str
    provider: str
    model: str
    started_at: datetime


class AttemptRecord(Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """One try at one upstream; `outcome` is `ok` or the error's code, `started_ms` counts from the beginning of the call.

    The only attempt of a call leaves what it used and cost to the call's own fields: the two are the same. Among several each has its own.
    `usage` None: nobody told what it used. `cost_microusd` None: what it cost is not known, and 0 that it cost nothing. `model_version` is
    the model that the provider says it ran.
    """

    provider: str
    model: str
    outcome: str
    duration_ms: float
    started_ms: float = 0.0
    usage: Usage | None = None
    cost_microusd: int | None = None
    price_version: str | None = None
    model_version: str | None = None


class UsageRecord(Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """How a call ended. `provider` and `model` are those that answered, or those first asked when none did.

    `cost_microusd` is None when some of the usage has no known price. `record_id` is unique for each call, also when a caller sends the
    same request id twice. `latency_ms` is the whole call here, `upstream_ms` the part of it that was spent with providers, `first_event_ms`
    the time until the first event of a streamed answer; `retries` are the attempts that followed a failed one. `cache_kind` says which
    cache answered. `adaptations` are the fields that the provider got otherwise than they were given, each with what was done to it.
    """

    record_id: str
    request_id: str
    organization_id: str
    namespace_id: str
    key_id: str
    operation: str
    provider: str
    model: str
    status: RecordStatus
    started_at: datetime
    latency_ms: float
    upstream_ms: float
    usage: Usage
    error_type: str | None = None
    error_code: str | None = None
    attempts: tuple[AttemptRecord, ...] = ()
    cost_microusd: int | None = None
    price_version: str | None = None
    streamed: bool = False
    cached: bool = False
    first_event_ms: float | None = None
    retries: int = 0
    cache_kind: str | None = None
    model_version: str | None = None
    adaptations: tuple[str, ...] = ()

    def itemized(self) -> tuple[AttemptRecord, ...]:
        """Every attempt with what it used and cost."""
        if len(self.attempts) != 1:
            return self.attempts
        return (
            replace(
                self.attempts[0],
                usage=self.usage,
                cost_microusd=self.cost_microusd,
                price_version=self.price_version,
                model_version=self.model_version,
            ),
        )


def new_record_id() -> str:
    """A unique id that sorts by time, so that a ledger of millions of rows grows at its end."""
    return (time.time_ns() // 1000 << 64 | random.getrandbits(64)).to_bytes(15, "big").hex()


def unknown_of(intent: Intent) -> UsageRecord:
    """The record of a call whose end nobody saw: the process died while it ran."""
    return UsageRecord(
        record_id=intent.record_id,
        request_id=intent.request_id,
        organization_id=intent.organization_id,
        namespace_id=intent.namespace_id,
        key_id=intent.key_id,
        operation=intent.operation,
        provider=intent.provider,
        model=intent.model,
        status="unknown",
        started_at=intent.started_at,
        latency_ms=0.0,
        upstream_ms=0.0,
        usage=Usage(),
    )
