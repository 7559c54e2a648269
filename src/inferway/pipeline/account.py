"""Adding up what a request spent: meters and money."""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from inferway.pipeline.journey import HEDGE_LOST, PERHAPS_BILLED, Journey, Spent
from inferway.pipeline.ports import Pricer
from inferway.types import Usage
from inferway.usage.prices import Price
from inferway.usage.records import AttemptRecord

_NO_FAILURE = ("ok", "cancelled", HEDGE_LOST)


class Account(Struct, frozen=True, kw_only=True):
    """All that a request spent; `microusd` is None when some of it has no known price. `items` is the price of each part, in order."""

    usage: Usage
    tokens_used: dict[str, int] | None
    microusd: int | None
    price_version: str | None
    items: tuple[Price | None, ...] = ()

    @property
    def usd(self) -> float | None:
        """The cost in US dollars."""
        return None if self.microusd is None else self.microusd / 1_000_000

    @property
    def tokens(self) -> int:
        """All tokens, in and out."""
        return self.tokens_used["total"] if self.tokens_used else 0


def account_of(spent: Sequence[Spent], pricer: Pricer) -> Account:
    """Sum what every upstream answer of a request used; answers that were thrown away cost money too."""
    usage, microusd, version = None, 0, None
    priced = True
    items = []
    for item in spent:
        usage = item.usage if usage is None else usage + item.usage
        price = pricer.price(item.provider, item.model, item.usage) or (
            pricer.price(item.provider, item.model_version, item.usage) if item.model_version else None
        )
        items.append(price)
        if price is None:
            priced = False
            pricer.note_unpriced(item.provider, item.model)
        else:
            microusd += price.microusd
            version = price.version
    usage = usage or Usage()
    return Account(
        usage=usage,
        tokens_used=usage.tokens_used(),
        microusd=microusd if priced else None,
        price_version=version,
        items=tuple(items),
    )


def itemized(journey: Journey, account: Account) -> tuple[AttemptRecord, ...]:
    """Every attempt with what it used and cost; a sole one leaves that to the call, whose usage and cost are its own."""
    attempts = journey.attempts
    if len(attempts) < 2:
        return tuple(attempts)
    told = [each if each.outcome in PERHAPS_BILLED else replace(each, cost_microusd=0) for each in attempts]
    for item, price in zip(journey.spent, account.items, strict=True):
        told[item.attempt] = replace(
            attempts[item.attempt],
            usage=item.usage,
            cost_microusd=None if price is None else price.microusd,
            price_version=None if price is None else price.version,
            model_version=item.model_version,
        )
    return tuple(told)


def retries_of(journey: Journey) -> int:
    """How many attempts followed a failed one: every failure but the last of each unit that failed for good."""
    if len(journey.attempts) < 2:
        return 0
    failures = sum(attempt.outcome not in _NO_FAILURE for attempt in journey.attempts)
    return max(0, failures - journey.failed)
