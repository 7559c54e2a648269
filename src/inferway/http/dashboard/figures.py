"""What the API tells of usage, made ready to be drawn, listed and exported."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from inferway.http.dashboard.charts import Place, Series
from inferway.http.dashboard.period import Period

GROUPS = {
    "model": ("provider", "model"),
    "key": ("key",),
    "namespace": ("namespace",),
    "provider": ("provider",),
    "operation": ("operation",),
}
"""By what usage can be shown, and the dimensions of the API that this takes."""

MEASURES: Mapping[str, str] = {"cost": "Cost", "calls": "Calls", "tokens": "Tokens", "errors": "Errors"}
"""What columns can show, and how it is called."""

_FIELDS = {"key": "key_id", "namespace": "namespace_id"}
_NAMES = {"key": "key_name", "namespace": "namespace_name"}
_ANSWERED = ("ok", "partial")


class Figures(Struct, frozen=True, kw_only=True):
    """What some calls come to: counts, US dollars, milliseconds (None where there is none), `error_share` from 0 to 1."""

    calls: int
    errors: int
    error_share: float | None
    prompt: int
    completion: int
    cost_usd: float
    unpriced: int
    retries: int
    streamed: int
    cached: int
    p50: float | None
    p95: float | None
    p99: float | None

    @property
    def tokens(self) -> int:
        """In and out."""
        return self.prompt + self.completion


class Row(Struct, frozen=True, kw_only=True):
    """A group: its name, its id where that is another, what picks it, and what it comes to."""

    name: str
    hint: str
    picks: dict[str, str]
    figures: Figures


def figures_of(told: Mapping[str, Any]) -> Figures:
    """The figures of a total or a group of the API."""
    statuses, latency = told["statuses"], told["latency_ms"]
    ended = told["errors"] + sum(statuses.get(name, 0) for name in _ANSWERED)
    return Figures(
        calls=told["calls"],
        errors=told["errors"],
        error_share=told["errors"] / ended if ended else None,
        prompt=told["tokens"]["prompt"],
        completion=told["tokens"]["completion"],
        cost_usd=told["cost_usd"],
        unpriced=told["unpriced_calls"],
        retries=told["retries"],
        streamed=told["streamed"],
        cached=told["cached"],
        p50=latency.get("p50"),
        p95=latency.get("p95"),
        p99=latency.get("p99"),
    )


def rows_of(groups: Iterable[Mapping[str, Any]], by: str) -> list[Row]:
    """The groups as rows, the dearest first, then those with most calls."""
    rows = [
        Row(name=name, hint=hint, picks=picks_of(group, by), figures=figures_of(group))
        for group in groups
        for name, hint in [name_of(group, by)]
    ]
    return sorted(rows, key=lambda row: (-row.figures.cost_usd, -row.figures.calls, row.name))


def picks_of(group: Mapping[str, Any], by: str) -> dict[str, str]:
    """The filters that pick a group."""
    return {each: str(group[_FIELDS.get(each, each)]) for each in GROUPS[by]}


def name_of(group: Mapping[str, Any], by: str) -> tuple[str, str]:
    """How a group is called, and its id where that is another."""
    if by == "model":
        return f"{group['provider']}/{group['model']}", ""
    told = str(group[_FIELDS.get(by, by)])
    name = group.get(_NAMES.get(by, ""))
    return (str(name), told) if name else (told, "")


def measure_of(name: str) -> Callable[[Mapping[str, Any]], float]:
    """What a column's height is taken from."""
    return {
        "cost": lambda group: float(group["cost_usd"]),
        "calls": lambda group: float(group["calls"]),
        "tokens": lambda group: float(group["tokens"]["total"]),
        "errors": lambda group: float(group["errors"]),
    }[name]


def places_of(period: Period) -> tuple[Place, ...]:
    """The days or hours of a period."""
    if period.unit == "hour":
        several = period.first_day != period.last_day and period.name == "custom"
        return tuple(
            Place(text=f"{at:%-d. %H:00}" if several else f"{at:%H:00}", name=f"{at:%Y-%m-%d %H:00}")
            for at in period.moments()
        )
    return tuple(Place(text=f"{at:%b} {at.day}", name=f"{at:%Y-%m-%d}") for at in period.moments())


def spread(
    groups: Iterable[Mapping[str, Any]],
    by: str,
    period: Period,
    measure: Callable[[Mapping[str, Any]], float],
) -> list[Series]:
    """A series for each group; groups are told by `period.unit` and `by`. Days and hours without calls are 0."""
    order = {at: number for number, at in enumerate(period.moments())}
    values: dict[tuple[str, str], list[float]] = {}
    for group in groups:
        at = order.get(datetime.fromisoformat(group[period.unit]))
        if at is not None:
            values.setdefault(name_of(group, by), [0.0] * len(order))[at] += measure(group)
    return [Series(name=name, hint=hint, values=tuple(told)) for (name, hint), told in values.items()]


def percentiles(groups: Sequence[Mapping[str, Any]], period: Period) -> list[Series]:
    """p50, p95 and p99 by day or hour; nothing where the API tells none."""
    if not any("p50" in group["latency_ms"] for group in groups):
        return []
    told = {datetime.fromisoformat(group[period.unit]): group["latency_ms"] for group in groups}
    return [
        Series(name=name, values=tuple(told.get(at, {}).get(name) for at in period.moments()))
        for name in ("p50", "p95", "p99")
    ]
