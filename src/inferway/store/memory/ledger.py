"""The rows of all calls in memory."""

from collections.abc import Sequence
from datetime import datetime

from inferway.errors import StoreUnavailable
from inferway.usage.records import UsageRecord


class MemoryLedger:
    """The `Ledger` of usage in this process's memory. `is_away` makes every method raise, as a lost database does."""

    def __init__(self) -> None:
        self.is_away = False
        self._records: dict[str, UsageRecord] = {}

    async def add(self, records: Sequence[UsageRecord]) -> int:
        """See `Ledger`."""
        self._require()
        fresh = {each.record_id: each for each in reversed(records) if each.record_id not in self._records}
        self._records |= fresh
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
        self._require()
        found = [
            each
            for each in self._records.values()
            if each.organization_id == organization_id
            and each.started_at >= month
            and key_id in (None, each.key_id)
            and namespace_id in (None, each.namespace_id)
        ]
        by_day = sum(each.cost_microusd or 0 for each in found if each.started_at >= day)
        return by_day, sum(each.cost_microusd or 0 for each in found)

    def _require(self) -> None:
        if self.is_away:
            raise StoreUnavailable("The database cannot be used right now.", retry_after_s=5)
