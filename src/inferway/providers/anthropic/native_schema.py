"""A JSON Schema in the subset that the messages API's own output format takes, if it can be put so."""

from typing import Any

import msgspec

from inferway.providers.schema import DEFINITIONS, Schema, check_depth, find_local, map_schemas

STRING_FORMATS = frozenset(
    ("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid")
)
_KEPT = frozenset(
    ("type", "properties", "required", "items", "anyOf", "enum", "const", "$ref", "$defs", "definitions")
)
_WORDS = frozenset(("title", "description"))
_SILENT = frozenset(("$schema", "$id", "$comment", "discriminator", "additionalProperties"))
"""Keywords that say nothing about the answer, or are said otherwise."""
_UNSAYABLE = frozenset(
    "patternProperties propertyNames prefixItems additionalItems contains not if then else dependentSchemas dependentRequired"
    " dependencies unevaluatedItems unevaluatedProperties $dynamicRef $recursiveRef minProperties".split()
)
_BESIDE_UNIONS = frozenset(("properties", "required", "items", "enum", "const", "$ref"))


class _CannotBeNative(Exception):
    """The schema says something that the output format cannot say."""


def to_native(schema: Schema) -> Schema | None:
    """The schema with objects closed, `oneOf` as `anyOf` and limits moved into descriptions, or None when it cannot be said.

    What is left out is checked in the answer afterwards. These cannot be said: maps and free-form objects (closing them would leave
    nothing to say), values of any type, recursion, `allOf` of several schemas, tuples, conditions. Source: Anthropic API guide,
    structured outputs; the same as `transform_schema` of the official SDK wherever that keeps the meaning.
    """
    check_depth(schema)
    try:
        return _Native(schema).convert(schema)
    except _CannotBeNative:
        return None


class _Native:
    """One run over one schema; `open` are the references being followed, to find recursion."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._open: list[str] = []
        self._checked: set[str] = set()

    def convert(self, schema: Schema) -> Schema:
        schema = _flat(schema)
        if not _UNSAYABLE.isdisjoint(schema):
            raise _CannotBeNative
        definitions: Schema = {key: schema[key] for key in DEFINITIONS if key in schema}
        converted = map_schemas(definitions, lambda sub, _: self.convert(sub))
        if "$ref" in schema:
            return converted | {"$ref": self._reference(schema)}
        kinds = _kinds(schema)
        converted |= self._below(
            {key: value for key, value in schema.items() if key in _KEPT - set(DEFINITIONS)}
        )
        if kinds:
            converted["type"] = kinds[0] if len(kinds) == 1 else kinds
        left = {key: value for key, value in schema.items() if key not in _KEPT | _WORDS | _SILENT}
        if "object" in kinds:
            _close(converted, schema)
        if "array" in kinds:
            _limit_items(converted, left)
        if "string" in kinds and left.get("format") in STRING_FORMATS:
            converted["format"] = left.pop("format")
        return converted | _words(schema, left)

    def _below(self, schema: Schema) -> Schema:
        for key in ("properties", "anyOf"):
            subs = schema.get(key, ())
            members = subs.values() if isinstance(subs, dict) else subs
            if any(not isinstance(sub, dict) for sub in members):
                raise _CannotBeNative
        return map_schemas(schema, lambda sub, _: self.convert(sub))

    def _reference(self, schema: Schema) -> str:
        target = schema["$ref"]
        found = find_local(self._root, target) if isinstance(target, str) else None
        beside = schema.keys() - _WORDS - _SILENT - {"$ref", *DEFINITIONS, "default", "examples"}
        if found is None or beside or target in self._open:
            raise _CannotBeNative
        if target not in self._checked:
            self._open.append(target)
            self.convert(found)
            self._open.pop()
            self._checked.add(target)
        return str(target)


def _flat(schema: Schema) -> Schema:
    """The schema with a single `allOf` merged in and `oneOf` as `anyOf`."""
    parts = schema.get("allOf")
    if isinstance(parts, list):
        if (
            len(parts) != 1
            or not isinstance(parts[0], dict)
            or not parts[0].keys().isdisjoint(schema.keys() - {"allOf"})
        ):
            raise _CannotBeNative
        return _flat({**{key: value for key, value in schema.items() if key != "allOf"}, **parts[0]})
    if "oneOf" in schema:
        if "anyOf" in schema:
            raise _CannotBeNative
        schema = {("anyOf" if key == "oneOf" else key): value for key, value in schema.items()}
    if "anyOf" in schema and not _BESIDE_UNIONS.isdisjoint(schema):
        raise _CannotBeNative
    return schema


def _kinds(schema: Schema) -> list[str]:
    """The types that the schema names or implies; empty where alternatives or literals say it."""
    if "anyOf" in schema:
        return []
    if _has_literals(schema):
        return []
    kind = schema.get("type")
    if isinstance(kind, str):
        return [kind]
    if isinstance(kind, list) and kind:
        return [str(item) for item in kind]
    if "properties" in schema:
        return ["object"]
    if "items" in schema:
        return ["array"]
    raise _CannotBeNative


def _has_literals(schema: Schema) -> bool:
    if "const" not in schema and "enum" not in schema:
        return False
    values: object = [schema["const"]] if "const" in schema else schema["enum"]
    if not isinstance(values, list) or not values or any(isinstance(value, dict | list) for value in values):
        raise _CannotBeNative
    return True


def _close(converted: Schema, schema: Schema) -> None:
    """An object takes its named properties and no others; one that names none, or wants others, cannot be said."""
    more = schema.get("additionalProperties")
    properties: object = converted.setdefault("properties", {})
    if isinstance(more, dict) or not isinstance(properties, dict) or (not properties and more is not False):
        raise _CannotBeNative
    required = schema.get("required", [])
    if not isinstance(required, list) or any(name not in properties for name in required):
        raise _CannotBeNative
    converted["additionalProperties"] = False


def _limit_items(converted: Schema, left: dict[str, Any]) -> None:
    if not isinstance(converted.get("items"), dict):
        raise _CannotBeNative
    if left.get("minItems") in (0, 1):
        converted["minItems"] = left.pop("minItems")


def _words(schema: Schema, left: dict[str, Any]) -> Schema:
    """Title and description, with the limits that have no keyword here told in the latter."""
    words: Schema = {key: schema[key] for key in ("description", "title") if key in schema}
    if left:
        limits = "{" + ", ".join(f"{key}: {_shown(value)}" for key, value in left.items()) + "}"
        before = words.get("description")
        words["description"] = limits if before is None else f"{before}\n\n{limits}"
    return words


def _shown(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
