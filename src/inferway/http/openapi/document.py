"""Makes the description of the API, OpenAPI 3.1, out of the table of its routes."""

import re
from collections.abc import Iterable
from typing import Any

import msgspec

import inferway
from inferway.http.openapi.events import EVENTS
from inferway.http.openapi.failures import ErrorEnvelope
from inferway.http.openapi.filters import complete_filters
from inferway.http.openapi.inference import complete, nested_types
from inferway.http.openapi.links import LINKS
from inferway.http.openapi.operation import Content, Operation
from inferway.http.openapi.words import PLACES, STATUSES, TOPICS

_REFERENCE = "#/components/schemas/"
_NAMES = {"Body": "InferenceCall"}
_REQUEST_ID = {
    "name": "X-Request-Id",
    "in": "header",
    "description": "Up to 128 letters, digits, `.`, `_` and `-`: echoed in the answer. Another text counts as not given.",
    "schema": {"type": "string"},
}
_HEADERS: dict[str, Any] = {
    "X-Request-Id": {
        "description": "The request's id, to be quoted.",
        "required": True,
        "schema": {"type": "string"},
    },
    "Server-Timing": {
        "description": "Milliseconds in the gateway and with the provider.",
        "schema": {"type": "string"},
    },
}
_LIMIT_HEADERS: dict[str, Any] = {
    f"X-RateLimit-{name}": {"description": about, "schema": {"type": "integer", "minimum": 0}}
    for name, about in (
        ("Limit", "How many calls the key may make in the window."),
        ("Remaining", "How many of them are left now."),
        ("Reset", "When all are there again, as a unix time."),
        ("Window", "The window in seconds."),
    )
}
_RETRY_AFTER: dict[str, Any] = {
    "Retry-After": {
        "description": "Seconds to wait.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    }
}
_MORE_HEADERS: dict[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": {"required": True, "schema": {"const": "Bearer"}}},
    429: _RETRY_AFTER,
    503: _RETRY_AFTER,
}
_ABOUT = """One call for chat, vision, embeddings and transcription, whichever provider serves it, and the administration of
who may make it.

Every request has a key in `Authorization: Bearer sk_…`, but for health and this description. Every failure has the same shape."""


def make_document(operations: Iterable[Operation]) -> dict[str, Any]:
    """The whole document."""
    listed = tuple(operations)
    shapes = _Shapes(listed)
    paths: dict[str, Any] = {}
    for operation in listed:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation, shapes)
    topics = {topic: about for topic, about in TOPICS.values() if any(topic == each.topic for each in listed)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Inferway",
            "version": inferway.__version__,
            "summary": "A self-hosted gateway for raw inference.",
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": topic, "description": about} for topic, about in topics.items()],
        "paths": paths,
        "components": {
            "schemas": shapes.schemas,
            "responses": {name: _refusal(status) for status, (name, _) in STATUSES.items()},
            "parameters": {"RequestId": _REQUEST_ID},
            "headers": _HEADERS | _LIMIT_HEADERS,
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "An API key: `sk_…`."}
            },
        },
    }


class _Shapes:
    """The schemas of everything that the routes take and answer."""

    def __init__(self, operations: tuple[Operation, ...]) -> None:
        kinds = [each.kind for one in operations for each in one.contents() if each.kind is not None]
        also = (ErrorEnvelope, *EVENTS.values(), *nested_types())
        listed = tuple(dict.fromkeys([*kinds, *also]))
        found, components = msgspec.json.schema_components(listed, ref_template=_REFERENCE + "{name}")
        complete(components)
        complete_filters(components)
        self._of = {kind: _tidy(schema) for kind, schema in zip(listed, found, strict=True)}
        self.schemas = {_named(name): _tidy(components[name]) for name in sorted(components)}

    def of(self, content: Content) -> dict[str, Any]:
        """The schema of a content."""
        if content.kind is None:
            return {"type": "string"}
        found: dict[str, Any] = self._of[content.kind]
        return found


