"""A JSON Schema under the rules of OpenAI's strict structured outputs, if it can be put so without changing what it means."""

import re
from collections.abc import Mapping
from typing import Any

from inferway.providers.schema import (
    DEFINITIONS,
    Schema,
    as_object,
    check_depth,
    find_local,
    is_object_schema,
    map_schemas,
)

PROPERTIES_LIMIT = 5000
LEVELS_LIMIT = 10
ENUM_LIMIT = 1000

_KEPT = frozenset(
    "type properties required additionalProperties items anyOf enum const $ref $defs definitions title description pattern format"
    " multipleOf minimum maximum exclusiveMinimum exclusiveMaximum minItems maxItems".split()
)
_ANNOTATIONS = frozenset(
    "title description default example examples deprecated readOnly writeOnly $comment $schema $id discriminator"
    " contentEncoding contentMediaType".split()
)
_LEFT_TO_US = frozenset(("minLength", "maxLength", "uniqueItems"))
"""Limits that strict mode does not know; they are told to the model in the description and checked here afterwards."""

_FORMATS = tuple("date-time time date duration email hostname ipv4 ipv6 uuid".split())
_TYPES: tuple[tuple[type, str], ...] = (
    (bool, "boolean"),
    (str, "string"),
    (int, "integer"),
    (float, "number"),
    (dict, "object"),
    (list, "array"),
)


class _CannotBeStrict(Exception):
    """The schema says something that strict mode cannot say."""


def to_strict(schema: Schema) -> Schema | None:
    """The schema with every object closed and every property required, or None when that would change its meaning.

    Closing an object that says nothing about other properties, and requiring an optional property that may be null, only
    narrow what the model can say. An optional property that may not be null has no strict form: the model would have to
    invent a value. Nor have maps (open objects), `allOf` of several schemas, conditions and negations.
    Source: OpenAI API guide, structured outputs, supported schemas. Raises `BadRequest` for a schema nested too deep.
    """
    check_depth(schema)
    if not is_object_schema(schema):
        return None
    try:
        strict = _Closer(schema).close(as_object(schema), 1)
        _check_limits(strict)
    except _CannotBeStrict:
        return None
    return strict


