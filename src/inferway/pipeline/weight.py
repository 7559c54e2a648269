"""Which schemas are so plain that compiling them and checking answers costs little, whatever the answer."""

from typing import Any

Schema = dict[str, Any] | bool

_MAX_WEIGHT = 400
_MAX_DEPTH = 48
_MAX_CASES = 8
_MAX_ENTRIES = 256
_GREATEST = 2**53

_NOTES = frozenset(
    "$schema $comment title description default examples deprecated readOnly writeOnly format $defs definitions".split()
)
_COUNTS = frozenset("minLength maxLength minItems maxItems minProperties maxProperties".split())
_NUMBERS = frozenset("minimum maximum exclusiveMinimum exclusiveMaximum".split())
_SHAPES = frozenset("type required properties items additionalProperties enum const".split())
_ALLOWED = _NOTES | _COUNTS | _NUMBERS | _SHAPES


class _NotPlain(Exception):
    """The schema has a part whose cost is not known beforehand."""


def find_weight(schema: Schema) -> int | None:
    """How many schemas there are with every reference replaced by what it names; None when the schema is not plain.

    A plain schema holds each of its parts against each part of an answer once at most: nothing combines, repeats or refers
    back to itself.
    """
    if isinstance(schema, bool):
        return 1
    try:
        weight = _Scales(schema).weigh(schema, 0)
    except _NotPlain:
        return None
    return weight if weight <= _MAX_WEIGHT else None


class _Scales:
    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._known: dict[str, int] = {}
        self._begun: set[str] = set()

    def weigh(self, schema: object, depth: int) -> int:
        if isinstance(schema, bool):
            return 1
        if not isinstance(schema, dict) or depth > _MAX_DEPTH:
            raise _NotPlain
        weight = 1 + self._definitions(schema, depth)
        if "$ref" in schema:
            _require(schema.keys() <= _NOTES | {"$ref"})
            return weight + self._target(schema["$ref"], depth)
        if "anyOf" in schema:
            cases = schema["anyOf"]
            _require(
                schema.keys() <= _NOTES | {"anyOf"} and isinstance(cases, list) and len(cases) <= _MAX_CASES
            )
            return weight + sum(self.weigh(case, depth + 1) for case in cases)
        return weight + self._parts(schema, depth)

    def _parts(self, schema: dict[str, Any], depth: int) -> int:
        _require(schema.keys() <= _ALLOWED)
        _require(all(_is_number(schema[key]) for key in schema.keys() & (_COUNTS | _NUMBERS)))
        _require(_is_scalar(schema.get("const")))
        for key in ("enum", "required"):
            entries = schema.get(key, [])
            _require(
                isinstance(entries, list) and len(entries) <= _MAX_ENTRIES and all(map(_is_scalar, entries))
            )
        properties = schema.get("properties", {})
        _require(isinstance(properties, dict))
        weight = len(schema.get("enum", ())) // 16
        inner = [
            *properties.values(),
            *(schema[key] for key in ("items", "additionalProperties") if key in schema),
        ]
        return weight + sum(self.weigh(part, depth + 1) for part in inner)

    def _definitions(self, schema: dict[str, Any], depth: int) -> int:
        """Definitions are compiled even where nothing refers to them; below the root nobody needs them."""
        weight = 0
        for key in schema.keys() & {"$defs", "definitions"}:
            _require(depth == 0 and isinstance(schema[key], dict))
            weight += sum(self._target(f"#/{key}/{name}", depth) for name in schema[key])
        return weight

    def _target(self, reference: object, depth: int) -> int:
        _require(isinstance(reference, str))
        place = str(reference)
        if place in self._known:
            return self._known[place]
        steps = place.split("/")
        _require(
            len(steps) == 3
            and steps[:2] in (["#", "$defs"], ["#", "definitions"])
            and place not in self._begun
        )
        named = self._root.get(steps[1])
        _require(isinstance(named, dict) and steps[2] in named)
        self._begun.add(place)
        self._known[place] = weight = self.weigh(self._root[steps[1]][steps[2]], depth + 1)
        return weight


def _require(holds: bool) -> None:  # noqa: FBT001 - as an assertion reads
    if not holds:
        raise _NotPlain


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) <= _GREATEST


def _is_scalar(value: object) -> bool:
    return value is None or isinstance(value, str) or _is_number(value)