def _named(name: str) -> str:
    return _NAMES.get(name, name.lstrip("_"))


def _tidy(schema: Any) -> Any:
    """A schema as a reader outside wants it: no title that says its own name, null for None, short forms for what may be null."""
    if isinstance(schema, list):
        return [_tidy(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    told = {name: _tidy(value) for name, value in schema.items() if name != "title" or " " in str(value)}
    if "$ref" in told and isinstance(told["$ref"], str):
        told["$ref"] = _REFERENCE + _named(told["$ref"].removeprefix(_REFERENCE))
    if isinstance(told.get("description"), str):
        told["description"] = re.sub(r"\bNone\b", "null", " ".join(told["description"].split()))
    if told.get("required") == []:
        del told["required"]
    return _nullable(told)


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    match schema.get("anyOf"):
        case [{"type": str(kind)} as one, {"type": "null"}] if one.keys() == {"type"}:
            rest = {name: value for name, value in schema.items() if name != "anyOf"}
            return {**one, "type": [kind, "null"], **rest}
        case [one, {"type": "null"}] if not one:
            return {name: value for name, value in schema.items() if name != "anyOf"}
        case _:
            return schema


def _described(operation: Operation, shapes: _Shapes) -> dict[str, Any]:
    """One operation of the document."""
    told: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.topic],
        "summary": operation.summary,
        "description": _needs(operation),
        "parameters": _parameters(operation),
        "responses": _responses(operation, shapes),
        "security": [] if operation.permission is None else [{"key": []}],
        "x-permission": operation.permission,
    }
    if operation.body is not None:
        told["requestBody"] = {
            "required": not operation.may_lack_body,
            "content": _media((operation.body,), shapes),
        }
    return {name: value for name, value in told.items() if value or name == "security"}


def _needs(operation: Operation) -> str:
    need = operation.permission
    return " ".join(filter(None, (operation.about, need and f"The key needs the permission `{need}`.")))


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    places = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": PLACES[name],
            "schema": {"type": "string", "minLength": 1},
        }
        for name in operation.places
    ]
    asked = [
        {"name": each.name, "in": "query", "description": each.about, "schema": each.schema()}
        for each in operation.query
    ]
    return [*places, *asked, *operation.headers, {"$ref": "#/components/parameters/RequestId"}]


def _responses(operation: Operation, shapes: _Shapes) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for status, contents in operation.answers.items():
        answer: dict[str, Any] = {"description": _said(status, contents), "headers": _references(_HEADERS)}
        if contents:
            answer["content"] = _media(contents, shapes)
        if operation.topic == TOPICS["Inference"][0]:
            answer["headers"] |= _references(_LIMIT_HEADERS)
        if operation.name in LINKS:
            answer["links"] = LINKS[operation.name]
        found[str(status)] = answer
    for status in operation.refusals:
        found.setdefault(str(status), {"$ref": f"#/components/responses/{STATUSES[status][0]}"})
    return dict(sorted(found.items()))


def _said(status: int, contents: tuple[Content, ...]) -> str:
    if not contents:
        return "Nothing has changed."
    return contents[0].about or ("Done." if status == 200 else STATUSES[status][1])


def _media(contents: tuple[Content, ...], shapes: _Shapes) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for content in contents:
        found[content.media_type] = {"schema": shapes.of(content)}
        if content.examples:
            found[content.media_type]["examples"] = content.examples
        if content.media_type == "text/event-stream":
            found[content.media_type]["x-events"] = {
                name: {"$ref": _REFERENCE + kind.__name__} for name, kind in EVENTS.items()
            }
    return found


def _refusal(status: int) -> dict[str, Any]:
    more = _MORE_HEADERS.get(status, {})
    limits = _references(_LIMIT_HEADERS) if status == 429 else {}
    return {
        "description": STATUSES[status][1],
        "headers": _references(_HEADERS) | more | limits,
        "content": {"application/json": {"schema": {"$ref": _REFERENCE + "ErrorEnvelope"}}},
    }


def _references(headers: dict[str, Any]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in headers}
