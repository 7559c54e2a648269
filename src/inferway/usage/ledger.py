"""What usage asks of a store."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from inferway.usage.records import UsageRecord


class Ledger(Protocol):
    """The rows of all calls. Every method raises `StoreUnavailable` while the store is away."""

    async def add(self, records: Sequence[UsageRecord]) -> int:
        """Stores the records whose `record_id` is not there yet, all or none, and says how many were new."""
        ...

    async def find_record(self, record_id: str) -> UsageRecord | None: ...

    async def list_records(self, organization_id: str, *, limit: int = 100) -> tuple[UsageRecord, ...]:
        """The newest records of an organization, the newest first."""
        ...

    async def spent(
        self,
        organization_id: str,
        *,
        day: datetime,
        month: datetime,
        key_id: str | None = None,
        namespace_id: str | None = None,
    ) -> tuple[int, int]:
        """What the calls of an organization (of one key, of one namespace) cost since a day's and since its month's beginning.

        Micro-dollars; calls whose cost is not known count nothing.
        """
        ...
