"""Whether a JSON Schema that left means the same as the one that was given, under the rules of structured outputs."""

from typing import Any

_LEFT_OUT = frozenset(("default", "examples", "$schema", "$id"))
_LIMITS = frozenset(
    (
        "minLength", "maxLength", "pattern", "format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
        "multipleOf", "minItems", "maxItems", "uniqueItems",
    )
)  # fmt: skip


def means_the_same(given: Any, sent: Any) -> bool:
    """Whether `sent` only narrows `given` in the ways that strict modes demand.

    Objects may be closed, properties that may be null required, `oneOf` written as `anyOf`, a missing type named, annotations left out,
    and limits moved into a description; names, types, alternatives and literals stay.
    """
    if isinstance(given, bool) or isinstance(sent, bool):
        return given is sent
    if not isinstance(given, dict) or not isinstance(sent, dict):
        return bool(given == sent)
    given = {
        ("anyOf" if name == "oneOf" else name): value
        for name, value in given.items()
        if name not in _LEFT_OUT
    }
    sent = {
        ("anyOf" if name == "oneOf" else name): value for name, value in sent.items() if name not in _LEFT_OUT
    }
    return all(_keyword_agrees(name, given, sent) for name in {**given, **sent})


def _keyword_agrees(name: str, given: dict[str, Any], sent: dict[str, Any]) -> bool:
    one, other = given.get(name), sent.get(name)
    if name in given and name in sent and one == other:
        return True
    match name:
        case "properties" | "$defs" | "definitions":
            agrees = _all_agree(one, other)
        case "anyOf":
            agrees = _each_agrees(one, other)
        case "items":
            agrees = means_the_same(one, other)
        case "additionalProperties":
            agrees = one is None and other is False
        case "required":
            agrees = _requires(given, sent)
        case "title" | "description":
            agrees = one is None or (isinstance(other, str) and str(one) in other)
        case _:
            agrees = one is None if name == "type" else name in _LIMITS and other is None
    return agrees


def _all_agree(one: Any, other: Any) -> bool:
    if not isinstance(one, dict) or not isinstance(other, dict) or one.keys() != other.keys():
        return False
    return all(means_the_same(one[name], other[name]) for name in one)


def _each_agrees(one: Any, other: Any) -> bool:
    if not isinstance(one, list) or not isinstance(other, list) or len(one) != len(other):
        return False
    return all(means_the_same(first, second) for first, second in zip(one, other, strict=True))


def _requires(given: dict[str, Any], sent: dict[str, Any]) -> bool:
    """Nothing that was required is optional, and what is newly required may be null."""
    one, other = set(given.get("required", ())), set(sent.get("required", ()))
    properties = sent.get("properties", {})
    return one <= other and all(_may_be_null(properties[name]) for name in other - one)


def _may_be_null(schema: Any) -> bool:
    kinds = schema.get("type")
    return (
        kinds == "null"
        or "null" in (kinds if isinstance(kinds, list) else ())
        or any(_may_be_null(choice) for choice in schema.get("anyOf", ()))
    )
