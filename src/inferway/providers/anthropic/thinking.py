"""The common `reasoning_effort` as the messages API's thinking and effort settings, by what the model takes."""

from typing import Any

from msgspec import Struct

from inferway.providers.base import Facts
from inferway.types import Adaptation

MIN_BUDGET = 1024
"""The least `budget_tokens` that the API takes."""

BUDGETS = {
    "minimal": MIN_BUDGET,
    "low": 2_048,
    "medium": 8_192,
    "high": 16_384,
    "xhigh": 32_000,
    "max": 32_000,
}
"""Thinking tokens for each effort, for models whose thinking takes a budget."""

EFFORTS = ("low", "medium", "high", "xhigh", "max")
"""The levels of `output_config.effort`, ascending; a model's facts may name fewer."""

FIELD = "parameters.reasoning_effort"


class Thinking(Struct, frozen=True, kw_only=True):
    """What goes into the body: a `thinking` object, an `output_config.effort`, and what to tell the caller about it."""

    config: dict[str, Any] | None = None
    effort: str | None = None
    adaptations: tuple[Adaptation, ...] = ()

    @property
    def budget(self) -> int:
        """The thinking tokens asked for; 0 when none are."""
        tokens: int = self.config.get("budget_tokens", 0) if self.config else 0
        return tokens


def to_thinking(effort: str, facts: Facts, max_tokens: int | None, hindrance: str | None) -> Thinking:
    """The settings for an effort.

    `max_tokens` is the caller's, in which thinking has to fit; `hindrance` says why thinking with a budget is impossible in this call.
    Source: Anthropic SDK types ThinkingConfigParam and OutputConfigParam.
    """
    if effort == "none":
        return _off(facts)
    if facts.get("thinking") == "budget":
        return _with_budget(effort, facts, max_tokens, hindrance)
    level, action, reason = _find_level(effort, facts)
    return Thinking(config={"type": "adaptive"}, effort=level, adaptations=(_told(action, reason),))


def _off(facts: Facts) -> Thinking:
    switch = facts.get("thinking_off", "disabled")
    if not switch:
        return Thinking(adaptations=(_told("dropped", "this model always thinks before it answers"),))
    return Thinking(config={"type": switch}, adaptations=(_told("translated", f"sent as thinking {switch}"),))


def _with_budget(effort: str, facts: Facts, max_tokens: int | None, hindrance: str | None) -> Thinking:
    wanted = BUDGETS.get(effort)
    if wanted is None:
        return _nothing(f"unknown to this model; the levels are none, {', '.join(BUDGETS)}")
    if hindrance is not None:
        return _nothing(hindrance)
    if max_tokens is not None and max_tokens <= MIN_BUDGET:
        return _nothing(f"thinking takes at least {MIN_BUDGET} tokens, which max_tokens leaves no room for")
    room = wanted if max_tokens is None else max(MIN_BUDGET, max_tokens // 2)
    budget = min(wanted, room)
    if budget < wanted:
        told = _told("clamped", f"sent as {budget} thinking tokens, half of max_tokens, instead of {wanted}")
    else:
        told = _told("translated", f"sent as {budget} thinking tokens")
    level = _find_level(effort, facts)[0] if facts.get("efforts") else None
    return Thinking(config={"type": "enabled", "budget_tokens": budget}, effort=level, adaptations=(told,))


def _nothing(reason: str) -> Thinking:
    return Thinking(adaptations=(_told("dropped", reason),))


def _find_level(effort: str, facts: Facts) -> tuple[str, Any, str]:
    """The model's level for an effort: its own, else the next lower one, so that it never spends more than was asked for."""
    levels = facts.get("efforts", EFFORTS)
    if effort == "minimal":
        return levels[0], "translated", f"sent as effort {levels[0]}, the lowest there is"
    if effort in levels or effort not in EFFORTS:
        return effort, "translated", f"sent as adaptive thinking with effort {effort}"
    lower = [level for level in levels if EFFORTS.index(level) < EFFORTS.index(effort)]
    return (
        lower[-1],
        "clamped",
        f"sent as effort {lower[-1]}, the highest that this model takes up to {effort}",
    )


def _told(action: Any, reason: str) -> Adaptation:
    return Adaptation(field=FIELD, action=action, reason=reason)
