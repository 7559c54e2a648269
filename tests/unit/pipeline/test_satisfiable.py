"""Schemas that nothing can satisfy are found with the place at fault, in bounded time, and no other schema is refused."""

import asyncio
import json
import time
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inferway.errors import BadRequest
from inferway.pipeline.judging import Judges
from inferway.pipeline.satisfiable import find_contradiction
from inferway.pipeline.structured import Checker
from inferway.providers.fake import build
from tests.unit.pipeline.kit import Kit

IMPOSSIBLE: list[tuple[Any, tuple[str | int, ...]]] = [
    (False, ()),
    ({"type": "object", "properties": {"a": False}, "required": ["a"]}, ("properties", "a")),
    ({"type": "object", "required": ["a"], "additionalProperties": False}, ()),
    ({"type": "object", "required": ["long"], "propertyNames": {"maxLength": 2}}, ()),
    ({"type": "object", "required": ["ab"], "patternProperties": {"^a": False}}, ()),
    ({"type": "integer", "minimum": 3, "maximum": 2}, ()),
    ({"type": "number", "exclusiveMinimum": 2, "maximum": 2}, ()),
    ({"type": "number", "minimum": 2, "exclusiveMaximum": 2}, ()),
    ({"type": "integer", "exclusiveMinimum": 2, "exclusiveMaximum": 3}, ()),
    ({"type": "integer", "multipleOf": 5, "minimum": 1, "maximum": 4}, ()),
    ({"type": "string", "minLength": 3, "maxLength": 2}, ()),
    ({"type": "array", "minItems": 3, "maxItems": 2}, ()),
    ({"type": "array", "minItems": 1, "items": False}, ()),
    ({"type": "array", "minItems": 3, "uniqueItems": True, "items": {"enum": [1, 2]}}, ()),
    ({"type": "object", "minProperties": 3, "maxProperties": 2}, ()),
    ({"enum": []}, ()),
    ({"type": "string", "enum": [1, 2]}, ()),
    ({"type": "string", "const": 1}, ()),
    ({"allOf": [{"type": "string"}, {"type": "integer"}]}, ()),
    ({"type": ["string", "null"], "allOf": [{"type": ["integer", "array"]}]}, ()),
    ({"anyOf": [False, {"type": "string", "minLength": 4, "maxLength": 1}]}, ()),
    ({"oneOf": [{"type": "string", "enum": []}, {"type": "integer", "const": "x"}]}, ()),
    ({"oneOf": [{"type": "string"}, {"type": "string"}]}, ()),
    ({"not": {}}, ()),
    ({"not": True}, ()),
    (
        {
            "type": "object",
            "required": ["x", "y"],
            "properties": {
                "x": {"type": "string"},
                "y": {
                    "type": "object",
                    "required": ["z"],
                    "properties": {"z": {"type": "integer", "minimum": 2, "maximum": 1}},
                },
            },
        },
        ("properties", "y", "properties", "z"),
    ),
    (
        {
            "type": "object",
            "required": ["n"],
            "properties": {"n": {"$ref": "#/$defs/count"}},
            "$defs": {"count": {"type": "integer", "minimum": 5, "maximum": 1}},
        },
        ("$defs", "count"),
    ),
    ({"type": "object", "required": ["next"], "properties": {"next": {"$ref": "#"}}}, ("properties", "next")),
    (
        {
            "$ref": "#/$defs/node",
            "$defs": {
                "node": {
                    "type": "object",
                    "required": ["next"],
                    "properties": {"next": {"$ref": "#/$defs/node"}},
                }
            },
        },
        ("$defs", "node", "properties", "next"),
    ),
]


@pytest.mark.parametrize(
    ("schema", "path"), IMPOSSIBLE, ids=[json.dumps(each)[:60] for each, _ in IMPOSSIBLE]
)
def test_an_impossible_schema_is_refused_with_the_path_of_the_trouble(
    schema: Any, path: tuple[str | int, ...]
) -> None:
    with pytest.raises(BadRequest) as refused:
        Checker(schema)
    error = refused.value
    assert (error.status, error.code) == (400, "impossible_schema")
    assert error.details == {"location": ["body", "parameters", "schema", *path]}
    assert error.message.startswith("/".join(map(str, ("parameters", "schema", *path))) + ": ")


_UNJUDGED = ("$ref", "Of", "not", "propertyN", "patternP", "uniqueI")
"""Alternatives, negations and patterns of large schemas are not judged."""


@pytest.mark.parametrize(
    ("schema", "path"),
    [each for each in IMPOSSIBLE if not any(word in json.dumps(each) for word in _UNJUDGED)],
)
def test_an_impossible_part_of_a_large_schema_is_found_by_what_can_be_judged(
    schema: Any, path: tuple[str | int, ...]
) -> None:
    filler = {f"p{index}": {"type": "string", "description": "x" * 20} for index in range(250)}
    large = {"type": "object", "required": ["bad"], "properties": {**filler, "bad": schema}}
    found = find_contradiction(large)
    assert found is not None
    assert found.path == ("properties", "bad", *path)