class _Closer:
    """One run over one schema; `inlining` are the references being expanded, against endless recursion."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._inlining: list[str] = []

    def close(self, schema: Schema, level: int) -> Schema:
        if level > LEVELS_LIMIT:
            raise _CannotBeStrict
        if "$ref" in schema:
            return self._reference(schema, level)
        schema = self._flat(schema)
        if "$ref" in schema:
            return self._reference(schema, level)
        kept = _with_type({key: value for key, value in schema.items() if key in _KEPT})
        _describe(kept, schema)
        if "object" in _types(kept):
            self._close_object(kept)
        if "array" in _types(kept) and not isinstance(kept.get("items"), dict):
            raise _CannotBeStrict
        return self._below(kept, level)

    def _below(self, schema: Schema, level: int) -> Schema:
        closed = map_schemas(
            schema, lambda sub, where: self.close(sub, 1 if _in_definitions(where) else level + _step(where))
        )
        for key in ("anyOf", "properties", *DEFINITIONS):
            if any(isinstance(sub, bool) for sub in _members(closed.get(key))):
                raise _CannotBeStrict
        return closed

    def _reference(self, schema: Schema, level: int) -> Schema:
        target = schema["$ref"]
        found = find_local(self._root, target) if isinstance(target, str) else None
        beside = schema.keys() - {"$ref"} - {"$defs", "definitions"}
        if found is None or not beside <= _ANNOTATIONS:
            raise _CannotBeStrict
        words: Schema = {key: schema[key] for key in schema if key in ("title", "description")}
        if not words or target in self._inlining:
            return {"$ref": target}
        self._inlining.append(target)
        closed = self.close({**found, **words}, level)
        self._inlining.pop()
        return closed

    def _flat(self, schema: Schema) -> Schema:
        """The schema with a single `allOf` and a `oneOf` said the way strict mode knows; unknown keywords end it."""
        parts = schema.get("allOf")
        if isinstance(parts, list):
            if len(parts) != 1 or not isinstance(parts[0], dict) or not parts[0].keys().isdisjoint(schema):
                raise _CannotBeStrict
            schema = {**{key: value for key, value in schema.items() if key != "allOf"}, **parts[0]}
            return schema if "$ref" in schema else self._flat(schema)
        if isinstance(schema.get("oneOf"), list) and "anyOf" not in schema:
            schema = {("anyOf" if key == "oneOf" else key): value for key, value in schema.items()}
        unknown = schema.keys() - _KEPT - _ANNOTATIONS - _LEFT_TO_US
        if any(not key.startswith("x-") for key in unknown):
            raise _CannotBeStrict
        return schema

    def _close_object(self, schema: Schema) -> None:
        properties = schema.setdefault("properties", {})
        if not isinstance(properties, dict) or (not properties and "additionalProperties" not in schema):
            raise _CannotBeStrict
        if schema.get("additionalProperties", False) is not False:
            raise _CannotBeStrict
        required = schema.get("required", [])
        if not isinstance(required, list) or any(
            not isinstance(name, str) or name not in properties for name in required
        ):
            raise _CannotBeStrict
        for name, sub in properties.items():
            if name not in required and not self._may_be_null(sub, 0):
                raise _CannotBeStrict
        schema["required"] = list(properties)
        schema["additionalProperties"] = False

    def _may_be_null(self, schema: object, depth: int) -> bool:
        if not isinstance(schema, dict) or depth > LEVELS_LIMIT:
            return False
        if isinstance(schema.get("$ref"), str):
            return self._may_be_null(find_local(self._root, schema["$ref"]), depth + 1)
        if "null" in _types(schema) or ("const" in schema and schema["const"] is None):
            return "enum" not in schema or None in _members(schema["enum"])
        choices = [*_members(schema.get("anyOf")), *_members(schema.get("oneOf"))]
        return any(self._may_be_null(choice, depth + 1) for choice in choices)


def _types(schema: Mapping[str, Any]) -> list[Any]:
    kind = schema.get("type")
    return kind if isinstance(kind, list) else [kind]


def _members(value: object) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _in_definitions(where: str) -> bool:
    return where.startswith(tuple(f"/{key}/" for key in DEFINITIONS))


def _step(where: str) -> int:
    """Whether a subschema is a level deeper: alternatives stand on their parent's level."""
    return 0 if where.startswith("/anyOf/") else 1


def _with_type(schema: Schema) -> Schema:
    """Strict mode wants a type on everything that is not a union."""
    if "type" in schema or "anyOf" in schema:
        return schema
    if "properties" in schema:
        return {**schema, "type": "object"}
    values = [schema["const"]] if "const" in schema else _members(schema.get("enum"))
    kinds = list(dict.fromkeys(_type_of(value) for value in values))
    if not kinds:
        raise _CannotBeStrict
    return {**schema, "type": kinds[0] if len(kinds) == 1 else kinds}


def _type_of(value: object) -> str:
    return next((name for kind, name in _TYPES if isinstance(value, kind)), "null")


def _describe(kept: Schema, schema: Schema) -> None:
    """Leave out what strict mode does not know and say it in the description instead."""
    if "format" in kept and kept["format"] not in _FORMATS:
        del kept["format"]
    if "pattern" in kept and not _plain_pattern(kept["pattern"]):
        del kept["pattern"]
    lost = {
        key: schema[key]
        for key in sorted(_LEFT_TO_US | {"format", "pattern"})
        if key in schema and key not in kept
    }
    if lost:
        told = ", ".join(f"{key}: {value}" for key, value in lost.items())
        description = kept.get("description")
        kept["description"] = f"{description} ({told})" if isinstance(description, str) else f"({told})"


def _plain_pattern(pattern: object) -> bool:
    """Look-around and back-references are not taken."""
    return isinstance(pattern, str) and not re.search(r"\(\?|\\[1-9k]", pattern)


def _check_limits(schema: Schema) -> None:
    counts = {"properties": 0, "enum": 0}

    def count(sub: Schema, _where: str) -> Schema:
        counts["properties"] += len(_members(sub.get("properties")))
        counts["enum"] += len(_members(sub.get("enum")))
        return map_schemas(sub, count)

    count(schema, "")
    if counts["properties"] > PROPERTIES_LIMIT or counts["enum"] > ENUM_LIMIT:
        raise _CannotBeStrict
