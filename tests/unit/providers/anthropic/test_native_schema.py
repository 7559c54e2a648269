"""Schemas in the subset that the model's own output format takes."""

import copy
from typing import Any

import pytest
from anthropic.lib._parse._transform import transform_schema

from inferway.errors import BadRequest
from inferway.providers.anthropic.native_schema import to_native

POINT = {
    "type": "object",
    "properties": {
        "x": {"type": "number", "minimum": 0, "exclusiveMaximum": 10},
        "y": {"type": "number", "multipleOf": 0.5, "description": "Up."},
    },
    "required": ["x"],
}


@pytest.mark.parametrize(
    "schema",
    [
        POINT,
        {"type": "object", "properties": {}, "additionalProperties": False},
        {"type": "object", "title": "T", "properties": {"a": {"type": "boolean", "title": "A", "description": "D"}}},
        {"type": "object", "properties": {"a": {"type": "array", "items": POINT, "minItems": 1, "maxItems": 3}}},
        {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "string"}, "minItems": 2}}},
        {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "null"}, "minItems": 0}}},
        {"type": "object", "properties": {"a": {"type": "string", "format": "date-time", "minLength": 3}}},
        {"type": "object", "properties": {"a": {"type": "string", "pattern": "^a$", "format": "regex"}}},
        {"type": "object", "properties": {"a": {"enum": ["x", 1, None, True]}, "b": {"const": "k"}}},
        {"type": "object", "properties": {"a": {"anyOf": [{"type": "string"}, POINT], "title": "U"}}},
        {"type": "object", "properties": {"a": {"oneOf": [{"type": "integer"}, {"type": "null"}]}}},
        {"type": "object", "properties": {"p": {"$ref": "#/$defs/P"}, "q": {"$ref": "#/$defs/P"}}, "$defs": {"P": POINT}},
        {"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": True},
    ],
)  # fmt: skip
def test_a_schema_becomes_what_the_official_sdk_makes_of_it(schema: dict[str, Any]) -> None:
    before = copy.deepcopy(schema)
    assert to_native(schema) == transform_schema(copy.deepcopy(schema))
    assert schema == before


@pytest.mark.parametrize(
    ("schema", "native"),
    [
        # The SDK gives up on several types.
        ({"type": ["string", "null"]}, {"type": ["string", "null"]}),
        # It leaves the type out beside literals, which says the same.
        ({"type": "string", "enum": ["a"]}, {"type": "string", "enum": ["a"]}),
        # It gives up on implied types.
        ({"items": {"type": "string"}}, {"type": "array", "items": {"type": "string"}}),
        # It writes Python's words into the description.
        ({"type": "string", "default": None}, {"type": "string", "description": "{default: null}"}),
        # It leaves `allOf` of one in place, and moves `definitions` and `$schema` into the description.
        ({"allOf": [{"type": "string"}], "title": "T"}, {"type": "string", "title": "T"}),
        ({"type": "string", "$schema": "http://json-schema.org/draft-07/schema#"}, {"type": "string"}),
    ],
)
def test_where_the_sdk_gives_up_or_loses_meaning_we_keep_it(
    schema: dict[str, Any], native: dict[str, Any]
) -> None:
    assert to_native({"type": "object", "properties": {"a": schema}}) == {
        "type": "object",
        "properties": {"a": native},
        "additionalProperties": False,
    }


def test_definitions_of_older_drafts_are_kept() -> None:
    schema = {"type": "object", "properties": {"p": {"$ref": "#/definitions/P"}}, "definitions": {"P": POINT}}
    native = to_native(schema)
    assert native is not None
    assert native["definitions"]["P"]["additionalProperties"] is False


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"description": "anything"},
        {"type": "object"},
        {"type": "object", "additionalProperties": True},
        {"type": "object", "additionalProperties": {"type": "string"}},
        {
            "type": "object",
            "properties": {"a": {"type": "string"}},
            "additionalProperties": {"type": "string"},
        },
        {"type": "object", "properties": {"a": True}},
        {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["b"]},
        {"type": "object", "patternProperties": {"^a": {"type": "string"}}},
        {"type": "array"},
        {"type": "array", "items": True},
        {"type": "array", "prefixItems": [{"type": "string"}]},
        {"enum": []},
        {"enum": [{"a": 1}]},
        {"const": []},
        {"allOf": [POINT, POINT]},
        {"allOf": [{"type": "string"}], "type": "string"},
        {"anyOf": [{"type": "string"}], "oneOf": [{"type": "null"}]},
        {"type": "object", "anyOf": [POINT], "properties": {"z": {"type": "string"}}},
        {"anyOf": [{"type": "string"}, False]},
        {"not": {"type": "string"}},
        {"$ref": "#/$defs/missing"},
        {"$ref": "https://a.example/schema"},
        {"$ref": "#/$defs/P", "$defs": {"P": POINT}, "minProperties": 1},
        {"type": "object", "properties": {"next": {"$ref": "#"}}},
    ],
)
def test_what_the_output_format_cannot_say_is_not_said(schema: dict[str, Any]) -> None:
    assert to_native(schema) is None
    assert to_native({"type": "object", "properties": {"a": schema}}) is None


def test_recursion_is_found_through_definitions() -> None:
    tree = {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#/$defs/T"}}}}
    assert (
        to_native({"type": "object", "properties": {"t": {"$ref": "#/$defs/T"}}, "$defs": {"T": tree}})
        is None
    )


def test_a_schema_nested_too_deep_is_refused() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(100):
        schema = {"type": "array", "items": schema}
    with pytest.raises(BadRequest) as caught:
        to_native(schema)
    assert caught.value.code == "schema_too_deep"
