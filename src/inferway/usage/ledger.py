"""What usage asks of a store."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from inferway.usage.queries import (
    Cutoffs,
    Dimension,
    Latencies,
    Place,
    Repriced,
    UsageQuery,
    UsageSum,
    spending,
    spent_since,
)
from inferway.usage.records import UsageRecord


class Look(Struct, frozen=True, kw_only=True):
    """What was picked of some calls that were looked at, the newest first.

    `last` is the last one that was looked at; None: there are no more.
    """

    records: tuple[UsageRecord, ...]
    last: Place | None


class Ledger(Protocol):
    """The rows of all calls, and what they come to by hour and by day. Every method raises `StoreUnavailable` while the store is away."""

    async def add(self, records: Sequence[UsageRecord]) -> int:
        """Stores the records whose `record_id` is not there yet, all or none, and says how many were new.

        The rollups are written with them, so that the two always agree.
        """
        ...

    async def find_record(self, record_id: str) -> UsageRecord | None: ...

    async def list_records(self, organization_id: str, *, limit: int = 100) -> tuple[UsageRecord, ...]:
        """The newest records of an organization, the newest first."""
        ...

    async def find_requests(
        self, organization_id: str, request_id: str, *, limit: int = 100
    ) -> tuple[UsageRecord, ...]:
        """The records with a request id, which a caller may send as often as it likes; the newest first."""
        ...

    async def look_back(
        self, query: UsageQuery, *, error_code: str | None = None, after: Place | None, looks: int, limit: int
    ) -> Look:
        """Looks at the newest `looks` calls of a range that are older than `after`, and answers with what is picked of them.

        With an `error_code` only calls that ended with it are looked at.

        When there are more than `limit` of those, they are the newest. The range is taken to the microsecond.
        """
        ...

    async def scan(
        self, query: UsageQuery, after: Place | None = None, limit: int = 1000
    ) -> tuple[UsageRecord, ...]:
        """Records in the order they began, some at a time."""
        ...

    async def sums(self, query: UsageQuery, by: tuple[Dimension, ...] = ()) -> tuple[UsageSum, ...]:
        """What calls come to, from the rollups alone; groups without calls are absent."""
        ...

    async def latencies(self, query: UsageQuery, by: tuple[Dimension, ...] = ()) -> tuple[Latencies, ...]:
        """How long answered calls took; `status` neither filters nor groups here."""
        ...

    async def reprice(self, changes: Sequence[Repriced]) -> int:
        """Changes the cost of records and their rollups with it, all or none, and says how many; one that changed meanwhile is left out."""
        ...

    async def prune(self, cutoffs: Cutoffs, limit: int) -> int:
        """Deletes some of what is older, in one short transaction: at most `limit` records and a day of rollups of each view.

        Says how many rows went; 0: nothing is left to delete. Rollups do not change when their records go.
        """
        ...


async def spent(
    ledger: Ledger,
    organization_id: str,
    *,
    day: datetime,
    month: datetime,
    key_id: str | None = None,
    namespace_id: str | None = None,
) -> tuple[int, int]:
    """What the calls of an organization (of one key, of one namespace) cost since a day's and since its month's beginning.

    Micro-dollars; calls whose cost is not known count nothing. Raises `StoreUnavailable`.
    """
    days = await ledger.sums(spending(organization_id, month, key_id, namespace_id), ("day",))
    return spent_since(days, day), spent_since(days, month)
