"""Where the shapes of a chart go: numbers that the templates draw. Across in percent of the width, so that text keeps its size."""

import math
from collections.abc import Callable, Sequence

from msgspec import Struct

TOP, PLOT, BOTTOM = 10, 190, 26
HEIGHT = TOP + PLOT + BOTTOM
"""Pixels: above the plot, of the plot, and of the words below it."""

SERIES_MAX = 6
"""So many series have a colour of their own; the others are added up and share the last one."""

_WIDEST = 7.0
_MARKS_MAX = 8
_EDGE = 5.0

Write = Callable[[float | None], str]
"""Says a value to a reader."""


class Series(Struct, frozen=True, kw_only=True):
    """What is drawn in one colour: a value for each place, None where there is none. `hint` tells more of the name."""

    name: str
    values: tuple[float | None, ...]
    hint: str = ""

    @property
    def total(self) -> float:
        """All values together."""
        return sum(value or 0 for value in self.values)


class Tick(Struct, frozen=True, kw_only=True):
    """A line across: pixels from the top, and what it stands for."""

    y: float
    text: str


class Mark(Struct, frozen=True, kw_only=True):
    """A word below the plot, in percent; every second one is `is_minor` and left out where it is narrow."""

    x: float
    text: str
    anchor: str
    is_minor: bool


class Box(Struct, frozen=True, kw_only=True):
    """A part of a column: across in percent, down in pixels. `color` is 1 to 7."""

    color: int
    x: float
    width: float
    y: float
    height: float


class Spot(Struct, frozen=True, kw_only=True):
    """A place across the whole height, in percent, and what a pointer on it says."""

    x: float
    width: float
    text: str


class Path(Struct, frozen=True, kw_only=True):
    """Stretches of a line, each as the points of a polyline in a box of 1000 to the plot's height."""

    color: int
    stretches: tuple[str, ...]
    dots: tuple[tuple[float, float], ...]


class Entry(Struct, frozen=True, kw_only=True):
    """A line of the legend."""

    color: int
    name: str
    hint: str
    total: str


class Chart(Struct, frozen=True, kw_only=True):
    """All that is drawn, and the same figures as rows of text for its table: a place's name, then a value for each series."""

    ticks: tuple[Tick, ...]
    marks: tuple[Mark, ...]
    spots: tuple[Spot, ...]
    legend: tuple[Entry, ...]
    rows: tuple[tuple[str, ...], ...]
    boxes: tuple[Box, ...] = ()
    paths: tuple[Path, ...] = ()

    @property
    def height(self) -> int:
        """Pixels in all."""
        return HEIGHT


class Place(Struct, frozen=True, kw_only=True):
    """Where values stand: `text` below the plot, `name` in tables and for a pointer."""

    text: str
    name: str


def steps(most: float, *, count: int = 4, whole: bool = False) -> tuple[float, ...]:
    """Round values from 0 to `most` or a little more, about so many apart; `whole` keeps them whole numbers."""
    if not most > 0 or not math.isfinite(most):
        return (0.0, 1.0)
    rough = most / count
    size: float = 10.0 ** math.floor(math.log10(rough))
    factors = (1, 2, 5, 10) if whole else (1, 2, 2.5, 5, 10)
    step = next(factor * size for factor in factors if factor * size >= rough * (1 - 1e-9))
    step = max(1.0, step) if whole else step
    lines = max(1, math.ceil(most / step - 1e-9))
    return tuple(step * number for number in range(lines + 1))


def top_series(series: Sequence[Series]) -> tuple[Series, ...]:
    """The largest ones, and the sum of the others under one name."""
    ordered = sorted(series, key=lambda each: -each.total)
    kept, others = ordered[:SERIES_MAX], ordered[SERIES_MAX:]
    if len(others) == 1:
        return (*kept, *others)
    if not others:
        return tuple(kept)
    added = tuple(
        sum(value or 0 for value in values) for values in zip(*(each.values for each in others), strict=True)
    )
    return (*kept, Series(name=f"{len(others)} others", values=added))


