"""A caller's schema in OpenAI's strict mode, without it, and for servers that have neither."""

import json
from typing import Annotated, Any, Literal

import jsonschema_rs
import pytest
from openai.lib._pydantic import to_strict_json_schema
from pydantic import BaseModel, Field

from inferway.errors import BadRequest
from inferway.providers.openai.quirks import COMPATIBLE, Quirks
from inferway.providers.openai.strict import to_strict
from inferway.types import Message, TextPart
from tests.unit.providers.openai.samples import ask, read, sent, target, told, user

PERSON = {
    "title": "A person!",
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": ["integer", "null"]}},
    "required": ["name"],
}


class Leaf(BaseModel):
    kind: Literal["leaf"]
    size: int


class Tree(BaseModel):
    """A tree."""

    left: "Tree | Leaf | None" = None
    leaf: Leaf = Field(description="the leaf beside it")
    tags: list[str]
    weight: Annotated[float, Field(ge=0, le=1)]


@pytest.mark.parametrize("model", [Leaf, Tree])
def test_what_the_sdk_makes_of_a_model_is_what_we_make_of_it(model: type[BaseModel]) -> None:
    schema = model.model_json_schema()
    root = schema.get("$defs", {}).get(model.__name__, schema) | {"$defs": schema.get("$defs", {})}
    theirs = to_strict_json_schema(model)
    ours = to_strict({key: value for key, value in root.items() if value})
    assert ours is not None
    assert drop_defaults(ours) == drop_defaults(theirs)


def drop_defaults(schema: Any) -> Any:
    """Without defaults, and with `required` in one order: neither means anything under strict mode."""
    if isinstance(schema, list):
        return [drop_defaults(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: drop_defaults(value) for key, value in schema.items() if key != "default"}
    return kept | ({"required": sorted(kept["required"])} if "required" in kept else {})


def test_a_schema_that_can_be_strict_is_closed_and_complete() -> None:
    assert sent(ask(schema=PERSON))["response_format"] == {
        "type": "json_schema",
        "json_schema": {
            "name": "A_person",
            "strict": True,
            "schema": {
                "title": "A person!",
                "type": "object",
                "properties": {"name": {"type": "string"}, "age": {"type": ["integer", "null"]}},
                "required": ["name", "age"],
                "additionalProperties": False,
            },
        },
    }
    assert told(ask(schema=PERSON)) == {}


@pytest.mark.parametrize(
    "property_",
    [
        {"type": "object"},
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": True},
        {"type": "object", "properties": {"a": {"type": "integer", "default": 3}}},
        {"allOf": [{"type": "string"}, {"minLength": 3}]},
        {"not": {"type": "string"}},
        {"if": {}, "then": {}},
        {"type": "array"},
        {"type": "array", "prefixItems": [{"type": "string"}]},
        {"type": "object", "patternProperties": {"^a": {"type": "string"}}, "properties": {}},
        {"$ref": "https://x.example/schema"},
        {"$ref": "#/nowhere"},
        {"$ref": "#/properties/x", "minLength": 3},
        {"type": "object", "properties": {"a": True}, "required": ["a"]},
        {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["b"]},
        {},
    ],
)
def test_what_strict_mode_cannot_say_goes_as_it_is(property_: dict[str, Any]) -> None:
    schema = {"type": "object", "properties": {"x": property_}, "required": ["x"]}
    call = ask(schema=schema)
    assert sent(call)["response_format"]["json_schema"] == {
        "name": "answer",
        "strict": False,
        "schema": schema,
    }
    assert told(call) == {"parameters.schema": "translated"}


def strict_property(property_: dict[str, Any], **root: Any) -> Any:
    strict = to_strict({"type": "object", "properties": {"x": property_}, "required": ["x"], **root})
    assert strict is not None
    return strict["properties"]["x"]


def test_limits_that_strict_mode_lacks_are_told_to_the_model() -> None:
    limited = {
        "type": "string",
        "minLength": 2,
        "format": "uri",
        "pattern": "(?=a)b",
        "description": "An address",
    }
    assert strict_property(limited) == {
        "type": "string",
        "description": "An address (format: uri, minLength: 2, pattern: (?=a)b)",
    }
    assert strict_property({"type": "string", "format": "date", "pattern": "^2"}) == {
        "type": "string",
        "format": "date",
        "pattern": "^2",
    }


def test_annotations_types_and_unions_are_put_the_way_strict_mode_knows() -> None:
    assert strict_property({"type": "string", "default": "x", "examples": ["y"], "x-order": 1}) == {
        "type": "string"
    }
    assert strict_property({"const": "a"}) == {"const": "a", "type": "string"}
    assert strict_property({"enum": ["a", 1, None]}) == {
        "enum": ["a", 1, None],
        "type": ["string", "integer", "null"],
    }
    union = {"oneOf": [{"type": "string"}, {"type": "null"}], "discriminator": {"propertyName": "x"}}
    assert strict_property(union) == {"anyOf": [{"type": "string"}, {"type": "null"}]}
    assert strict_property({"allOf": [{"$ref": "#/$defs/A"}]}, **{"$defs": {"A": {"type": "string"}}}) == {
        "$ref": "#/$defs/A"
    }


def test_what_is_strict_accepts_nothing_that_the_caller_would_not() -> None:
    strict = to_strict(PERSON)
    assert strict is not None
    theirs, ours = jsonschema_rs.validator_for(PERSON), jsonschema_rs.validator_for(strict)
    values: tuple[object, ...] = (
        {"name": "a", "age": None},
        {"name": "a"},
        {"name": 1, "age": 2},
        {"name": "a", "age": 1, "x": 2},
        [],
    )
    for value in values:
        assert theirs.is_valid(value) or not ours.is_valid(value)
    assert ours.is_valid({"name": "a", "age": None})


def test_a_list_at_the_root_is_wrapped_and_it_is_told() -> None:
    call = ask(schema={"type": "array", "items": {"type": "string"}})
    assert sent(call)["response_format"]["json_schema"] == {
        "name": "answer",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"value": {"type": "array", "items": {"type": "string"}}},
            "required": ["value"],
            "additionalProperties": False,
        },
    }
    assert told(call) == {"parameters.schema": "translated"}


