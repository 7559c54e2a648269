"""Admission: every call gets a ticket or is told which limit it would pass."""

import math
import time
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from inferway.errors import TooManyRequests
from inferway.limits.bucket import Bucket
from inferway.limits.spending import Reservation, Spending
from inferway.limits.table import Refused, Room
from inferway.limits.terms import Rules, Terms, rules_of
from inferway.types import SpendCap, Standing

_US = 1_000_000
_API_NAME = "inference"
_REMEMBERED_RULES = 1_000


class Visit(Protocol):
    """One call that counts as running until it leaves."""

    def room(self) -> Room | None:
        """What the key's limits have left now; None when there are none."""
        ...

    async def take_tokens(self, bucket: Bucket, tokens: int) -> Refused | None:
        """Reserve tokens, or say that there are too few."""
        ...

    async def correct_tokens(self, bucket: Bucket, tokens: int) -> None:
        """Take more tokens, or give some back (below 0)."""
        ...

    async def leave(self) -> None:
        """The call has ended."""
        ...


class Counter(Protocol):
    """Counts calls against rules."""

    async def enter(self, key_id: str, organization_id: str, rules: Rules) -> Visit | Refused: ...

    async def room(self, key_id: str, organization_id: str, rules: Rules) -> Room | None: ...


class OpenTicket:
    """A ticket that nothing was reserved for."""

    counts_use = False
    counts_money = False
    is_released = False

    def standing(self) -> Standing | None:
        """There is no limit to stand with."""
        return None

    async def reserve(self, *, tokens: int, microusd: int, record_id: str) -> None:
        """Nothing is short."""

    async def settle(self, *, tokens: int, microusd: int | None) -> None:
        """Nothing was taken."""

    async def release(self) -> None:
        """Nothing is given back."""


class OpenAdmission:
    """Admits every call that has come through the gate."""

    async def admit(
        self,
        *,
        organization_id: str,
        namespace_id: str,
        key_id: str,
        per_minute: int | None = None,
        caps: tuple[SpendCap, ...] | None = None,
    ) -> OpenTicket:
        """A ticket, at once."""
        del organization_id, namespace_id, key_id, per_minute, caps
        return OpenTicket()

    async def standing(
        self, *, organization_id: str, key_id: str, per_minute: int | None = None
    ) -> Standing | None:
        """There is no limit to stand with."""
        del organization_id, key_id, per_minute
        return None


class LimitedTicket(Struct, eq=False):
    """What one call holds: a place among its organization's calls, and tokens and money until it is known how much it used.

    `counts_use` says whether tokens or money must be reserved, `counts_money` whether money must be.
    """

    visit: Visit
    bucket: Bucket | None
    """Where the call's tokens are counted."""
    wall_clock: Callable[[], float]
    caps: tuple[SpendCap, ...] | None = None
    spending: Spending | None = None
    counts_use: bool = False
    counts_money: bool = False
    is_released: bool = False
    reserved: int = 0
    money: Reservation | None = None

    def standing(self) -> Standing | None:
        """How the key stands with its limit at this moment; None without one."""
        room = self.visit.room()
        return None if room is None else _standing(room, self.wall_clock())

    async def reserve(self, *, tokens: int, microusd: int, record_id: str) -> None:
        """Take what the call may use at most; raises `TooManyRequests`, `QuotaExceeded` and `StoreUnavailable`.

        A call that costs nothing needs no room under a cap.
        """
        if self.bucket is not None and tokens:
            # More than the bucket holds is asked of a full one: all of it is taken.
            asked = min(tokens, self.bucket.capacity)
            refused = await self.visit.take_tokens(self.bucket, asked)
            if refused is not None:
                raise _too_many_tokens(refused, self.wall_clock())
            self.reserved = asked
        if self.caps is not None and self.spending is not None and microusd:
            self.money = await self.spending.reserve(self.caps, microusd, record_id)

    async def settle(self, *, tokens: int, microusd: int | None) -> None:
        """Replace what was reserved by what was used; money of which nobody knows stays spent."""
        if self.bucket is not None:
            reserved, self.reserved = self.reserved, 0
            await self.visit.correct_tokens(self.bucket, tokens - reserved)
        money, self.money = self.money, None
        if money is not None and self.spending is not None:
            await self.spending.settle(money, microusd)

    async def release(self) -> None:
        """Give the place back, and the tokens that were reserved and not settled. Money that was not settled stays spent."""
        self.is_released = True
        if self.reserved or self.money is not None:
            await self.settle(tokens=0, microusd=None)
        await self.visit.leave()


