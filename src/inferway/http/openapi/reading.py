"""The description of the API as people read it: one operation with everything that it takes and answers, in words and tables."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

_SCHEMAS = "#/components/schemas/"
_BOUNDS = (
    ("minimum", "from {}"),
    ("exclusiveMinimum", "above {}"),
    ("maximum", "to {}"),
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {} characters"),
    ("minItems", "at least {} items"),
    ("maxItems", "at most {} items"),
    ("maxProperties", "at most {} names"),
    ("format", "{}"),
)


class Word(Struct, frozen=True, kw_only=True):
    """A piece of a type in words; `shape` is the name of the shape that it leads to, if it is one."""

    text: str
    shape: str | None = None


class Field(Struct, frozen=True, kw_only=True):
    """A parameter, or a field of an object. `bounds` say what else holds for its values."""

    name: str
    place: str
    words: tuple[Word, ...]
    bounds: str
    is_required: bool
    about: str


class Shape(Struct, frozen=True, kw_only=True):
    """An object or another type with a name."""

    name: str
    about: str
    words: tuple[Word, ...]
    fields: tuple[Field, ...]


class Answer(Struct, frozen=True, kw_only=True):
    """What comes with one status; `kinds` are media types with what they hold."""

    status: str
    about: str
    kinds: tuple[tuple[str, tuple[Word, ...]], ...]
    headers: tuple[str, ...]


class Reading(Struct, frozen=True, kw_only=True):
    """One operation."""

    name: str
    method: str
    path: str
    topic: str
    summary: str
    about: str
    permission: str | None
    parameters: tuple[Field, ...]
    body: tuple[Word, ...]
    needs_body: bool
    examples: tuple[tuple[str, str], ...]
    answers: tuple[Answer, ...]
    events: tuple[tuple[str, str], ...]
    shapes: tuple[Shape, ...]


class Line(Struct, frozen=True, kw_only=True):
    """An operation in the list of all."""

    name: str
    method: str
    path: str
    summary: str
    is_open: bool


def read_topics(document: dict[str, Any]) -> tuple[tuple[str, str, tuple[Line, ...]], ...]:
    """All operations by topic: its name, what it is about, and its operations."""
    lines = [(told["tags"][0], _line(path, method, told)) for path, method, told in _operations(document)]
    return tuple(
        (tag["name"], tag["description"], tuple(line for topic, line in lines if topic == tag["name"]))
        for tag in document["tags"]
    )


def find_reading(document: dict[str, Any], name: str) -> Reading | None:
    """One operation by its name."""
    for path, method, told in _operations(document):
        if told["operationId"] == name:
            return _reading(document, path, method, told)
    return None


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            yield path, method.upper(), told


def _line(path: str, method: str, told: dict[str, Any]) -> Line:
    return Line(
        name=told["operationId"],
        method=method,
        path=path,
        summary=told["summary"],
        is_open=not told["security"],
    )


def _reading(document: dict[str, Any], path: str, method: str, told: dict[str, Any]) -> Reading:
    content = told.get("requestBody", {}).get("content", {}).get("application/json", {})
    answers = [(status, _followed(document, each)) for status, each in told["responses"].items()]
    media = [kind for _, each in answers for kind in each.get("content", {}).values()]
    events = {name: each["$ref"] for kind in media for name, each in kind.get("x-events", {}).items()}
    return Reading(
        name=told["operationId"],
        method=method,
        path=path,
        topic=told["tags"][0],
        summary=told["summary"],
        about=told.get("description", ""),
        permission=told.get("x-permission"),
        parameters=tuple(_parameter(_followed(document, each)) for each in told.get("parameters", ())),
        body=words_of(content["schema"]) if content else (),
        needs_body=told.get("requestBody", {}).get("required", False),
        examples=tuple(_example(each) for each in content.get("examples", {}).values()),
        answers=tuple(_answer(status, each) for status, each in answers),
        events=tuple((name, reference.removeprefix(_SCHEMAS)) for name, reference in events.items()),
        shapes=tuple(
            _shape(name, document["components"]["schemas"][name])
            for name in _reached(document, [content, *media])
        ),
    )


def _followed(document: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    """What a reference leads to, or the value itself."""
    if "$ref" not in value:
        return value
    found: Any = document
    for step in value["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    told: dict[str, Any] = found
    return told


def _example(example: dict[str, Any]) -> tuple[str, str]:
    return example["summary"], json.dumps(example["value"], indent=2, ensure_ascii=False)


def _answer(status: str, told: dict[str, Any]) -> Answer:
    return Answer(
        status=status,
        about=told["description"],
        kinds=tuple((kind, words_of(each["schema"])) for kind, each in told.get("content", {}).items()),
        headers=tuple(told.get("headers", {})),
    )


def _parameter(told: dict[str, Any]) -> Field:
    return Field(
        name=told["name"],
        place=told["in"],
        words=words_of(told["schema"]),
        bounds=_bounds(told["schema"]),
        is_required=told.get("required", False),
        about=told["description"],
    )


def _shape(name: str, schema: dict[str, Any]) -> Shape:
    required = schema.get("required", ())
    fields = tuple(
        Field(
            name=each,
            place="body",
            words=words_of(told),
            bounds=_bounds(told),
            is_required=each in required,
            about=told.get("description", ""),
        )
        for each, told in schema.get("properties", {}).items()
    )
    words = () if fields else words_of({key: value for key, value in schema.items() if key != "title"})
    return Shape(name=name, about=schema.get("description", ""), words=words, fields=fields)


def _reached(document: dict[str, Any], roots: list[Any]) -> list[str]:
    """The names of all shapes that some values lead to, in the order in which a reader meets them."""
    found: dict[str, None] = {}
    waiting = list(roots)
    while waiting:
        value = waiting.pop(0)
        if isinstance(value, list):
            waiting[:0] = value
        elif isinstance(value, dict):
            reference = value.get("$ref")
            name = reference.removeprefix(_SCHEMAS) if isinstance(reference, str) else None
            if name is not None and name not in found:
                found[name] = None
                waiting.append(document["components"]["schemas"][name])
            waiting[:0] = [each for key, each in value.items() if key not in ("examples", "mapping")]
    return list(found)


def words_of(schema: dict[str, Any]) -> tuple[Word, ...]:  # noqa: PLR0911 - a table of cases
    """A type in words."""
    match schema:
        case {"$ref": reference}:
            name = reference.removeprefix(_SCHEMAS)
            return (Word(text=name, shape=name),)
        case {"const": value}:
            return (Word(text=_json(value)),)
        case {"enum": values}:
            return (Word(text=" or ".join(map(_json, values))),)
        case {"anyOf": several} if all(each.keys() & {"type", "$ref", "enum", "anyOf"} for each in several):
            return _joined(several)
        case {"type": "array", "items": items}:
            return (Word(text="list of "), *words_of(items))
        case {"type": "object", "additionalProperties": dict() as values} if values:
            return (Word(text="object of "), *words_of(values))
        case {"type": list() as kinds}:
            return (Word(text=" or ".join(kinds)),)
        case {"type": str() as kind}:
            return (Word(text=kind),)
        case _:
            return (Word(text="anything"),)


def _joined(several: list[dict[str, Any]]) -> tuple[Word, ...]:
    words: list[Word] = []
    for each in several:
        if words:
            words.append(Word(text=" or "))
        words += words_of(each)
    return tuple(words)


def _bounds(schema: dict[str, Any]) -> str:
    """What else holds for a value, of the type itself or of what it may be beside null."""
    kinds = [schema, *(each for each in schema.get("anyOf", ()) if each.get("type") != "null")]
    said = [form.format(each[name]) for each in kinds[:2] for name, form in _BOUNDS if name in each]
    if schema.get("default") is not None:
        said.append(f"default {_json(schema['default'])}")
    return ", ".join(said)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode("utf-8")
