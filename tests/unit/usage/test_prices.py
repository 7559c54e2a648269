"""Prices: each meter once, by its own price; unknown is never zero; the operator's own prices stand above the table."""

from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from inferway.types import Usage
from inferway.usage.prices import OwnPrice, Price, Prices, Rate, Rates, cost_usd, plain_prices

PRICES = Prices()
AT = datetime(2026, 11, 1, tzinfo=UTC)


def usage(**meters: int) -> Usage:
    return replace(Usage(source="provider"), **meters)


def microusd(provider: str, model: str, **meters: int) -> int | None:
    price = PRICES.price(provider, model, usage(**meters), AT)
    return None if price is None else price.microusd


@pytest.mark.parametrize(
    ("provider", "model", "meters", "expected"),
    [
        # gpt-4o: 2.50 in, 1.25 cached, 10 out per million.
        ("openai", "gpt-4o", {"input": 1000, "output": 100}, 2500 + 1000),
        (
            "openai",
            "gpt-4o",
            {"input": 600, "cached_read": 400, "output": 60, "reasoning": 40},
            1500 + 500 + 1000,
        ),
        ("openai", "gpt-4o-2024-08-06", {"input": 1000}, 2500),
        ("openai", "GPT-4o", {"input": 1000}, 2500),
        ("openai", "text-embedding-3-small", {"input": 1000, "vectors": 3}, 20),
        (
            "openai",
            "gpt-4o-mini-transcribe",
            {"audio_input": 1000, "input": 100, "output": 10},
            3000 + 125 + 50,
        ),
        # 0.006 a minute: not zero, and not twice.
        ("openai", "whisper-1", {"audio_ms": 60_000}, 6000),
        ("openai", "whisper-1", {"audio_ms": 1_500}, 150),
        # 3 in, 0.30 read, 3.75 written, 15 out; twice the size above 200,000 tokens costs more for all of them.
        (
            "anthropic",
            "claude-sonnet-4-5",
            {"input": 10, "cached_read": 1000, "cache_write": 100, "output": 10},
            855,
        ),
        ("anthropic", "claude-sonnet-4-5-20250929", {"input": 200_000}, 600_000),
        (
            "anthropic",
            "claude-sonnet-4-5-20250929",
            {"input": 100_000, "cached_read": 100_001},
            600_000 + 60_001,
        ),
        (
            "google",
            "gemini-2.5-flash",
            {"input": 100, "audio_input": 100, "output": 50, "reasoning": 50},
            30 + 100 + 250,
        ),
        ("google", "models/gemini-2.5-flash", {"input": 100}, 30),
    ],
)
def test_a_call_costs_what_the_providers_price_list_says(
    provider: str, model: str, meters: dict[str, int], expected: int
) -> None:
    assert microusd(provider, model, **meters) == expected


def test_an_hours_cache_write_costs_more_than_five_minutes() -> None:
    raw = b'{"cache_creation":{"ephemeral_5m_input_tokens":40,"ephemeral_1h_input_tokens":60}}'
    priced = PRICES.price("anthropic", "claude-sonnet-4-5", replace(usage(cache_write=100), raw=raw), AT)
    assert priced is not None
    assert priced.microusd == 40 * 3.75 + 60 * 6


@pytest.mark.parametrize("raw", [b"{", b"[]", b'{"cache_creation":null,"x":"ephemeral_1h_input_tokens"}'])
def test_a_strange_raw_usage_is_priced_as_the_plain_write(raw: bytes) -> None:
    raw += b'"ephemeral_1h_input_tokens"' if b"ephemeral" not in raw else b""
    priced = PRICES.price("anthropic", "claude-sonnet-4-5", replace(usage(cache_write=100), raw=raw), AT)
    assert priced is not None
    assert priced.microusd == 375


