"""The recordings' costs by two public price tables that know nothing of each other: `python -m tests.recordings.price_tables`.

One is the package `genai-prices`, asked through its own functions; the other the table inside the wheel of `litellm`, read as data: that
package is never installed. Its newest table has no models that are retired: for those an older one is asked. With `--fetch` the wheels are
brought first, by their hashes in requirements/prices-peer*.txt.
"""

import json
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

from genai_prices import Usage as PeerUsage
from genai_prices import calc_price
from msgspec import Struct

from inferway.types import Usage
from inferway.usage.prices import Prices
from tests.recordings.answers import expect
from tests.recordings.book import Recording, load_all
from tests.recordings.replaying import most_checks

ROOT = Path(__file__).parents[2]
PLACE = ROOT / ".prices-peer"
PINNED = tuple(ROOT / "requirements" / name for name in ("prices-peer.txt", "prices-peer-old.txt"))
SETTLED = Path(__file__).with_name("price_disagreements.toml")
_MEMBER = "litellm/model_prices_and_context_window_backup.json"
_PREFIX = {"google": ("gemini/", ""), "openai": ("",), "anthropic": ("",)}
_LONG = 200_000

Table = Mapping[str, Mapping[str, Any]]


class Compared(Struct, frozen=True, kw_only=True):
    """One recording's cost in micro-dollars: by the product, by `genai-prices`, and by the table of `litellm`; None: no price there."""

    recording: str
    provider: str
    model: str
    ours: int | None
    genai: int | None
    litellm: int | None

    @property
    def name(self) -> str:
        """The model as the list of disagreements names it."""
        return f"{self.provider}/{self.model}"

    @property
    def agrees(self) -> bool:
        """Whether all three say the same, and say something."""
        return self.ours is not None and self.ours == self.genai == self.litellm


def fetch() -> None:
    """Brings the wheels that are not here."""
    PLACE.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    for pinned in PINNED:
        if _wheel(pinned) is None:
            subprocess.run([*command, "--dest", str(PLACE), "--requirement", str(pinned)], check=True)


def _wheel(pinned: Path) -> Path | None:
    version = pinned.read_text().partition("==")[2].split()[0]
    return next(iter(sorted(PLACE.glob(f"litellm-{version}-*.whl"))), None)


def find_table() -> Table | None:
    """The table of the wheels that are here, the newest word on each model; None when one is missing."""
    wheels = [_wheel(pinned) for pinned in PINNED]
    found: dict[str, Mapping[str, Any]] = {}
    for wheel in reversed(wheels):
        if wheel is None:
            return None
        with zipfile.ZipFile(wheel) as opened:
            found |= json.loads(opened.read(_MEMBER), parse_float=Decimal)
    return found


def settled() -> Mapping[str, Mapping[str, Any]]:
    """The disagreements that were looked at, by model."""
    return tomllib.loads(SETTLED.read_text(), parse_float=Decimal)


def compare(table: Table) -> list[Compared]:
    """Every recording of a provider's own API whose answer tells what it used."""
    prices = Prices()
    return [found for recording in load_all() if (found := _compared(recording, table, prices)) is not None]


def meters_of(recording: Recording) -> Usage | None:
    """What the recorded answer says it used, by the tests' own reading; None when it says nothing."""
    if not recording.is_success or not most_checks(recording)[0].endswith("answer"):
        return None
    body = recording.response.body
    counts = expect(recording).tokens
    if counts is None:
        told = body.get("usage") or {} if isinstance(body, dict) else {}
        seconds = (
            told.get("seconds")
            if "seconds" in told
            else body.get("duration")
            if isinstance(body, dict)
            else None
        )
        return None if seconds is None else Usage(audio_ms=round(float(seconds) * 1000), source="provider")
    apart = {
        name: counts.get(name, 0) for name in ("cached_prompt", "cache_write", "audio_prompt", "reasoning")
    }
    return Usage(
        input=counts["prompt"] - apart["cached_prompt"] - apart["cache_write"] - apart["audio_prompt"],
        cached_read=apart["cached_prompt"],
        cache_write=apart["cache_write"],
        audio_input=apart["audio_prompt"],
        output=counts["completion"] - apart["reasoning"],
        reasoning=apart["reasoning"],
        source="provider",
    )