POSSIBLE: list[Any] = [
    True,
    {},
    {"minimum": 3, "maximum": 2},
    {"type": "object", "properties": {"optional": False}},
    {"type": "array", "items": False},
    {
        "type": "object",
        "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
        "required": ["next"],
    },
    {"type": "object", "properties": {"next": {"$ref": "#"}}},
    {"type": "object", "properties": {"all": {"type": "array", "items": {"$ref": "#"}}}, "required": ["all"]},
    {"type": "object", "required": ["xa"], "patternProperties": {"^x": {}}, "additionalProperties": False},
    {"type": "string", "pattern": "^[a-z]+@[a-z]+$", "format": "email"},
    {"not": {"type": "string"}},
    {"oneOf": [{"type": "integer"}, {"minimum": 2}]},
    {"if": {"type": "string"}, "then": False},
]


@pytest.mark.parametrize("schema", POSSIBLE, ids=lambda each: json.dumps(each)[:60])
def test_a_schema_that_something_satisfies_is_taken(schema: Any) -> None:
    Checker(schema)


NAMES = st.sampled_from(["a", "b", "ab", "x", ""])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-4, 4)
    | st.sampled_from([0.5, 1.0, -2.5, 1e20])
    | st.text("abé", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
KINDS = st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "object"])
SMALL = st.integers(0, 3)
NUMBERS = st.integers(-3, 3) | st.sampled_from([0.5, 1.5])