@pytest.mark.parametrize(
    ("provider", "model", "counted"),
    [
        ("openai", "no-such-model", usage(input=1)),
        ("groq", "gpt-4o", usage(input=1)),
        ("openai", "gpt-4o", Usage()),
        ("openai", "gpt-4o", usage()),
        ("openai", "gpt-4o", usage(audio_ms=1000)),
        ("openai", "whisper-1", usage(input=10)),
        ("openai", "text-embedding-3-small", usage(input=10, output=1)),
        ("google", "multimodalembedding@001", usage(images=1)),
    ],
)
def test_what_has_no_known_price_is_none_and_never_zero(provider: str, model: str, counted: Usage) -> None:
    assert PRICES.price(provider, model, counted, AT) is None


def test_local_calls_are_truly_free() -> None:
    assert PRICES.price("local", "anything", Usage()) == Price(microusd=0, version="free")


def test_an_unknown_price_is_told_once_for_each_model_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    prices = Prices()
    for _ in range(3):
        prices.note_unpriced("openai", "gpt-new")
    prices.note_unpriced("mine", "m")
    assert prices.unpriced == {("openai", "gpt-new"): 3, ("mine", "m"): 1}
    assert caplog.text.count("openai/gpt-new is not known") == 1
    assert caplog.text.count("mine/m is not known") == 1


def test_counts_of_unpriced_models_stay_bounded() -> None:
    prices = Prices()
    for number in range(3000):
        prices.note_unpriced("openai", f"model {number}")
    assert len(prices.unpriced) <= 1025
    assert sum(prices.unpriced.values()) == 3000


def test_a_price_names_its_table() -> None:
    priced = PRICES.price("openai", "gpt-4o", usage(input=1), AT)
    assert priced is not None
    assert priced.version.startswith("genai-prices ")


def test_the_operators_own_price_stands_above_the_table() -> None:
    prices = Prices(
        {"openai/gpt-4o": OwnPrice(input=1, output=2), "mine/Whisper": OwnPrice(audio_minute=0.012)}
    )
    assert prices.price("openai", "gpt-4o", usage(input=10, cached_read=5, output=10)) == Price(
        microusd=35, version="settings"
    )
    assert prices.price("mine", "whisper", usage(audio_ms=30_000)) == Price(microusd=6000, version="settings")
    free = Prices({"mine/free": OwnPrice(request=0)})
    assert free.price("mine", "free", usage(input=5)) is None, "its tokens have no price"
    assert Prices({"mine/x": OwnPrice(input=0, output=0)}).price("mine", "x", usage(input=5)) == Price(
        microusd=0, version="settings"
    )
    assert Prices({"a/b": OwnPrice(image=0.002, request=0.01)}).price("a", "b", usage(images=2)) == Price(
        microusd=14_000, version="settings"
    )


@pytest.mark.parametrize(("day", "expected"), [(9, 10_000), (10, 2_000), (30, 2_000)])
def test_a_price_change_holds_from_its_day(day: int, expected: int) -> None:
    at = datetime(2025, 6, day, 12, tzinfo=UTC)
    priced = PRICES.price("openai", "o3", usage(input=1000), at)
    assert priced is not None
    assert priced.microusd == expected


def test_every_model_of_the_table_can_be_priced() -> None:
    for provider, models in PRICES._read_table().providers.items():
        for model in models:
            starts = [stage.start for stage in model.prices if stage.start]
            assert starts == sorted(starts), model.id
            for stage in model.prices:
                for rate in msgspec.structs.astuple(stage.rates):
                    assert rate is None or rate.base >= 0, (provider, model.id)


COUNT = st.integers(0, 10**9)
METERS = ("input", "cached_read", "cache_write", "output", "reasoning", "audio_input")
FLAT = Rates(
    input=Rate(Decimal("2.5")),
    output=Rate(Decimal(10)),
    cached_read=Rate(Decimal("1.25")),
    cache_write=Rate(Decimal("3.125")),
    audio_input=Rate(Decimal(40)),
)


@given(st.fixed_dictionaries(dict.fromkeys(METERS, COUNT)))
def test_the_cost_is_the_sum_of_its_meters_and_never_negative(meters: dict[str, int]) -> None:
    whole = cost_usd(usage(**meters), FLAT)
    parts = [cost_usd(usage(**{name: count}), FLAT) for name, count in meters.items() if count]
    assert (whole or 0) == sum(part for part in parts if part is not None)
    assert (whole or 0) >= 0


