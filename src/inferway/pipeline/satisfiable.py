"""Whether a JSON Schema can be satisfied at all, decided within a bounded time."""

from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema_rs
import msgspec
from jsonschema_rs.canonical import Satisfiability, UnsatisfiableReason, find_unsatisfiable
from msgspec import Struct

Schema = dict[str, Any] | bool
Path = tuple[str | int, ...]

_WHOLE_BYTES = 8 * 1024
_LIGHT_BYTES = 24 * 1024
_MAX_CASES = 64
_MAX_RARE = 16

_BRANCHES = (
    "anyOf",
    "oneOf",
    "if",
    "dependentSchemas",
    "dependentRequired",
    "dependencies",
    "contains",
    "not",
)
_RARE = frozenset(
    (*_BRANCHES, "multipleOf", "pattern", "patternProperties", "propertyNames", "uniqueItems")
) - {"anyOf", "oneOf"}
"""Keywords that cost much when there are many of them."""

_KEPT_ONE = frozenset(("items", "additionalItems", "additionalProperties"))
_KEPT_LIST = frozenset(("allOf", "prefixItems", "items"))
_KEPT_MAP = frozenset(("properties", "$defs", "definitions"))
_KEPT = frozenset(
    """
    $schema $id id $anchor $ref type enum const required minimum maximum exclusiveMinimum exclusiveMaximum
    minLength maxLength minItems maxItems minProperties maxProperties
    """.split()
)


class Contradiction(Struct, frozen=True, kw_only=True):
    """Why nothing satisfies a schema: the path of the part at fault, from the schema's root, and a sentence."""

    path: Path
    reason: str


def find_contradiction(schema: Schema) -> Contradiction | None:
    """The proof that nothing satisfies a valid schema; None when something does, or when that is not known.

    Schemas whose case analysis could be long are judged without the parts that cause it. Leaving out a demand only lets more
    values through, so that a schema found impossible without them is impossible with them.
    """
    if not isinstance(schema, dict):
        return None if schema else Contradiction(path=(), reason="nothing satisfies the schema false")
    judged = schema if _is_cheap(schema) else _lightened(schema)
    if len(msgspec.json.encode(judged)) > _LIGHT_BYTES:
        return None
    try:
        found = jsonschema_rs.canonicalize(judged, retriever=_refuse)
        if found.satisfiability() != Satisfiability.NO:
            return None
        return _blame(judged, find_unsatisfiable(judged, retriever=_refuse))
    except (ValueError, jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError):
        return None


def _refuse(uri: str) -> Any:
    raise ValueError(f"not followed: {uri[:100]}")


def _is_cheap(schema: dict[str, Any]) -> bool:
    """Whether the whole schema can be judged in a few milliseconds: short, with few alternatives."""
    if len(msgspec.json.encode(schema)) > _WHOLE_BYTES:
        return False
    cases, rare = 1, 0
    for node in _objects(schema):
        cases *= _cases(node)
        rare += sum(_size(node[key]) for key in _RARE if key in node)
        if cases > _MAX_CASES or rare > _MAX_RARE:
            return False
    return True


def _objects(value: object) -> Iterator[dict[str, Any]]:
    """Every object in a value, whether it is a schema or not: too many are counted rather than too few."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield one
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)


def _cases(node: dict[str, Any]) -> int:
    """How many ways one object offers to satisfy it. An optional or nullable value is common and costs next to nothing."""
    cases = 1
    for key in _BRANCHES:
        if key in node:
            size = _size(node[key])
            cases *= 1 if key == "anyOf" and size <= 2 else max(1, size) * (size if key == "oneOf" else 1)
    return cases


def _size(value: object) -> int:
    """The number of a keyword's entries; 2 for a keyword that either holds or does not."""
    return len(value) if isinstance(value, list | Mapping) and value else 2


def _lightened(schema: Any) -> Any:
    """The schema without alternatives, negations, conditions and patterns: satisfied by all that satisfies the schema, and more."""
    if not isinstance(schema, dict):
        return schema
    light: dict[str, Any] = {key: value for key, value in schema.items() if key in _KEPT}
    for key, value in schema.items():
        if key in _KEPT_MAP and isinstance(value, dict):
            light[key] = {name: _lightened(sub) for name, sub in value.items()}
        elif key in _KEPT_LIST and isinstance(value, list):
            light[key] = [_lightened(sub) for sub in value]
        elif key in _KEPT_ONE:
            light[key] = _lightened(value)
    if "patternProperties" in schema:
        # Names that only a pattern allowed would be forbidden now.
        light.pop("additionalProperties", None)
    return light


