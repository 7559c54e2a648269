"""What usage costs: a table that ships with the product, and the operator's own prices above it."""

import logging
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from importlib import resources
from typing import Any

import msgspec
from msgspec import Struct

from inferway.types import Usage

FREE_PROVIDERS = frozenset({"local", "fake"})
"""These run here: their calls cost nothing, which is not the same as an unknown price."""

_MILLION = Decimal(1_000_000)
_ONE = Decimal(1)
_ZERO = Decimal(0)
_TABLE_FILE = "prices.json"
_LOG = logging.getLogger(__name__)
_MAX_REMEMBERED = 1024


class Price(Struct, frozen=True, kw_only=True):
    """The price of some usage in integer micro-dollars, rounded half up, and the version of the table that said so."""

    microusd: int
    version: str


class OwnPrice(Struct, frozen=True, kw_only=True):
    """An operator's price for one model: US dollars per million tokens, per minute of audio, per image and per call."""

    input: float | None = None
    output: float | None = None
    cached_read: float | None = None
    cache_write: float | None = None
    audio_input: float | None = None
    audio_minute: float | None = None
    image: float | None = None
    request: float | None = None


class Rate(Struct, frozen=True):
    """US dollars per unit; each tier is an input size in tokens above which its price holds for all tokens of the call."""

    base: Decimal
    tiers: tuple[tuple[int, Decimal], ...] = ()

    def at(self, input_tokens: int) -> Decimal:
        """The price for a call of this size."""
        if not self.tiers:
            return self.base
        return next((price for start, price in reversed(self.tiers) if input_tokens > start), self.base)


