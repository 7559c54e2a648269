"""Replays what calls cost, with the prices of now."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from inferway.types import Usage
from inferway.usage.ledger import Ledger
from inferway.usage.prices import Price
from inferway.usage.queries import Place, Repriced, UsageQuery
from inferway.usage.records import AttemptRecord, UsageRecord

_PAGE = 500


class PricesAt(Protocol):
    """Prices usage as of a moment; None when the price is not known."""

    def price(self, provider: str, model: str, usage: Usage, at: datetime | None = None) -> Price | None: ...


class Moved(Struct, kw_only=True):
    """What a replay moves for one model, in micro-dollars of the calls whose cost was or is known."""

    calls: int = 0
    changed: int = 0
    was_microusd: int = 0
    now_microusd: int = 0
    was_unpriced: int = 0
    now_unpriced: int = 0


async def replay(
    ledger: Ledger, query: UsageQuery, prices: PricesAt, *, apply: bool
) -> dict[tuple[str, str], Moved]:
    """What the calls of a query would cost now, by provider and model; with `apply` rows and rollups are changed, some at a time."""
    moved: dict[tuple[str, str], Moved] = {}
    async for page in pages(ledger, query):
        changes = [Repriced(was=each, now=repriced(each, prices)) for each in page]
        for change in changes:
            _note(moved, change)
        if apply:
            await ledger.reprice([each for each in changes if each.was != each.now])
    return moved


async def pages(ledger: Ledger, query: UsageQuery) -> AsyncIterator[tuple[UsageRecord, ...]]:
    """All calls of a query in the order they began, some at a time, so that memory stays flat."""
    after: Place | None = None
    while page := await ledger.scan(query, after, _PAGE):
        yield page
        after = Place.behind(page[-1])


def repriced(record: UsageRecord, prices: PricesAt) -> UsageRecord:
    """The record with what it costs at the prices of the moment it began; what nobody counted stays as it is."""
    counted = [each for each in record.itemized() if each.usage is not None and each.usage.source != "none"]
    if not counted:
        return record
    found = {id(each): _price(each, record.started_at, prices) for each in counted}
    known = [price for price in found.values() if price is not None]
    cost = sum(price.microusd for price in known) if len(known) == len(counted) else None
    version = known[-1].version if known else None
    attempts = record.attempts
    if len(attempts) > 1:
        attempts = tuple(_with(each, found[id(each)]) if id(each) in found else each for each in attempts)
    return replace(record, cost_microusd=cost, price_version=version, attempts=attempts)


def _price(attempt: AttemptRecord, at: datetime, prices: PricesAt) -> Price | None:
    usage = attempt.usage or Usage()
    price = prices.price(attempt.provider, attempt.model, usage, at)
    if price is None and attempt.model_version:
        return prices.price(attempt.provider, attempt.model_version, usage, at)
    return price


def _with(attempt: AttemptRecord, price: Price | None) -> AttemptRecord:
    return replace(
        attempt,
        cost_microusd=None if price is None else price.microusd,
        price_version=None if price is None else price.version,
    )


def _note(moved: dict[tuple[str, str], Moved], change: Repriced) -> None:
    was, now = change.was.cost_microusd, change.now.cost_microusd
    of = moved.setdefault((change.was.provider, change.was.model), Moved())
    of.calls += 1
    of.changed += was != now
    of.was_microusd += was or 0
    of.now_microusd += now or 0
    of.was_unpriced += was is None
    of.now_unpriced += now is None
