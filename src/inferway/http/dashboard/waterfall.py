"""Where the time of one call went, as bars beneath each other."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

_SHORT_MS = 0.05
_NO_FAILURE = ("cancelled", "hedge_lost")
_THINNEST = 0.4


class Lane(Struct, frozen=True, kw_only=True):
    """A bar: `kind` is its colour (`whole`, `wait`, `good`, `bad`, `soft`, or `mark` for a moment), places are percent of the whole."""

    name: str
    kind: str
    x: float
    width: float
    started_ms: float
    duration_ms: float
    note: str = ""


def lanes_of(call: Mapping[str, Any]) -> tuple[Lane, ...]:
    """The bars of a call as the API tells it: the whole, what came before the first attempt, every attempt, what came last."""
    attempts = call["attempts"]
    latency = call["latency_ms"]
    ends = [each["started_ms"] + each["duration_ms"] for each in attempts]
    whole = max([latency, *ends]) or 1.0
    found = [_lane("Whole call", "whole", (0.0, latency), whole)]
    if attempts:
        first = min(each["started_ms"] for each in attempts)
        if first > _SHORT_MS:
            found.append(_lane("Before the first attempt", "wait", (0.0, first), whole))
    for number, each in enumerate(attempts, 1):
        span = (each["started_ms"], each["duration_ms"])
        name = f"Attempt {number}: {each['provider']}/{each['model']}"
        found.append(_lane(name, _kind(each["outcome"]), span, whole, each["outcome"]))
    if call["first_event_ms"] is not None:
        found.append(_lane("First event of the stream", "mark", (call["first_event_ms"], 0.0), whole))
    if attempts and latency - max(ends) > _SHORT_MS:
        found.append(_lane("Behind the last attempt", "wait", (max(ends), latency - max(ends)), whole))
    return tuple(found)


def _kind(outcome: str) -> str:
    if outcome == "ok":
        return "good"
    return "soft" if outcome in _NO_FAILURE else "bad"


def _lane(name: str, kind: str, span: tuple[float, float], whole: float, note: str = "") -> Lane:
    started, duration = max(0.0, span[0]), max(0.0, span[1])
    width = min(100.0, max(_THINNEST, duration / whole * 100))
    return Lane(
        name=name,
        kind=kind,
        x=round(min(started / whole * 100, 100.0 - (0 if kind == "mark" else width)), 2),
        width=round(width, 2),
        started_ms=started,
        duration_ms=duration,
        note=note,
    )