class Rates(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All prices of a model: per million tokens or characters, per hour of audio, per image and per call."""

    input: Rate | None = None
    output: Rate | None = None
    cached_read: Rate | None = None
    cache_write: Rate | None = None
    cache_write_1h: Rate | None = None
    audio_input: Rate | None = None
    audio_hour: Rate | None = None
    characters: Rate | None = None
    image: Rate | None = None
    request: Rate | None = None


class PlainPrices(Struct, frozen=True):
    """What plain tokens in and out cost, in micro-dollars for `unit` of them: `cost_usd`, for the calls that are nearly all calls."""

    input: int
    output: int
    unit: int
    version: str

    def price(self, usage: Usage) -> Price | None:
        """The price; None for anything but plain tokens."""
        given, made = usage.input, usage.output + usage.reasoning
        if usage.cached_read or usage.cache_write or usage.audio_input or usage.audio_ms:
            return None
        if usage.characters or usage.images or given < 0 or made < 0 or not (given or made):
            return None
        # Half a micro-dollar is rounded up.
        unit = self.unit
        twice = 2 * (given * self.input + made * self.output)
        return Price(microusd=(twice + unit) // (2 * unit), version=self.version)


class _Stage(Struct, frozen=True):
    """Prices from a day on; the later stage wins."""

    rates: Rates
    start: date | None = msgspec.field(default=None, name="from")


class _Model(Struct, frozen=True):
    id: str
    match: dict[str, Any]
    prices: tuple[_Stage, ...]


class _Table(Struct, frozen=True):
    version: str
    providers: dict[str, tuple[_Model, ...]]


class Prices:
    """Prices usage by provider and model. The table is read when the first price is asked for.

    `own` are the operator's prices by "provider/model"; they stand above the table and have the version `settings`.
    """

    def __init__(self, own: Mapping[str, OwnPrice] | None = None) -> None:
        self._own = {name.lower(): _own_rates(price) for name, price in (own or {}).items()}
        self._table: _Table | None = None
        self._remembered: dict[tuple[str, str], _Model | None] = {}
        self._unpriced: dict[tuple[str, str], int] = {}
        self._plain: dict[tuple[str, str], PlainPrices | None] = {}

    def price(self, provider: str, model: str, usage: Usage, at: datetime | None = None) -> Price | None:
        """What the usage costs at a moment (now); None when nobody counted or any part of it has no known price."""
        key = (provider, model)
        plain = self._plain.get(key)
        if plain is not None and usage.source != "none":
            price = plain.price(usage)
            if price is not None:
                return price
        own = self._own.get(f"{provider}/{model}".lower()) if self._own else None
        if own is None and provider in FREE_PROVIDERS:
            return Price(microusd=0, version="free")
        if usage.source == "none":
            return None
        rates = own or self._table_rates(provider, model, at)
        if rates is None:
            return None
        version = "settings" if own else self._read_table().version
        if key not in self._plain and (own or self._is_for_good(provider, model)):
            self._learn(key, plain_prices(rates, version))
        dollars = cost_usd(usage, rates)
        if dollars is None:
            return None
        microusd = int((dollars * _MILLION).to_integral_value(ROUND_HALF_UP))
        return Price(microusd=microusd, version=version)

    @property
    def unpriced(self) -> Mapping[tuple[str, str], int]:
        """How many upstream answers without a known cost this process has seen, by provider and model."""
        return self._unpriced

    def note_unpriced(self, provider: str, model: str) -> None:
        """Counts an answer whose cost is not known, and warns once for each model. Models beyond the first thousand count as `other`."""
        key = (provider, model)
        count = self._unpriced.get(key, 0)
        if not count and len(self._unpriced) >= _MAX_REMEMBERED:
            key = (provider, "other")
            count = self._unpriced.get(key, 0)
        self._unpriced[key] = count + 1
        if not count:
            _LOG.warning(
                'the cost of %s/%s is not known and is recorded as unknown, not as 0: set [prices."%s/%s"] if it has a price',
                *(provider, model) * 2,
            )

    def models(self, provider: str) -> tuple[str, ...]:
        """The models of a provider that the table or the operator's prices name."""
        own = (name.partition("/")[2] for name in self._own if name.startswith(f"{provider.lower()}/"))
        return (*own, *(each.id for each in self._read_table().providers.get(provider, ())))

    def _table_rates(self, provider: str, model: str, at: datetime | None) -> Rates | None:
        found = self._find_model(provider, model)
        if found is None:
            return None
        if len(found.prices) == 1:
            return found.prices[0].rates
        day = (at or datetime.now(UTC)).date()
        holding = [stage for stage in found.prices if stage.start is None or stage.start <= day]
        return (holding[-1] if holding else found.prices[0]).rates

    def _is_for_good(self, provider: str, model: str) -> bool:
        """Whether the table knows one price of a model, whatever the day."""
        found = self._find_model(provider, model)
        return found is not None and len(found.prices) == 1

    def _learn(self, key: tuple[str, str], plain: PlainPrices | None) -> None:
        if len(self._plain) >= _MAX_REMEMBERED:
            self._plain.clear()
        self._plain[key] = plain

    def _find_model(self, provider: str, model: str) -> _Model | None:
        key = (provider, model)
        if key not in self._remembered:
            if len(self._remembered) >= _MAX_REMEMBERED:
                self._remembered.pop(next(iter(self._remembered)))
            name = model.rpartition("/")[2].lower()
            models = self._read_table().providers.get(provider, ())
            self._remembered[key] = next((each for each in models if _matches(each.match, name)), None)
        return self._remembered[key]

    def _read_table(self) -> _Table:
        if self._table is None:
            content = resources.files("inferway.usage").joinpath(_TABLE_FILE).read_bytes()
            self._table = msgspec.json.decode(content, type=_Table)
        return self._table


def plain_prices(rates: Rates, version: str) -> PlainPrices | None:
    """The short way to what these rates say; None when even plain tokens have no plain price."""
    entry, exit_ = rates.input, rates.output
    if entry is None or exit_ is None or entry.tiers or exit_.tiers or rates.request is not None:
        return None
    (given, given_part), (made, made_part) = entry.base.as_integer_ratio(), exit_.base.as_integer_ratio()
    return PlainPrices(given * made_part, made * given_part, given_part * made_part, version)


def cost_usd(usage: Usage, rates: Rates) -> Decimal | None:
    """The exact cost in US dollars: each meter once, by its own price, or by the plain one it is a kind of.

    None when a meter that is billed has no price. Images and characters are counts beside the tokens: they are billed where they have
    a price, and only where nothing else was counted must they have one.
    """
    size = usage.input + usage.cached_read + usage.cache_write + usage.audio_input
    hour_writes = min(_one_hour_writes(usage), usage.cache_write)
    billed = (
        (usage.input, rates.input, _MILLION),
        (usage.cached_read, rates.cached_read or rates.input, _MILLION),
        (usage.cache_write - hour_writes, rates.cache_write or rates.input, _MILLION),
        (hour_writes, rates.cache_write_1h or rates.cache_write or rates.input, _MILLION),
        (usage.audio_input, rates.audio_input or rates.input, _MILLION),
        (usage.output + usage.reasoning, rates.output, _MILLION),
        (usage.audio_ms, rates.audio_hour, Decimal(3_600_000)),
    )
    beside = ((usage.characters, rates.characters, _MILLION), (usage.images, rates.image, _ONE))
    dollars = _ZERO if rates.request is None else rates.request.base
    is_counted = is_billed = False
    for count, rate, unit in billed:
        if count > 0:
            if rate is None:
                return None
            is_counted = is_billed = True
            dollars += count * rate.at(size) / unit
    for count, rate, unit in beside:
        if count > 0:
            if rate is not None:
                is_billed = True
                dollars += count * rate.at(size) / unit
            elif not is_counted:
                return None
    return None if not is_billed and rates.request is None else dollars


def _one_hour_writes(usage: Usage) -> int:
    """Tokens written to Anthropic's cache for an hour, which cost more than those for five minutes; only its raw usage tells."""
    if not usage.cache_write or usage.raw is None or b"ephemeral_1h_input_tokens" not in usage.raw:
        return 0
    try:
        count = msgspec.json.decode(usage.raw)["cache_creation"]["ephemeral_1h_input_tokens"]
    except (msgspec.DecodeError, KeyError, TypeError):
        return 0
    return max(0, count) if isinstance(count, int) else 0


def _own_rates(price: OwnPrice) -> Rates:
    def rate(dollars: float | None) -> Rate | None:
        return None if dollars is None else Rate(Decimal(str(dollars)))

    per_hour = None if price.audio_minute is None else Rate(Decimal(str(price.audio_minute)) * 60)
    return Rates(
        input=rate(price.input),
        output=rate(price.output),
        cached_read=rate(price.cached_read),
        cache_write=rate(price.cache_write),
        audio_input=rate(price.audio_input),
        audio_hour=per_hour,
        image=rate(price.image),
        request=rate(price.request),
    )


def _matches(clause: Mapping[str, Any], name: str) -> bool:
    """Whether a model's lower-case name is what a clause of the table means; an unknown kind of clause means nothing."""
    ((kind, value),) = clause.items()
    if kind == "or":
        return any(_matches(each, name) for each in value)
    if kind == "and":
        return all(_matches(each, name) for each in value)
    if kind == "regex":
        return re.search(value, name) is not None
    text = str(value).lower()
    simple = {
        "equals": name == text,
        "starts_with": name.startswith(text),
        "ends_with": name.endswith(text),
        "contains": text in name,
    }
    return simple.get(kind, False)