class LimitedAdmission:
    """Lets calls in as far as their terms go."""

    def __init__(
        self,
        counter: Counter,
        terms: Terms,
        *,
        spending: Spending | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._counter = counter
        self._spending = spending
        self._terms = terms
        self._wall_clock = wall_clock
        self._rules = rules_of(terms)
        self._rules_of_keys: dict[int, Rules] = {}

    async def admit(
        self,
        *,
        organization_id: str,
        namespace_id: str,
        key_id: str,
        per_minute: int | None = None,
        caps: tuple[SpendCap, ...] | None = None,
    ) -> LimitedTicket:
        """A ticket. `per_minute` is the key's own limit instead of the general one. Raises `TooManyRequests`."""
        del namespace_id
        rules = self._rules_for(per_minute)
        visit = await self._counter.enter(key_id, organization_id, rules)
        if isinstance(visit, Refused):
            raise _too_many_calls(visit, self._wall_clock())
        tokens, counts_money = rules.tokens, caps is not None
        counts_use = counts_money or tokens is not None
        return LimitedTicket(visit, tokens, self._wall_clock, caps, self._spending, counts_use, counts_money)

    async def standing(
        self, *, organization_id: str, key_id: str, per_minute: int | None = None
    ) -> Standing | None:
        """How a key stands with its limit, taking nothing; None without one."""
        room = await self._counter.room(key_id, organization_id, self._rules_for(per_minute))
        return None if room is None else _standing(room, self._wall_clock())

    def _rules_for(self, per_minute: int | None) -> Rules:
        if per_minute is None:
            return self._rules
        rules = self._rules_of_keys.get(per_minute)
        if rules is None:
            if len(self._rules_of_keys) >= _REMEMBERED_RULES:
                self._rules_of_keys.clear()
            rules = self._rules_of_keys[per_minute] = rules_of(replace(self._terms, per_minute=per_minute))
        return rules


def _standing(room: Room, now: float) -> Standing:
    return Standing(
        limit=room.limit,
        remaining=room.remaining,
        reset_at=math.ceil(now + room.full_us / _US),
        window_s=room.window_s,
    )


def _too_many_calls(refused: Refused, now: float) -> TooManyRequests:
    if not refused.window_s:
        message = f"the limit of {refused.limit} calls at once is reached"
        return _told(TooManyRequests(message, code="too_many_at_once"), refused, now)
    window = "minute" if refused.window_s == 60 else "second"
    message = f"the limit of {refused.limit} calls per {window} is reached"
    return _told(TooManyRequests(message), refused, now)


def _too_many_tokens(refused: Refused, now: float) -> TooManyRequests:
    message = f"the limit of {refused.limit} tokens per minute is reached"
    return _told(TooManyRequests(message, code="tokens_limited"), refused, now)


def _told(error: TooManyRequests, refused: Refused, now: float) -> TooManyRequests:
    """The error with all that its caller should know."""
    wait_s = max(1, math.ceil(refused.wait_us / _US))
    error.retry_after_s = wait_s
    error.details = {
        "limit": refused.limit,
        "window": refused.window_s,
        "retry_after": wait_s,
        "retry_after_seconds": wait_s,
        "api_name": _API_NAME,
        "retryable": True,
    }
    full_s = max(refused.full_us, refused.wait_us) / _US
    error.standing = Standing(
        limit=refused.limit, remaining=0, reset_at=math.ceil(now + full_s), window_s=refused.window_s
    )
    return error