def _keywords(sub: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Any mixture of keywords, most of which contradict one another now and then."""
    branches = st.lists(sub, min_size=1, max_size=3)
    named = st.dictionaries(NAMES, sub, max_size=3)
    return st.fixed_dictionaries(
        {},
        optional={
            "type": KINDS | st.lists(KINDS, min_size=1, max_size=3, unique=True),
            "enum": st.lists(VALUES, max_size=3),
            "const": VALUES,
            "minimum": NUMBERS,
            "maximum": NUMBERS,
            "exclusiveMinimum": NUMBERS,
            "exclusiveMaximum": NUMBERS,
            "multipleOf": st.sampled_from([1, 2, 0.5, 3]),
            "minLength": SMALL,
            "maxLength": SMALL,
            "pattern": st.sampled_from(["^a", "b$", "^[ab]{2}$", "^$"]),
            "minItems": SMALL,
            "maxItems": SMALL,
            "uniqueItems": st.booleans(),
            "items": sub,
            "prefixItems": branches,
            "contains": sub,
            "maxContains": SMALL,
            "minContains": SMALL,
            "minProperties": SMALL,
            "maxProperties": SMALL,
            "properties": named,
            "patternProperties": st.dictionaries(st.sampled_from(["^a", "b$", ""]), sub, max_size=2),
            "additionalProperties": sub,
            "propertyNames": sub,
            "required": st.lists(NAMES, max_size=2, unique=True),
            "dependentRequired": st.dictionaries(NAMES, st.lists(NAMES, max_size=2, unique=True), max_size=2),
            "dependentSchemas": named,
            "unevaluatedProperties": sub,
            "unevaluatedItems": sub,
            "allOf": branches,
            "anyOf": branches,
            "oneOf": branches,
            "not": sub,
            "if": sub,
            "then": sub,
            "else": sub,
            "$ref": st.sampled_from(["#", "#/$defs/one"]),
        },
    )


SCHEMAS: st.SearchStrategy[Any] = st.recursive(st.booleans() | st.just({}), _keywords, max_leaves=5)
ROOTS = st.builds(lambda root, one: {**root, "$defs": {"one": one}}, _keywords(SCHEMAS), SCHEMAS)


@pytest.fixture(scope="module")
def judges() -> Judges:
    return Judges()


def _accepts(schema: Any, value: Any) -> bool:
    try:
        return jsonschema_rs.is_valid(schema, value)
    except ValueError:
        return False


# Most of its time goes into making up schemas: many times as much on a machine that is busy.
@pytest.mark.timeout(400)
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(schema=ROOTS, values=st.lists(VALUES, min_size=4, max_size=8))
def test_a_schema_with_a_witness_is_never_called_impossible(
    judges: Judges, schema: Any, values: list[Any]
) -> None:
    async def refused_and_accepted() -> tuple[str, list[Any]]:
        try:
            await judges.take(schema)
        except BadRequest as refusal:
            return refusal.message, [each for each in values if await judges.findings(schema, each) == ()]
        return "", []

    # Foreign code judges what chance has made: in another process, whose end would not be the end of all tests.
    refusal, accepted = asyncio.run(refused_and_accepted())
    assert not accepted, (refusal, schema)


@settings(max_examples=150, deadline=None)
@given(witness=VALUES, data=st.data())
def test_a_schema_made_for_a_value_is_never_called_impossible(witness: Any, data: st.DataObject) -> None:
    schema = data.draw(made_for(witness))
    assert _accepts(schema, witness)
    assert find_contradiction(schema) is None
    filler = {"properties": {f"unused{index}": {"type": "string"} for index in range(400)}}
    assert find_contradiction({"allOf": [schema, filler]}) is None


def made_for(value: Any) -> st.SearchStrategy[Any]:
    """Schemas that a value satisfies, with distracting parts that it satisfies too."""
    plain = _exact(value)
    other = st.sampled_from([{"enum": []}, {"type": "string", "minLength": 2, "maxLength": 1}, {"not": {}}])
    return st.one_of(
        plain,
        st.builds(lambda one, two: {"allOf": [one, two]}, plain, plain),
        st.builds(lambda one, two: {"anyOf": [two, one]}, plain, other),
        st.builds(lambda one, two: {"oneOf": [two, one]}, plain, other),
        st.builds(lambda one, two: {**one, "not": two}, plain, other),
        st.builds(lambda one, two: {**one, "if": two, "then": False}, plain, other),
    )


def _exact(value: Any) -> st.SearchStrategy[Any]:
    if isinstance(value, dict):
        parts = st.fixed_dictionaries({name: made_for(inner) for name, inner in value.items()})
        return st.builds(_object_for, parts, st.booleans(), st.just(len(value)))
    if isinstance(value, list):
        items: st.SearchStrategy[Any] = st.tuples(*map(made_for, value))
        return st.builds(
            lambda items: (
                {"type": "array", "prefixItems": [*items], "items": False, "minItems": len(items)}
                if items
                else {"type": "array", "maxItems": 0}
            ),
            items,
        )
    if isinstance(value, bool) or value is None:
        return st.sampled_from([{"const": value}, {"enum": [value, "other"]}, {}])
    if isinstance(value, str):
        length = len(value)
        return st.sampled_from(
            [{"type": "string", "minLength": length, "maxLength": length}, {"const": value}]
        )
    return st.sampled_from([{"type": "number", "minimum": value, "maximum": value}, {"enum": [value, None]}])


def _object_for(parts: dict[str, Any], closed: bool, size: int) -> Any:  # noqa: FBT001 - drawn
    limits = {"additionalProperties": False} if closed else {"minProperties": size, "maxProperties": size}
    return {"type": "object", "properties": parts, "required": [*parts], **limits}


HEAVY: dict[str, Any] = {
    "alternatives of alternatives": {
        "allOf": [
            {"anyOf": [{"type": "object", "required": [f"a{i}{k}"]} for k in range(4)]} for i in range(12)
        ]
    },
    "many conditions": {
        "allOf": [
            {"if": {"properties": {"k": {"const": i}}}, "then": {"required": [f"x{i}"]}} for i in range(1500)
        ]
    },
    "a wide oneOf": {
        "oneOf": [
            {"type": "object", "properties": {"k": {"const": i}}, "required": ["k"]} for i in range(2500)
        ]
    },
    "many divisors": {"allOf": [{"type": "integer", "multipleOf": p} for p in range(1, 3000)]},
    "chains of dependents": {
        "type": "object",
        "required": ["k0"],
        "dependentRequired": {f"k{i}": [f"k{i + 1}"] for i in range(5000)},
    },
    "references that double": {
        "$ref": "#/$defs/d0",
        "$defs": {
            **{f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(40)},
            "d40": {"type": "string"},
        },
    },
    "many properties": {
        "type": "object",
        "properties": {f"p{i}": {"type": "string", "maxLength": i} for i in range(4000)},
        "required": [f"p{i}" for i in range(3000)],
        "additionalProperties": False,
    },
}


def _deep(levels: int) -> Any:
    return {"type": "object", "required": ["a"], "properties": {"a": _deep(levels - 1)}} if levels else False


HEAVY["deep"] = _deep(31)


@pytest.mark.parametrize("schema", HEAVY.values(), ids=HEAVY.keys())
def test_the_judgement_takes_little_time_whatever_the_schema(schema: Any) -> None:
    best_s = 1.0
    for _ in range(3):
        began = time.process_time()
        find_contradiction(schema)
        best_s = min(best_s, time.process_time() - began)
    assert best_s < 0.05


def test_a_schema_with_too_many_patterns_is_refused() -> None:
    with pytest.raises(BadRequest, match="more than 256 patterns"):
        Checker({"type": "object", "patternProperties": {f"^a{index}": {} for index in range(257)}})


def test_an_impossible_schema_at_the_greatest_depth_is_named() -> None:
    found = find_contradiction(_deep(31))
    assert found is not None
    assert found.path == ("properties", "a") * 31


@pytest.mark.parametrize(
    ("model", "inputs"),
    [("fake-embedding", {"text": "a"}), ("fake-transcription", {"audio_base64": "UklGRiQAAABXQVZF"})],
)
@pytest.mark.parametrize("schema", [{"type": "object"}, {"enum": []}, False])
async def test_a_schema_that_the_operation_does_not_read_is_dropped_and_told(
    model: str, inputs: dict[str, str], schema: Any
) -> None:
    kit = Kit(build())
    answer = await kit.infer(provider="fake", model=model, inputs=inputs, parameters={"schema": schema})
    told = [(each.field, each.action) for each in answer.adaptations]
    assert told == [("parameters.schema", "dropped")]
    with pytest.raises(BadRequest) as refused:
        await kit.infer(
            provider="fake", model=model, inputs=inputs, parameters={"schema": schema, "strict": True}
        )
    assert refused.value.code == "strict"
