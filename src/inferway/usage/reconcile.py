"""Compares the ledger with somebody else's count of the same calls, by day and model."""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from io import StringIO
from types import NoneType
from typing import Any, Literal

from msgspec import Struct

from inferway.errors import OperatorError

CostUnit = Literal["usd", "cents", "microusd"]
FIELDS = ("date", "model", "input", "output", "tokens", "cost", "calls")
GUESSES: Mapping[str, tuple[str, ...]] = {
    "date": ("date", "day", "usage_date_utc", "usage_date", "timestamp", "start_time", "created_at"),
    "model": ("model", "model_version", "model_name", "snapshot_id"),
    "input": ("input_tokens", "prompt_tokens", "n_context_tokens_total"),
    "output": ("output_tokens", "completion_tokens", "n_generated_tokens_total"),
    "tokens": ("tokens", "total_tokens"),
    "cost": ("cost", "cost_usd", "amount", "spend", "amount.value"),
    "calls": ("calls", "requests", "num_model_requests", "n_requests"),
}
_MICRO_OF: Mapping[str, int] = {"usd": 1_000_000, "cents": 10_000, "microusd": 1}
_LISTS = ("data", "results", "rows", "usage")
_DATED = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{8})$")
_MILLISECONDS = 10**11


class Count(Struct, kw_only=True):
    """What one side counted for a day and model; None where it does not say."""

    calls: int | None = None
    tokens: int | None = None
    microusd: int | None = None

    def add(self, other: "Count") -> None:
        """Adds another count; what only one of them says stays."""
        for name in self.__struct_fields__:
            mine, more = getattr(self, name), getattr(other, name)
            if more is not None:
                setattr(self, name, (mine or 0) + more)


Key = tuple[date, str]


class Difference(Struct, frozen=True, kw_only=True):
    """A day and a model as both sides count it."""

    day: date
    model: str
    ours: Count
    theirs: Count

    def differs(self, tolerance: float) -> bool:
        """Whether something that both sides say is further apart than a share (0.01 is a hundredth), or only one side knows the model."""
        if self.ours == Count() or self.theirs == Count():
            return True
        pairs = ((getattr(self.ours, name), getattr(self.theirs, name)) for name in Count.__struct_fields__)
        return any(
            one is not None and other is not None and abs(one - other) > tolerance * max(one, other)
            for one, other in pairs
        )


def read_rows(text: str) -> Iterator[dict[str, Any]]:
    """The objects of a CSV file, a JSON list (or an object that holds one under a usual name), or JSON lines. Raises `OperatorError`."""
    start = text.lstrip("\ufeff \t\r\n")
    try:
        if start.startswith("["):
            yield from json.loads(start)
        elif start.startswith("{"):
            yield from _objects(start)
        else:
            yield from csv.DictReader(StringIO(start))
    except (ValueError, csv.Error) as error:
        raise OperatorError(f"the export cannot be read: {error}") from None


def _objects(text: str) -> Iterable[dict[str, Any]]:
    try:
        whole = json.loads(text)
    except ValueError:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    for name in _LISTS:
        if isinstance(whole.get(name), list):
            found: list[dict[str, Any]] = whole[name]
            return found
    return [whole]


def count_rows(
    rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str], unit: CostUnit = "usd"
) -> dict[Key, Count]:
    """An export's counts by day and model. `columns` names its columns by our fields; others are guessed. Raises `OperatorError`."""
    found: dict[Key, Count] = {}
    chosen: dict[str, str] | None = None
    for number, row in enumerate(rows, 1):
        if chosen is None:
            chosen = _columns(row, columns)
        try:
            key = (_day(_at(row, chosen["date"])), str(_at(row, chosen["model"])).strip())
            found.setdefault(key, Count()).add(_count(row, chosen, unit))
        except (ValueError, OverflowError) as error:
            raise OperatorError(f"row {number} of the export cannot be read: {error}") from None
    return found


def _columns(row: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, str]:
    guessed = {
        field: name
        for field, names in GUESSES.items()
        for name in reversed(names)
        if not isinstance(_at(row, name), Mapping | NoneType)
    }
    chosen = guessed | dict(given)
    missing = [field for field in ("date", "model") if field not in chosen]
    if missing:
        raise OperatorError(
            f"the export's columns for {' and '.join(missing)} are not known: say --column {missing[0]}=NAME. "
            f"It has {', '.join(map(str, row))}."
        )
    return chosen


def _at(row: Mapping[str, Any], path: str) -> Any:
    """A column, or a value inside of an object by a dotted path."""
    if path in row:
        return row[path]
    value: Any = row
    for step in path.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def _count(row: Mapping[str, Any], columns: Mapping[str, str], unit: CostUnit) -> Count:
    def number(field: str) -> Decimal | None:
        value = _at(row, columns[field]) if field in columns else None
        text = "" if value is None else str(value).replace(",", "").replace("$", "").strip()
        try:
            return Decimal(text) if text else None
        except InvalidOperation:
            raise ValueError(f"{text[:40]!r} is no number") from None

    parts = [part for part in (number("input"), number("output")) if part is not None]
    tokens = number("tokens") if not parts else sum(parts, Decimal())
    cost, calls = number("cost"), number("calls")
    return Count(
        calls=None if calls is None else int(calls),
        tokens=None if tokens is None else int(tokens),
        microusd=None if cost is None else int((cost * _MICRO_OF[unit]).to_integral_value()),
    )


def _day(value: Any) -> date:
    """A day from a date, a moment (in its own zone, else UTC) or a Unix time in seconds or milliseconds."""
    text = str(value).strip()
    if re.fullmatch(r"\d{9,16}(\.\d+)?", text):
        seconds = float(text)
        return datetime.fromtimestamp(seconds / 1000 if seconds > _MILLISECONDS else seconds, UTC).date()
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo is None else moment.astimezone(UTC)).date()


def compare(ours: Mapping[Key, Count], theirs: Mapping[Key, Count]) -> list[Difference]:
    """Every day and model of either side, in order. A dated model of theirs is ours without the date, where only that is known here."""
    named = {model for _, model in ours}
    gathered: dict[Key, Count] = {}
    for (day, model), count in theirs.items():
        name = model if model in named or (plain := _DATED.sub("", model)) not in named else plain
        gathered.setdefault((day, name), Count()).add(count)
    return [
        Difference(day=key[0], model=key[1], ours=ours.get(key, Count()), theirs=gathered.get(key, Count()))
        for key in sorted({*ours, *gathered})
    ]
