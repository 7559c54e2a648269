# ruff: noqa: INP001 - a script, not a package
"""Makes the price table that ships with the product out of the package `genai-prices`.

    python requirements/prices.py > src/inferway/usage/prices.json

Run it where that package is installed. The product itself does not import it: that costs a second and 100 MB in every worker.
"""

import importlib
import json
import sys
from datetime import date
from decimal import Decimal
from importlib.metadata import version
from typing import Any

PROVIDERS = ("openai", "anthropic", "google")
RATES = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cached_read",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "input_audio_mtok": "audio_input",
    "input_audio_hours": "audio_hour",
    "audio_hours": "audio_hour",
    "input_mchars": "characters",
}
CORRECTIONS: dict[tuple[str, str], dict[str, str]] = {
    # OpenAI takes 40 dollars a million of audio input since the version of December 2024; the package has no price for it, so that
    # audio would cost as little as text.
    ("openai", "gpt-4o-audio-preview"): {"audio_input": "40"},
    ("openai", "gpt-4o-mini-audio-preview"): {"audio_input": "10"},
}
"""What the package does not know or has wrong; see tests/recordings/price_disagreements.toml."""
NOTICE = "Prices from genai-prices. MIT License. Copyright (c) Pydantic Services Inc. 2025 to present."


def main() -> None:
    """Writes the table to standard output."""
    providers = importlib.import_module("genai_prices.data").providers
    table = {
        "notice": NOTICE,
        "version": f"genai-prices {version('genai-prices')}",
        "providers": {
            each.id: [corrected(each.id, row) for row in map(model, each.models) if row is not None]
            for each in providers
            if each.id in PROVIDERS
        },
    }
    sys.stdout.write(
        json.dumps(table, separators=(",", ":"), sort_keys=True).replace('{"id"', '\n{"id"') + "\n"
    )


def corrected(provider: str, row: dict[str, Any]) -> dict[str, Any]:
    """A row with what is corrected by hand; a correction must be one."""
    for name, price in CORRECTIONS.get((provider, row["id"]), {}).items():
        for each in row["prices"]:
            if each["rates"].get(name) == {"base": price}:
                raise SystemExit(f"{provider} {row['id']}: {name} needs no correction any more")
            each["rates"][name] = {"base": price}
    return row


def model(info: Any) -> dict[str, Any] | None:
    """One model's row; None when nothing is said of its price."""
    stages = info.prices if isinstance(info.prices, list) else [info.prices]
    prices = [stage(each) for each in stages if each is not None]
    if not any(each["rates"] for each in prices):
        return None
    return {"id": info.id, "match": clause(info.match), "prices": prices}


def stage(entry: Any) -> dict[str, Any]:
    """A set of prices and the day from which it holds."""
    prices = getattr(entry, "prices", entry)
    constraint = getattr(entry, "constraint", None)
    start: date | None = getattr(constraint, "start_date", None)
    if constraint is not None and start is None:
        raise SystemExit(f"a constraint that the product cannot read: {constraint}")
    found = {ours: rate(getattr(prices, theirs, None)) for theirs, ours in RATES.items()}
    # Input at zero is a preview's or an unknown price: what is not known is left out, never free.
    known = (
        {name: value for name, value in found.items() if value is not None}
        if found.get("input") != {"base": "0"}
        else {}
    )
    return {"from": start.isoformat() if start else None, "rates": known}


def rate(value: Any) -> dict[str, Any] | None:
    """A price in US dollars as exact text, with the input sizes above which another one holds for all tokens."""
    if value is None or isinstance(value, Decimal):
        return None if value is None else {"base": plain(value)}
    return {"base": plain(value.base), "tiers": [[tier.start, plain(tier.price)] for tier in value.tiers]}


def plain(value: Decimal) -> str:
    """A decimal without exponent."""
    return format(value.normalize(), "f")


def clause(match: Any) -> dict[str, Any]:
    """How a model's names are known."""
    ((name, value),) = vars(match).items()
    if isinstance(value, list):
        return {name.rstrip("_"): [clause(each) for each in value]}
    return {name: value}


if __name__ == "__main__":
    main()
