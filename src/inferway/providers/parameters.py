"""The common parameters: which operation reads which, and how a provider's table carries them to its wire."""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from inferway.errors import BadRequest
from inferway.providers.base import Facts
from inferway.types import Adaptation, Operation, Parameters

CHAT_PARAMETERS = (
    "temperature",
    "max_tokens",
    "top_p",
    "stop",
    "seed",
    "schema",
    "tools",
    "tool_choice",
    "reasoning_effort",
)
EMBEDDING_PARAMETERS = ("dimensions", "task_type")
TRANSCRIPTION_PARAMETERS = ("temperature", "language", "prompt", "response_format")

PARAMETERS_OF: Mapping[Operation, tuple[str, ...]] = {
    Operation.CHAT: CHAT_PARAMETERS,
    Operation.VISION: CHAT_PARAMETERS,
    Operation.TEXT_EMBEDDING: EMBEDDING_PARAMETERS,
    Operation.IMAGE_EMBEDDING: EMBEDDING_PARAMETERS,
    Operation.VIDEO_EMBEDDING: EMBEDDING_PARAMETERS,
    Operation.TRANSCRIPTION: TRANSCRIPTION_PARAMETERS,
}

CARRIED = (
    *CHAT_PARAMETERS,
    *EMBEDDING_PARAMETERS,
    *(name for name in TRANSCRIPTION_PARAMETERS if name not in CHAT_PARAMETERS),
)
"""Every common parameter that has to reach a provider (the others, such as `timeout_s`, are ours)."""


class Rule(Struct, frozen=True, kw_only=True):
    """How one common parameter reaches one provider's wire.

    `path` is where the value goes in the body; an empty path means that the translator places it itself.
    A model whose facts say False under the parameter's name does not take it: it is dropped and told.
    `minimum` and `maximum` clamp a number and tell it; a fact `<name>_max` lowers the maximum for one model.
    `at_most` cuts a list and tells it. `convert` maps the value to the wire's. `note` is for the feature table.
    """

    path: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    at_most: int | None = None
    convert: Callable[[Any], Any] | None = None
    note: str = ""


Rules = Mapping[str, Rule]


class Carried(Struct, frozen=True, kw_only=True):
    """What a table made of the parameters: body fields, the values a translator still has to place, and what was changed."""

    body: dict[str, Any]
    left: Mapping[str, Any]
    adaptations: tuple[Adaptation, ...]


def carry(parameters: Parameters, rules: Rules, facts: Facts, subject: str) -> Carried:
    """Carry the given parameters over by a provider's table.

    `subject` names the target in reasons, e.g. "openai embeddings". `left` holds the values of rules without a path that the model
    takes, by common name. Unknown parameter names are dropped and told. A chat's `system` is in its messages by now; one that is still
    here belongs to a call that has no place for it.
    """
    body: dict[str, Any] = {}
    left: dict[str, Any] = {}
    told: list[Adaptation] = []
    for name in CARRIED:
        value = getattr(parameters, name)
        if value is None or value == ():
            continue
        rule = rules.get(name)
        if rule is None:
            told.append(_dropped(name, f"{subject} has no such parameter"))
        elif facts.get(name) is False:
            told.append(_dropped(name, "this model does not take it"))
        else:
            value = _fit(name, value, rule, facts, told)
            if rule.path:
                place(body, rule.path, value)
            else:
                left[name] = value
    if parameters.system is not None:
        told.append(_dropped("system", f"{subject} has no such parameter"))
    told.extend(_dropped(name, _UNKNOWN) for name in parameters.unknown)
    return Carried(body=body, left=left, adaptations=tuple(told))


def place(body: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    """Put a value into nested objects, making those that are missing."""
    for key in path[:-1]:
        body = body.setdefault(key, {})
    body[path[-1]] = value


def merge_extra(body: dict[str, Any], extra: Mapping[str, Any] | None, reserved: frozenset[str]) -> None:
    """Merge provider-native fields into the body: objects are merged key by key, everything else replaces.

    Raises `BadRequest` when a field would change what the gateway itself decides (the model, the inputs, streaming).
    """
    if not extra:
        return
    taken = sorted(reserved.intersection(extra))
    if taken:
        raise BadRequest(
            f"parameters.extra may not set {', '.join(taken)}: the gateway decides it from the request",
            code="extra_reserved",
            details={"fields": taken},
        )
    _merge(body, extra)


def merge_chat_extra(body: dict[str, Any], extra: Mapping[str, Any] | None, reserved: frozenset[str]) -> None:
    """As `merge_extra`, but native tools, such as a search, stand beside the caller's `tools` and not in their place."""
    ours = body.get("tools")
    merge_extra(body, extra, reserved)
    if ours and extra and isinstance(extra.get("tools"), list):
        body["tools"] = ours + extra["tools"]


def _merge(body: dict[str, Any], extra: Mapping[str, Any]) -> None:
    for key, value in extra.items():
        mine = body.get(key)
        if isinstance(mine, dict) and isinstance(value, Mapping):
            _merge(mine, value)
        else:
            body[key] = value


_UNKNOWN = "not a common parameter; a provider-native one goes under parameters.extra"


def _dropped(name: str, reason: str) -> Adaptation:
    return Adaptation(field=f"parameters.{name}", action="dropped", reason=reason)


def _fit(name: str, value: Any, rule: Rule, facts: Facts, told: list[Adaptation]) -> Any:
    if isinstance(value, int | float):
        value = _clamp(name, value, rule, facts, told)
    if rule.at_most is not None and len(value) > rule.at_most:
        told.append(_clamped(name, f"at most {rule.at_most} are taken"))
        value = value[: rule.at_most]
    return value if rule.convert is None else rule.convert(value)


def _clamp(name: str, value: float, rule: Rule, facts: Facts, told: list[Adaptation]) -> float:
    ceiling = facts.get(f"{name}_max", rule.maximum)
    if ceiling is not None and value > ceiling:
        told.append(_clamped(name, f"{value:g} is above this model's maximum of {ceiling:g}"))
        return type(value)(ceiling)
    if rule.minimum is not None and value < rule.minimum:
        told.append(_clamped(name, f"{value:g} is below the minimum of {rule.minimum:g}"))
        return type(value)(rule.minimum)
    return value


def _clamped(name: str, reason: str) -> Adaptation:
    return Adaptation(field=f"parameters.{name}", action="clamped", reason=reason)
