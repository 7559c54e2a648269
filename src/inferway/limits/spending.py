"""Money that is counted before a call and settled after it: what all ways of counting it share."""

from datetime import UTC, datetime, timedelta
from typing import Protocol

from msgspec import Struct

from inferway.errors import QuotaExceeded
from inferway.types import SpendCap

_MICRO = 1_000_000


class Reservation(Struct, frozen=True, kw_only=True):
    """Money that counts as spent until it is known what the call cost. `is_leased`: taken from what this process has on loan."""

    caps: tuple[SpendCap, ...]
    microusd: int
    record_id: str
    day: int
    month: int
    is_leased: bool = False


class Held(Struct, frozen=True, kw_only=True):
    """A reservation that was never settled: its process ended in the middle of the call."""

    record_id: str
    microusd: int
    organization_id: str = ""


class Spent(Struct, frozen=True, kw_only=True):
    """What a cap's owner has spent, in micro-dollars, with what is reserved for calls under way."""

    today_microusd: int
    month_microusd: int


class Spending(Protocol):
    """Counts money against caps. While it cannot count it lets nobody spend: it raises `StoreUnavailable`."""

    async def reserve(self, caps: tuple[SpendCap, ...], microusd: int, record_id: str) -> Reservation:
        """Count the most that a call may cost as spent; raises `QuotaExceeded`."""
        ...

    async def settle(self, reservation: Reservation, microusd: int | None) -> None:
        """Replace what was reserved by what it cost; None: nobody knows, so all of it counts as spent. Never raises."""
        ...

    async def spent(self, cap: SpendCap) -> Spent:
        """What is spent and reserved; raises `StoreUnavailable`."""
        ...


class Recorded(Protocol):
    """What the ledger says was spent. Both methods raise `StoreUnavailable`."""

    async def spent(self, cap: SpendCap, *, day: datetime, month: datetime) -> tuple[int, int]:
        """Micro-dollars since the beginning of a day, and since that of a month."""
        ...

    async def cost_of(self, record_id: str) -> tuple[bool, int | None]:
        """Whether a call's row is there, and what it cost; None when that is not known."""
        ...


def require_room(cap: SpendCap, by_day: int, by_month: int, moment: datetime) -> None:
    """Raises `QuotaExceeded` when a cap has nothing left."""
    if cap.daily_microusd is not None and by_day >= cap.daily_microusd:
        raise refused(cap, "daily", by_day, cap.daily_microusd, moment)
    if cap.monthly_microusd is not None and by_month >= cap.monthly_microusd:
        raise refused(cap, "monthly", by_month, cap.monthly_microusd, moment)


def refused(cap: SpendCap, window: str, spent: int, limit: int, moment: datetime) -> QuotaExceeded:
    """The refusal of a call by a cap; amounts in US dollars, `current` with what is reserved for calls under way."""
    today, month = beginnings(moment)
    following = (
        today + timedelta(days=1) if window == "daily" else (month + timedelta(days=32)).replace(day=1)
    )
    return QuotaExceeded(
        f"the {window} spend cap of this {cap.resource} is reached",
        code="spend_cap_reached",
        details={
            "resource": f"{cap.resource}_{window}_usd",
            "current": spent / _MICRO,
            "limit": limit / _MICRO,
            "id": cap.id,
            "resets_at": following.isoformat().replace("+00:00", "Z"),
        },
    )


def beginnings(moment: datetime) -> tuple[datetime, datetime]:
    """When the moment's UTC day and month began."""
    day = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day, day.replace(day=1)
