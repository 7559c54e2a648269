"""Counting money for several machines, on a Valkey or Redis server that they share, and on loan while it is away."""

import json
import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from inferway.limits.book import day_of, month_of, uncountable
from inferway.limits.scripts import LEFT_OVER, RAISE, SPEND, SPENT, UNSPEND
from inferway.limits.spend import remember
from inferway.limits.spending import Held, Recorded, Reservation, Spent, beginnings, refused
from inferway.limits.valkey import ValkeyServer
from inferway.types import SpendCap

LOAN_S = 60.0
"""How long the server keeps for a process what it has lent to it; the process itself stops using it `_EARLIER_S` before."""
_EARLIER_S = 10.0
_PARTS = 20
"""A loan is a twentieth of what is left, divided among the machines; of the last fifth of a cap nothing is lent."""
_KEPT_S = 40 * 86_400
_NO_CAP = -1
_UNKNOWN, _REFUSED = -1, 0


class _Loan:
    """What this process may spend of a cap while the server is away, and what it has spent that the server was not told."""

    __slots__ = ("ends_at", "left", "untold")

    def __init__(self) -> None:
        self.left = self.untold = 0
        self.ends_at = 0.0


class ValkeySpend:
    """Counts money on the server, each reservation as one step there.

    With each answer the server lends this process a small part of what is left under the cap, and counts it as spent for all others.
    While the server is away the process goes on with that, and then it spends nothing: no cap is passed because nobody can count.
    """

    def __init__(
        self,
        server: ValkeyServer,
        recorded: Recorded,
        *,
        replicas: int,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._server, self._recorded, self._replicas = server, recorded, replicas
        self._now, self._clock = now, clock
        self._name = os.urandom(8).hex()
        self._loans: dict[tuple[str, str], _Loan] = {}
        self.checked: dict[SpendCap, None] = {}

    async def reserve(self, caps: tuple[SpendCap, ...], microusd: int, record_id: str) -> Reservation:
        """See `Spending`."""
        for cap in caps:
            if cap not in self.checked:
                await self.compare(cap)
                remember(self.checked, cap)
        for _ in range(2):
            moment = self._now()
            answer = await self._ask(caps, microusd, record_id, moment)
            if answer is None:
                return self._borrow(caps, microusd, record_id, moment)
            if int(answer[0]) == _REFUSED:
                cap, is_day = caps[int(answer[1]) - 1], int(answer[2]) == 1
                limit = cap.daily_microusd if is_day else cap.monthly_microusd
                raise refused(cap, "daily" if is_day else "monthly", int(answer[3]), limit or 0, moment)
            if int(answer[0]) != _UNKNOWN:
                return _reservation(caps, microusd, record_id, int(answer[1]), int(answer[2]))
            # The server has lost what it knew of a cap.
            for cap in caps:
                await self.compare(cap)
        raise uncountable()

    async def settle(self, reservation: Reservation, microusd: int | None) -> None:
        """See `Spending`. What the server does not hear of is settled from the ledger later."""
        if not reservation.is_leased:
            await self._unspend(reservation.caps[0].organization_id, reservation.record_id, microusd)
            return
        change = 0 if microusd is None else microusd - reservation.microusd
        for cap in reservation.caps:
            loan = self._loan(cap)
            loan.left, loan.untold = loan.left - change, loan.untold + change

    async def spent(self, cap: SpendCap) -> Spent:
        """See `Spending`."""
        if cap not in self.checked:
            await self.compare(cap)
            remember(self.checked, cap)
        moment = self._now()
        answer = await self._server.run(SPENT, [_sums(cap)], [day_of(moment), month_of(moment)])
        if answer is None:
            raise uncountable()
        return Spent(today_microusd=int(answer[0]), month_microusd=int(answer[1]))

    async def compare(self, cap: SpendCap) -> None:
        """Counts at least what the ledger says; raises `StoreUnavailable`."""
        moment = self._now()
        day, month = beginnings(moment)
        by_day, by_month = await self._recorded.spent(cap, day=day, month=month)
        arguments = [day_of(moment), month_of(moment), by_day, by_month, _KEPT_S]
        if await self._server.run(RAISE, [_sums(cap)], arguments) is None:
            raise uncountable()

    async def left_over(self, age_s: float) -> list[Held]:
        """Reservations that nobody settled, of the organizations that this process has met."""
        found = []
        for organization_id in {cap.organization_id for cap in self.checked}:
            keys = _held(organization_id)
            answer = await self._server.run(LEFT_OVER, keys, [int(age_s * 1_000_000)]) or ()
            for record_id, payload in zip(answer[::2], answer[1::2], strict=True):
                amount = json.loads(payload)["amount"]
                found.append(
                    Held(record_id=record_id.decode(), microusd=amount, organization_id=organization_id)
                )
        return found

    async def clear(self, held: Held, microusd: int | None) -> None:
        """Settles a reservation that was left over."""
        await self._unspend(held.organization_id, held.record_id, microusd)

    async def _ask(
        self, caps: Sequence[SpendCap], microusd: int, record_id: str, moment: datetime
    ) -> Any | None:
        """What the server says to a reservation; None while it is away. What it lends is noted."""
        loans = [self._loan(cap) for cap in caps]
        untold = [loan.untold for loan in loans]
        sums = [_sums(cap) for cap in caps]
        day, month = day_of(moment), month_of(moment)
        payload = json.dumps({"amount": microusd, "day": day, "month": month, "sums": sums})
        arguments: list[Any] = [len(caps), day, month, microusd, record_id, payload, self._name]
        arguments += [int(LOAN_S * 1_000_000), _PARTS * self._replicas, _KEPT_S]
        for cap, told in zip(caps, untold, strict=True):
            arguments += [told, _number(cap.daily_microusd), _number(cap.monthly_microusd)]
        keys = [key for each in sums for key in (each, f"{each}:loans")]
        asked_at = self._clock()
        answer = await self._server.run(SPEND, [*keys, *_held(caps[0].organization_id)], arguments)
        if answer is None or int(answer[0]) == _UNKNOWN:
            return answer
        is_in = int(answer[0]) != _REFUSED
        for number, (loan, told) in enumerate(zip(loans, untold, strict=True)):
            loan.untold -= told
            loan.left = int(answer[3 + number]) if is_in else 0
            loan.ends_at = asked_at + LOAN_S - _EARLIER_S
        return answer

    def _borrow(
        self, caps: tuple[SpendCap, ...], microusd: int, record_id: str, moment: datetime
    ) -> Reservation:
        """Spend what is on loan, and never more; raises `StoreUnavailable`."""
        loans = [self._loan(cap) for cap in caps]
        now = self._clock()
        if any(loan.left < microusd or loan.ends_at <= now for loan in loans):
            raise uncountable()
        for loan in loans:
            loan.left, loan.untold = loan.left - microusd, loan.untold + microusd
        return _reservation(caps, microusd, record_id, day_of(moment), month_of(moment), is_leased=True)

    async def _unspend(self, organization_id: str, record_id: str, microusd: int | None) -> None:
        cost = _NO_CAP if microusd is None else microusd
        await self._server.run(UNSPEND, _held(organization_id), [record_id, cost])

    def _loan(self, cap: SpendCap) -> _Loan:
        return self._loans.setdefault((cap.resource, cap.id), _Loan())


def _reservation(
    caps: tuple[SpendCap, ...],
    microusd: int,
    record_id: str,
    day: int,
    month: int,
    *,
    is_leased: bool = False,
) -> Reservation:
    return Reservation(
        caps=caps, microusd=microusd, record_id=record_id, day=day, month=month, is_leased=is_leased
    )


def _sums(cap: SpendCap) -> str:
    # All names of an organization have one hash tag, so that a cluster keeps them on one node.
    return f"inferway:{{{cap.organization_id}}}:spend:{cap.resource}:{cap.id}"


def _held(organization_id: str) -> list[str]:
    return [f"inferway:{{{organization_id}}}:{name}" for name in ("reserved", "reservations")]


def _number(limit: int | None) -> int:
    return _NO_CAP if limit is None else limit
