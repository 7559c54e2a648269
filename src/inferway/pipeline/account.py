"""Adding up what a request spent: meters and money."""

from collections.abc import Iterable

from msgspec import Struct

from inferway.pipeline.attempts import Spent
from inferway.pipeline.ports import Pricer
from inferway.types import Usage


class Account(Struct, frozen=True, kw_only=True):
    """All that a request spent; `microusd` is None when some of it has no known price."""

    usage: Usage
    tokens_used: dict[str, int] | None
    microusd: int | None
    price_version: str | None

    @property
    def usd(self) -> float | None:
        """The cost in US dollars."""
        return None if self.microusd is None else self.microusd / 1_000_000

    @property
    def tokens(self) -> int:
        """All tokens, in and out."""
        return self.tokens_used["total"] if self.tokens_used else 0


def account_of(spent: Iterable[Spent], pricer: Pricer) -> Account:
    """Sum what every upstream answer of a request used; answers that were thrown away cost money too."""
    usage, microusd, version = None, 0, None
    priced = True
    for item in spent:
        usage = item.usage if usage is None else usage + item.usage
        price = pricer.price(item.provider, item.model, item.usage) or (
            pricer.price(item.provider, item.model_version, item.usage) if item.model_version else None
        )
        if price is None:
            priced = False
        else:
            microusd += price.microusd
            version = price.version
    usage = usage or Usage()
    return Account(
        usage=usage,
        tokens_used=usage.tokens_used(),
        microusd=microusd if priced else None,
        price_version=version,
    )