def columns(
    places: Sequence[Place], series: Sequence[Series], write: Write, axis: Write, *, whole: bool = False
) -> Chart:
    """Columns of stacked parts; the largest series stands at the bottom."""
    drawn = top_series([each for each in series if each.total > 0])
    sums = [sum(each.values[number] or 0 for each in drawn) for number in range(len(places))]
    scale = steps(max(sums, default=0), whole=whole)
    slot = 100 / max(1, len(places))
    width = min(slot * 0.8, _WIDEST)
    boxes = []
    for number in range(len(places)):
        base = 0.0
        for color, each in enumerate(drawn, 1):
            value = each.values[number] or 0
            if value > 0:
                x = slot * (number + 0.5) - width / 2
                boxes.append(_box(color, (x, width), base, base + value, scale[-1]))
                base += value
    said = [_told(place, drawn, number, write, sums[number]) for number, place in enumerate(places)]
    return Chart(
        ticks=_ticks(scale, axis),
        marks=_marks(places),
        spots=_spots(said),
        legend=_legend(drawn, [write(each.total) for each in drawn]),
        rows=_rows(places, drawn, write),
        boxes=tuple(boxes),
    )


def lines(places: Sequence[Place], series: Sequence[Series], write: Write, axis: Write) -> Chart:
    """A line for each series; it is broken where there is no value."""
    scale = steps(max((value for each in series for value in each.values if value), default=0))
    said = [_told(place, series, number, write, None) for number, place in enumerate(places)]
    return Chart(
        ticks=_ticks(scale, axis),
        marks=_marks(places),
        spots=_spots(said),
        legend=_legend(series, [""] * len(series)),
        rows=_rows(places, series, write),
        paths=tuple(_path(color, each.values, scale[-1]) for color, each in enumerate(series, 1)),
    )


def _box(color: int, across: tuple[float, float], low: float, high: float, most: float) -> Box:
    top, bottom = _y(high, most), _y(low, most)
    return Box(
        color=color,
        x=round(across[0], 2),
        width=round(across[1], 2),
        y=round(top, 1),
        height=round(max(1.0, bottom - top), 1),
    )


def _path(color: int, values: Sequence[float | None], most: float) -> Path:
    slot = 1000 / max(1, len(values))
    stretches: list[list[tuple[float, float]]] = [[]]
    for number, value in enumerate(values):
        if value is None:
            stretches.append([])
        else:
            stretches[-1].append((round(slot * (number + 0.5), 1), round(_y(value, most) - TOP, 1)))
    return Path(
        color=color,
        stretches=tuple(" ".join(f"{x:g},{y:g}" for x, y in each) for each in stretches if len(each) > 1),
        dots=tuple(
            (round(x / 10, 2), round(y + TOP, 1)) for each in stretches if len(each) == 1 for x, y in each
        ),
    )


def _ticks(scale: Sequence[float], axis: Write) -> tuple[Tick, ...]:
    return tuple(Tick(y=round(_y(value, scale[-1]), 1), text=axis(value)) for value in scale)


def _marks(places: Sequence[Place]) -> tuple[Mark, ...]:
    slot = 100 / max(1, len(places))
    every = max(1, math.ceil(len(places) / _MARKS_MAX))
    found = []
    for order, number in enumerate(range(0, len(places), every)):
        x = slot * (number + 0.5)
        anchor = "start" if x < _EDGE else "end" if x > 100 - _EDGE else "middle"
        at = slot * number if anchor == "start" else 100.0 if anchor == "end" else x
        found.append(Mark(x=round(at, 2), text=places[number].text, anchor=anchor, is_minor=order % 2 == 1))
    return tuple(found)


def _told(place: Place, series: Sequence[Series], number: int, write: Write, total: float | None) -> str:
    said = [f"{each.name}: {write(each.values[number])}" for each in series if each.values[number]]
    head = place.name if total is None else f"{place.name}: {write(total)}"
    return "\n".join([head, *(said if len(series) > 1 or total is None else ())])


def _spots(said: Sequence[str]) -> tuple[Spot, ...]:
    slot = 100 / max(1, len(said))
    return tuple(
        Spot(x=round(slot * number, 2), width=round(slot, 2), text=text) for number, text in enumerate(said)
    )


def _legend(series: Sequence[Series], totals: Sequence[str]) -> tuple[Entry, ...]:
    return tuple(
        Entry(color=color, name=each.name, hint=each.hint, total=total)
        for color, (each, total) in enumerate(zip(series, totals, strict=True), 1)
    )


def _rows(places: Sequence[Place], series: Sequence[Series], write: Write) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (place.name, *(write(each.values[number]) for each in series))
        for number, place in enumerate(places)
        if any(each.values[number] for each in series)
    )


def _y(value: float, most: float) -> float:
    return TOP + PLOT * (1 - min(value / most, 1.0))
