"""Counting money on this machine, in the book that its processes share, kept true to the ledger."""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from inferway.errors import StoreUnavailable
from inferway.limits.book import SpendBook
from inferway.limits.spending import Held, Recorded, Reservation, Spending, Spent, beginnings
from inferway.types import SpendCap

_log = logging.getLogger("inferway.limits")

CHECK_EVERY_S = 30.0
"""How often what is counted is compared with the ledger."""
_ASK_AGAIN_S = 5.0
"""How long a ledger that was away is left in peace by calls whose sums are in the book."""
_REMEMBERED = 20_000


class LocalSpend:
    """Counts money in the machine's book.

    A cap that this process meets for the first time is compared with the ledger first: it may be new, and so may the book be.
    """

    def __init__(
        self,
        book: SpendBook,
        recorded: Recorded,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._book, self._recorded, self._now, self._clock = book, recorded, now, clock
        self._ask_again_at = float("-inf")
        self.checked: dict[SpendCap, None] = {}

    async def reserve(self, caps: tuple[SpendCap, ...], microusd: int, record_id: str) -> Reservation:
        """See `Spending`."""
        for cap in caps:
            if cap not in self.checked:
                await self._meet(cap)
        return self._book.reserve(caps, microusd, record_id)

    async def settle(self, reservation: Reservation, microusd: int | None) -> None:
        """See `Spending`. What cannot be written now is settled from the ledger later."""
        try:
            self._book.settle(reservation.record_id, microusd)
        except StoreUnavailable:
            _log.warning("the book of what is spent is locked: a call is settled later, from the ledger")

    async def spent(self, cap: SpendCap) -> Spent:
        """See `Spending`."""
        if cap not in self.checked:
            await self._meet(cap)
        by_day, by_month = self._book.spent(cap) or (0, 0)
        return Spent(today_microusd=by_day, month_microusd=by_month)

    async def compare(self, cap: SpendCap) -> None:
        """Counts at least what the ledger says; raises `StoreUnavailable`."""
        moment = self._now()
        day, month = beginnings(moment)
        by_day, by_month = await self._recorded.spent(cap, day=day, month=month)
        self._book.raise_to(cap, moment, by_day, by_month)

    async def left_over(self, age_s: float) -> list[Held]:
        """Reservations that nobody settled."""
        return self._book.left_over(age_s)

    async def clear(self, held: Held, microusd: int | None) -> None:
        """Settles a reservation that was left over."""
        self._book.settle(held.record_id, microusd)

    async def _meet(self, cap: SpendCap) -> None:
        """The first comparison of a cap. Without the ledger, what this machine counted before is enough; nothing is not."""
        is_known = self._book.spent(cap) is not None
        if is_known and self._clock() < self._ask_again_at:
            return
        try:
            await self.compare(cap)
        except StoreUnavailable:
            self._ask_again_at = self._clock() + _ASK_AGAIN_S
            if not is_known:
                raise
            return
        remember(self.checked, cap)


class Kept(Spending, Protocol):
    """A way of counting that can be kept true. `checked` are the caps that it has met."""

    checked: dict[SpendCap, None]

    async def compare(self, cap: SpendCap) -> None: ...

    async def left_over(self, age_s: float) -> list[Held]: ...

    async def clear(self, held: Held, microusd: int | None) -> None: ...


class SpendKeeper:
    """Keeps what is counted true to the ledger, beside the calls.

    `lease_s` is longer than any call: an older reservation is a dead process's. Once its row is in the ledger it is settled with what
    that says the call cost; a row that does not know leaves all of it spent.
    """

    def __init__(self, spend: Kept, recorded: Recorded, *, lease_s: float) -> None:
        self._spend, self._recorded, self._lease_s = spend, recorded, lease_s

    async def run(self) -> None:
        """Looks every `CHECK_EVERY_S` seconds for ever."""
        while True:
            await asyncio.sleep(CHECK_EVERY_S)
            try:
                await self.check()
            except StoreUnavailable:
                continue
            except Exception:  # noqa: BLE001 - a background task
                _log.exception("what is spent could not be compared with the ledger")

    async def check(self) -> None:
        """One look at every cap in use and every reservation that was left over; raises `StoreUnavailable`."""
        for held in await self._spend.left_over(self._lease_s):
            is_there, microusd = await self._recorded.cost_of(held.record_id)
            if is_there:
                await self._spend.clear(held, microusd)
        for cap in tuple(self._spend.checked):
            await self._spend.compare(cap)


def remember(checked: dict[SpendCap, None], cap: SpendCap) -> None:
    """Notes a cap that was met, in bounded memory."""
    if len(checked) >= _REMEMBERED:
        checked.clear()
    checked[cap] = None