def _blame(schema: dict[str, Any], reasons: Mapping[str, UnsatisfiableReason]) -> Contradiction:
    """The innermost part that makes the whole impossible."""
    pointer, seen = "", set[str]()
    while pointer in reasons and pointer not in seen:
        seen.add(pointer)
        inner = _find_inner(schema, pointer, reasons)
        if inner is None:
            return Contradiction(path=_split(schema, pointer), reason=_sentence(pointer, reasons[pointer]))
        pointer = inner
    return Contradiction(
        path=_split(schema, _endless(schema)), reason="a value would have to hold itself for ever"
    )


def _find_inner(
    schema: dict[str, Any], pointer: str, reasons: Mapping[str, UnsatisfiableReason]
) -> str | None:
    """A part below (or referred to) that is impossible by itself and needed here."""
    node = _at(schema, pointer)
    if not isinstance(node, dict):
        return None
    keywords = {word for cause in _causes(reasons[pointer]) for word in cause.keywords}
    if "properties" in keywords:
        needed = [f"{pointer}/properties/{_escape(name)}" for name in node.get("required", ())]
        return next((place for place in needed if place in reasons), None)
    if keywords == {"$ref"}:
        return _target(node)
    parts = [cause.pointer for cause in _causes(reasons[pointer]) if cause.pointer != pointer]
    return next((place for place in parts if place in reasons), None)


def _endless(schema: dict[str, Any]) -> str:
    """The last required property on the way from the root into a circle of references; the root when there is none."""
    pointer, blamed, seen = "", "", set[str]()
    while pointer not in seen:
        seen.add(pointer)
        node = _at(schema, pointer)
        if not isinstance(node, dict):
            break
        target = _target(node)
        if target is not None:
            pointer = target
            continue
        properties = node.get("properties", {})
        needed = [name for name in node.get("required", ()) if isinstance(properties.get(name), dict)]
        nested = [name for name in needed if {"$ref", "properties"} & properties[name].keys()]
        if not nested:
            break
        pointer = blamed = f"{pointer}/properties/{_escape(nested[0])}"
    return blamed


def _causes(reason: UnsatisfiableReason) -> list[Any]:
    if isinstance(reason, UnsatisfiableReason.Conflict):
        return reason.causes
    return [reason.cause] if isinstance(reason, UnsatisfiableReason.Empty) else []


def _sentence(pointer: str, reason: UnsatisfiableReason) -> str:
    """What contradicts what, by the places of keywords below the pointer."""
    named: dict[str, None] = {}
    for cause in _causes(reason):
        place = cause.pointer.removeprefix(pointer)[1:]
        named |= dict.fromkeys("/".join(filter(None, (place, word))) for word in cause.keywords or [""])
    words = list(named)
    if not words:
        return "nothing satisfies the schema false"
    if len(words) == 1:
        return f"nothing satisfies its {words[0]}"
    return f"nothing satisfies {', '.join(words[:-1])} and {words[-1]} together"


def _target(node: dict[str, Any]) -> str | None:
    """Where a reference inside the document points."""
    ref = node.get("$ref")
    return ref[1:] if isinstance(ref, str) and (ref == "#" or ref.startswith("#/")) else None


def _at(schema: Any, pointer: str) -> Any:
    for step in _split(schema, pointer):
        try:
            schema = schema[step]
        except (KeyError, IndexError, TypeError):
            return None
    return schema


def _split(schema: Any, pointer: str) -> Path:
    """A pointer's steps; those into a list are numbers."""
    steps: list[str | int] = []
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        step: str | int = int(name) if isinstance(schema, list) and name.isdecimal() else name
        steps.append(step)
        is_inside = isinstance(schema, list) and isinstance(step, int) and step < len(schema)
        schema = schema[step] if is_inside else schema.get(name) if isinstance(schema, dict) else None
    return tuple(steps)


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
