"""A caller's schema wrapped for providers that want an object, and answers unwrapped."""

import json
import time
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferway.errors import BadRequest, CallerError
from inferway.providers.openai.strict import to_strict
from inferway.providers.schema import (
    AnySchema,
    StreamUnwrapper,
    as_object,
    check_depth,
    find_local,
    needs_wrapper,
    unwrap,
    wrap,
)

NODE = {
    "$defs": {"Node": {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}}}},
    "$ref": "#/$defs/Node",
}  # fmt: skip


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": ["object"]},
        {"properties": {"a": {}}},
        {"type": "object", "required": ["a"]},
    ],
)
def test_an_object_at_the_root_needs_no_wrapper(schema: dict[str, Any]) -> None:
    assert not needs_wrapper(schema)
    assert as_object(schema)["type"] == "object"


@pytest.mark.parametrize(
    "schema",
    [
        True,
        {},
        {"type": "array"},
        {"type": ["object", "null"]},
        {"anyOf": [{"type": "object"}]},
        {"enum": [1]},
        NODE,
    ],
)
def test_anything_else_does(schema: AnySchema) -> None:
    assert needs_wrapper(schema)
    assert not needs_wrapper(wrap(schema))


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "array", "items": {"type": "integer"}}, [1, 2], ["x"]),
        (NODE, {"next": {"next": None}}, {"next": 5}),
        ({"type": "array", "items": {"anyOf": [{"$ref": "#"}, {"type": "integer"}]}}, [[1], 2], [["x"]]),
        ({"anyOf": [{"type": "integer"}, {"type": "array", "items": {"$ref": "#/anyOf/0"}}]}, [3], ["x"]),
        ({"definitions": {"a/b": {"type": "string"}}, "type": "array", "items": {"$ref": "#/definitions/a~1b"}}, ["x"], [1]),
        ({"$id": "https://x.example/s", "type": "array", "items": {"anyOf": [{"$ref": "https://x.example/s#"}, {"const": 1}]}},
         [[1]], [2]),
        ({"enum": [{"$ref": "#"}]}, {"$ref": "#"}, {"$ref": "#/properties/value"}),
        (True, 5, None),
    ],
)  # fmt: skip
def test_a_wrapper_accepts_what_the_schema_accepts(schema: AnySchema, good: object, bad: object) -> None:
    validator = jsonschema_rs.validator_for(wrap(schema))
    assert validator.is_valid({"value": good})
    assert bad is None or not validator.is_valid({"value": bad})
    assert not validator.is_valid(good)


def test_wrapping_does_not_change_the_callers_schema() -> None:
    before = json.dumps(NODE)
    wrap(NODE)
    assert json.dumps(NODE) == before


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return schema


def test_depth_is_bounded() -> None:
    check_depth(nested(64))
    with pytest.raises(BadRequest) as caught:
        wrap(nested(65))
    assert caught.value.code == "schema_too_deep"
    assert caught.value.details is not None
    assert caught.value.details["path"].startswith("/items/items")


def test_local_references_are_found() -> None:
    root = {"$defs": {"a/b~c": {"type": "string"}}, "anyOf": [{"type": "null"}]}
    assert find_local(root, "#") is root
    assert find_local(root, "#/$defs/a~1b~0c") == {"type": "string"}
    assert find_local(root, "#/anyOf/0") == {"type": "null"}
    for missing in (
        "#/anyOf/7",
        "#/anyOf/" + "9" * 5000,
        "#/anyOf/²",
        "#/nothing",
        "other",
        "#name",
        "#/anyOf",
    ):
        assert find_local(root, missing) is None


@pytest.mark.parametrize(
    ("text", "unwrapped"),
    [
        ('{"value":[1,2,{"a":"}\\" ,"}]}', '[1,2,{"a":"}\\" ,"}]'),
        (' {\n "value" : "a b" \n}\n', '"a b"'),
        ('{"value":12}', "12"),
        ('{"value":""}', '""'),
        ('{"value": [1,2', "[1,2"),
        ('{"value":1,"x":2}', '1,"x":2}'),
        ('{"value":1} junk', "1} junk"),
        ('{"values":1}', '{"values":1}'),
        ("[1]", "[1]"),
        ("{", "{"),
        ("", ""),
    ],
)
def test_an_answer_is_unwrapped_the_same_in_any_pieces(text: str, unwrapped: str) -> None:
    assert unwrap(text) == unwrapped
    for size in range(1, len(text)):
        unwrapper = StreamUnwrapper()
        pieces = [unwrapper.feed(text[start : start + size]) for start in range(0, len(text), size)]
        assert "".join(pieces) + unwrapper.finish() == unwrapped


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(JSON_VALUES, st.sampled_from([None, 1, 2]), st.lists(st.integers(1, 7), min_size=1))
def test_unwrapping_undoes_wrapping(value: object, indent: int | None, sizes: list[int]) -> None:
    text = json.dumps({"value": value}, indent=indent)
    unwrapper = StreamUnwrapper()
    pieces, rest, turn = [], text, 0
    while rest:
        size = sizes[turn % len(sizes)]
        pieces.append(unwrapper.feed(rest[:size]))
        rest, turn = rest[size:], turn + 1
    assert json.loads("".join(pieces) + unwrapper.finish()) == value
    assert "".join(pieces) + "" == unwrap(text)


@given(st.text('{}[]":,value 1\\', max_size=30), st.integers(1, 5))
def test_any_text_is_the_same_in_pieces(text: str, size: int) -> None:
    unwrapper = StreamUnwrapper()
    pieces = [unwrapper.feed(text[start : start + size]) for start in range(0, len(text), size)]
    assert "".join(pieces) + unwrapper.finish() == unwrap(text)


@pytest.mark.parametrize("begun", ["", '{"value": 1', '{"value": 1}'])
def test_blanks_without_end_cost_no_more_than_other_text(begun: str) -> None:
    unwrapper = StreamUnwrapper()
    unwrapper.feed(begun)
    started = time.process_time()
    for _ in range(40_000):
        assert unwrapper.feed("\n   ") == ""
    assert time.process_time() - started < 3


KEYWORDS = (
    "type", "properties", "required", "items", "anyOf", "oneOf", "allOf", "$ref", "$defs", "enum", "const", "format",
    "pattern", "additionalProperties", "title", "description", "$id", "minLength", "not", "value",
)  # fmt: skip
NONSENSE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["object", "#", "#/$defs/a", "string", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYWORDS), inner, max_size=5),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(KEYWORDS), NONSENSE, max_size=6))
def test_no_schema_however_malformed_does_more_than_be_refused(schema: dict[str, Any]) -> None:
    try:
        needs_wrapper(schema)
        wrapped = wrap(schema)
        to_strict(wrapped)
        to_strict(schema)
    except CallerError:
        pass
