"""`reasoning_effort` as Gemini's thinking configuration. Source: Gemini API guide, thinking."""

from collections.abc import Sequence
from typing import Any

from inferway.providers.base import Facts
from inferway.types import Adaptation

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""What callers say, from least to most."""

_BUDGETS = {
    "none": 0,
    "minimal": 512,
    "low": 1024,
    "medium": 8192,
    "high": 24576,
    "xhigh": 32768,
    "max": 32768,
}
_LEVELS = ("minimal", "low", "medium", "high", "xhigh")
_FIELD = "parameters.reasoning_effort"


def make_thinking(effort: str, facts: Facts) -> tuple[dict[str, Any] | None, Adaptation]:
    """The `thinkingConfig` for an effort, None when there is none, and what was made of the effort.

    Families up to 2.5 count tokens (`thinkingBudget`), later ones know levels (`thinkingLevel`); an unknown one is taken for a
    later one.
    """
    word = effort.lower()
    if word not in EFFORTS:
        return None, Adaptation(field=_FIELD, action="dropped", reason=f"google knows {', '.join(EFFORTS)}")
    if facts.get("thinking") == "budget":
        return _budget(word, facts.get("thinking_budget", (0, 24576)))
    return _level(word, facts.get("thinking_levels", _LEVELS))


def _budget(word: str, bounds: Sequence[int]) -> tuple[dict[str, Any], Adaptation]:
    asked = _BUDGETS[word]
    budget = min(max(asked, bounds[0]), bounds[1])
    config = {"thinkingBudget": budget}
    if word == "none" and budget:
        return config, _clamped(
            f"this model always thinks: its smallest budget of {budget} tokens was asked for"
        )
    return config, _translated(f"sent as a thinking budget of {budget} tokens")


def _level(word: str, levels: Sequence[str]) -> tuple[dict[str, Any], Adaptation]:
    if word in levels:
        return {"thinkingLevel": word}, _translated(f"sent as thinking level {word}")
    rank = EFFORTS.index(word)
    below = [level for level in levels if EFFORTS.index(level) < rank]
    nearest = below[-1] if below else levels[0]
    return {"thinkingLevel": nearest}, _clamped(f"this model has no level {word}: {nearest} was asked for")


def _clamped(reason: str) -> Adaptation:
    return Adaptation(field=_FIELD, action="clamped", reason=reason)


def _translated(reason: str) -> Adaptation:
    return Adaptation(field=_FIELD, action="translated", reason=reason)