def _compared(recording: Recording, table: Table, prices: Prices) -> Compared | None:
    usage = meters_of(recording)
    if usage is None or recording.row.name not in _PREFIX:
        return None
    provider, model = recording.row.name, recording.model
    ours = prices.price(provider, model, usage)
    return Compared(
        recording=recording.name,
        provider=provider,
        model=model,
        ours=None if ours is None else ours.microusd,
        genai=_by_genai(provider, model, usage),
        litellm=_by_litellm(provider, model, usage, table),
    )


def _by_genai(provider: str, model: str, usage: Usage) -> int | None:
    asked = PeerUsage(
        input_tokens=usage.input + usage.cached_read + usage.cache_write + usage.audio_input,
        cache_read_tokens=usage.cached_read,
        cache_write_tokens=usage.cache_write,
        input_audio_tokens=usage.audio_input,
        output_tokens=usage.output + usage.reasoning,
    )
    try:
        found = calc_price(asked, model, provider_id=provider)
    except LookupError:
        return None
    if usage.audio_ms:
        hourly = getattr(found.model_price, "audio_hours", None) or getattr(
            found.model_price, "input_audio_hours", None
        )
        return None if hourly is None else _micro(Decimal(hourly) * usage.audio_ms / 3_600_000)
    return _micro(found.total_price)


def _by_litellm(provider: str, model: str, usage: Usage, table: Table) -> int | None:
    row = next((table[prefix + model] for prefix in _PREFIX[provider] if prefix + model in table), None)
    if row is None:
        return None
    if usage.audio_ms:
        rate = row.get("input_cost_per_second") or row.get("output_cost_per_second")
        return None if rate is None else _micro(Decimal(rate) * usage.audio_ms / 1000)
    size = usage.input + usage.cached_read + usage.cache_write + usage.audio_input

    def rate_of(name: str, otherwise: str = "") -> Decimal:
        long = f"{name}_above_200k_tokens"
        found = row.get(long) if size > _LONG and long in row else row.get(name)
        return Decimal(found) if found is not None else rate_of(otherwise) if otherwise else Decimal(0)

    plain, said = "input_cost_per_token", "output_cost_per_token"
    parts = (
        (usage.input, rate_of(plain)),
        (usage.cached_read, rate_of("cache_read_input_token_cost", plain)),
        (usage.cache_write, rate_of("cache_creation_input_token_cost", plain)),
        (usage.audio_input, rate_of("input_cost_per_audio_token", plain)),
        (usage.output, rate_of(said)),
        (usage.reasoning, rate_of("output_cost_per_reasoning_token", said)),
    )
    return _micro(sum((count * rate for count, rate in parts), Decimal()))


def _micro(dollars: Decimal) -> int:
    return int((dollars * 1_000_000).to_integral_value(ROUND_HALF_UP))


def main() -> None:
    """Prints every comparison; status 1 when a disagreement was not looked at."""
    if "--fetch" in sys.argv:
        fetch()
    table = find_table()
    if table is None:
        raise SystemExit("the other price table is not here: say --fetch")
    rows, known = compare(table), settled()
    say = sys.stdout.write
    say(f"  {'MODEL':40} {'OURS':>7} {'GENAI':>7} {'LITELLM':>7}  RECORDING (micro-dollars)\n")
    for row in rows:
        mark = " " if row.agrees else "s" if row.name in known else "!"
        cells = " ".join(f"{'-' if each is None else each:>7}" for each in (row.ours, row.genai, row.litellm))
        say(f"{mark} {row.name:40} {cells}  {row.recording}\n")
    apart = [row for row in rows if not row.agrees]
    say(f"{len(rows)} recordings with usage, {len(rows) - len(apart)} agree, {len(apart)} do not\n")
    for name in sorted({row.name for row in apart}):
        say(f"  {name}: {known[name]['because'] if name in known else 'NOT LOOKED AT'}\n")
    if any(row.name not in known for row in apart):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