def test_deep_or_large_schemas_are_not_strict() -> None:
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(11):
        deep = {"type": "array", "items": deep}
    assert to_strict({"type": "object", "properties": {"x": deep}, "required": ["x"]}) is None
    wide = {f"p{n}": {"type": "string"} for n in range(5001)}
    assert to_strict({"type": "object", "properties": wide, "required": list(wide)}) is None
    many = {"x": {"enum": [str(n) for n in range(1001)]}}
    assert to_strict({"type": "object", "properties": many, "required": ["x"]}) is None


def test_false_is_refused() -> None:
    with pytest.raises(BadRequest) as caught:
        sent(ask(schema=False))
    assert caught.value.code == "impossible_schema"


def test_a_compatible_server_gets_the_schema_as_it_is() -> None:
    assert sent(ask(schema=PERSON), quirks=COMPATIBLE)["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "A_person", "schema": PERSON},
    }


@pytest.mark.parametrize("way", ["json_object", "prompt"])
def test_a_server_without_schemas_is_told_in_words(way: Any) -> None:
    quirks = Quirks(structured=way)
    call = ask(Message(role="system", content=(TextPart(text="Be brief."),)), user("Hi"), schema=PERSON)
    body = sent(call, quirks=quirks)
    assert body.get("response_format") == ({"type": "json_object"} if way == "json_object" else None)
    assert body["messages"][0]["content"].startswith("Be brief.\n\nAnswer with one JSON object")
    assert json.dumps(PERSON, separators=(",", ":")) in body["messages"][0]["content"]
    assert sent(ask(schema=PERSON), quirks=quirks)["messages"][0]["role"] == "system"
    answer = {"choices": [{"message": {"content": "{}"}, "finish_reason": "stop"}]}
    structured = read(answer, call, quirks).completion.structured
    assert structured is not None
    assert structured.method == ("json_mode" if way == "json_object" else "prompt")


def test_a_fact_can_name_another_way_for_one_model() -> None:
    body = sent(ask(schema=PERSON), target("m", {"structured": "json_object"}))
    assert body["response_format"] == {"type": "json_object"}