@given(st.fixed_dictionaries(dict.fromkeys(METERS, COUNT)), st.sampled_from(METERS))
def test_more_of_anything_never_costs_less(meters: dict[str, int], more: str) -> None:
    for name in ("gpt-4o", "gpt-4o-mini"):
        less, greater = (
            microusd("openai", name, **meters),
            microusd("openai", name, **meters | {more: meters[more] + 1000}),
        )
        assert (less or 0) <= (greater or 0)


@given(
    st.fixed_dictionaries(dict.fromkeys(("input", "output", "reasoning"), COUNT)),
    st.decimals(0, 1000, places=4),
    st.decimals(0, 1000, places=7),
)
def test_plain_tokens_cost_the_same_by_the_short_way(
    meters: dict[str, int], entry: Decimal, made: Decimal
) -> None:
    used, rates = usage(**meters), Rates(input=Rate(entry), output=Rate(made))
    plain, dollars = plain_prices(rates, "v"), cost_usd(used, rates)
    assert plain is not None
    expected = None
    if dollars is not None:
        rounded = int((dollars * 1_000_000).to_integral_value(ROUND_HALF_UP))
        expected = Price(microusd=rounded, version="v")
    assert plain.price(used) == expected


@given(st.fixed_dictionaries(dict.fromkeys(METERS, COUNT)))
def test_a_price_is_the_same_when_the_model_was_priced_before(meters: dict[str, int]) -> None:
    fresh, used = Prices({"openai/mine": OwnPrice(input=0.3, output=1.7)}), usage(**meters)
    for name in ("gpt-4o", "mine"):
        first = fresh.price("openai", name, used)
        assert fresh.price("openai", name, used) == first


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_cached_tokens_are_never_billed_twice(plain: int, cached: int) -> None:
    """By their own price where there is one, by the plain one where there is none; never by both."""
    plain_rate, cached_rate = Rate(Decimal("2.5")), Rate(Decimal("1.25"))
    both = Rates(input=plain_rate, cached_read=cached_rate)
    used = usage(input=plain, cached_read=cached)
    assert (cost_usd(used, both) or 0) * 1_000_000 == plain * plain_rate.base + cached * cached_rate.base
    assert (cost_usd(used, Rates(input=plain_rate)) or 0) * 1_000_000 == (plain + cached) * plain_rate.base


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_an_hours_cache_write_is_billed_once_whatever_the_raw_usage_claims(
    written: int, claimed: int
) -> None:
    raw = b'{"cache_creation":{"ephemeral_1h_input_tokens":%d}}' % claimed
    used = replace(usage(cache_write=written), raw=raw)
    rates = Rates(cache_write=Rate(Decimal("3.75")), cache_write_1h=Rate(Decimal(6)))
    hour = min(written, claimed)
    wanted = (written - hour) * Decimal("3.75") + hour * Decimal(6)
    assert (cost_usd(used, rates) or 0) * 1_000_000 == wanted


@given(st.integers(1, 10**9), st.integers(1, 10**9), st.integers(0, 10**9))
def test_audio_is_billed_by_the_second_or_by_tokens_as_the_model_is_priced(
    milliseconds: int, tokens: int, output: int
) -> None:
    by_time, by_token = Rates(audio_hour=Rate(Decimal("0.36"))), Rates(audio_input=Rate(Decimal(40)))
    assert cost_usd(usage(audio_ms=milliseconds), by_time) == milliseconds * Decimal("0.36") / 3_600_000
    assert cost_usd(usage(audio_input=tokens), by_token) == tokens * Decimal(40) / 1_000_000
    assert cost_usd(usage(audio_ms=milliseconds), by_token) is None, "a length has no price in tokens"
    assert cost_usd(usage(audio_input=tokens), by_time) is None, "tokens have no price in seconds"
    told = usage(audio_ms=milliseconds, output=output)
    mixed = Rates(audio_hour=Rate(Decimal("0.36")), output=Rate(Decimal(10)))
    parts = (cost_usd(usage(audio_ms=milliseconds), mixed), cost_usd(usage(output=output), mixed))
    assert cost_usd(told, mixed) == sum(part for part in parts if part is not None)
