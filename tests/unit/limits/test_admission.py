"""What a caller is told about its limits."""

import pytest

from inferway.errors import TooManyRequests
from inferway.limits.admission import LimitedAdmission, LimitedTicket
from inferway.limits.local import LocalCounter
from inferway.limits.table import Table
from inferway.limits.terms import Terms
from inferway.types import Standing

_WALL = 1_800_000_000.25


class Desk:
    """An admission by a clock that a test sets."""

    def __init__(self, **terms: int) -> None:
        self.us = 50_000_000
        counter = LocalCounter(Table.in_memory(lambda: self.us))
        self.admission = LimitedAdmission(counter, Terms(**terms), wall_clock=lambda: _WALL)

    async def admit(self, per_minute: int | None = None) -> LimitedTicket:
        return await self.admission.admit(
            organization_id="o", namespace_id="n", key_id="k", per_minute=per_minute
        )


async def test_standing_counts_down_and_comes_back() -> None:
    desk = Desk(per_minute=60, burst=3)
    tickets = [await desk.admit() for _ in range(2)]
    assert [ticket.standing() for ticket in tickets] == [
        Standing(limit=60, remaining=1, reset_at=1_800_000_003, window_s=60)
    ] * 2
    ticket = await desk.admit()
    assert ticket.standing() == Standing(limit=60, remaining=0, reset_at=1_800_000_004, window_s=60)
    desk.us += 1_000_000
    assert ticket.standing() == Standing(limit=60, remaining=1, reset_at=1_800_000_003, window_s=60)


async def test_a_refusal_says_which_limit_and_when_to_come_back() -> None:
    desk = Desk(per_minute=6, per_second=3)
    for _ in range(3):
        await desk.admit()
    with pytest.raises(TooManyRequests) as caught:
        await desk.admit()
    assert caught.value.details == {
        "limit": 3,
        "window": 1,
        "retry_after": 1,
        "retry_after_seconds": 1,
        "api_name": "inference",
        "retryable": True,
    }
    desk.us += 2_000_000
    for _ in range(3):
        await desk.admit()
    with pytest.raises(TooManyRequests) as caught:
        await desk.admit()
    assert caught.value.details is not None
    assert caught.value.details["window"] == 60
    assert caught.value.retry_after_s == 8
    assert caught.value.standing == Standing(limit=6, remaining=0, reset_at=1_800_000_059, window_s=60)


async def test_a_key_s_own_limit_stands_instead_of_the_general_one() -> None:
    desk = Desk(per_minute=2)
    await desk.admit(per_minute=1)
    with pytest.raises(TooManyRequests):
        await desk.admit(per_minute=1)


async def test_without_limits_nobody_stands_anywhere() -> None:
    desk = Desk()
    tickets = [await desk.admit() for _ in range(1_000)]
    ticket = tickets[-1]
    assert ticket.standing() is None
    assert not ticket.counts_use


async def test_a_call_that_ended_makes_room_once() -> None:
    desk = Desk(concurrent=1)
    ticket = await desk.admit()
    with pytest.raises(TooManyRequests) as caught:
        await desk.admit()
    assert caught.value.code == "too_many_at_once"
    await ticket.release()
    second = await desk.admit()
    await ticket.release()
    with pytest.raises(TooManyRequests):
        await desk.admit()
    await second.release()


async def test_tokens_that_were_not_used_come_back() -> None:
    desk = Desk(tokens_per_minute=100)
    ticket = await desk.admit()
    await ticket.reserve(tokens=80, microusd=0, record_id="r")
    other = await desk.admit()
    with pytest.raises(TooManyRequests) as caught:
        await other.reserve(tokens=30, microusd=0, record_id="r")
    assert caught.value.code == "tokens_limited"
    await ticket.settle(tokens=10, microusd=None)
    await ticket.release()
    await other.reserve(tokens=90, microusd=0, record_id="r")
    await other.release()
    third = await desk.admit()
    await third.reserve(tokens=90, microusd=0, record_id="r")
