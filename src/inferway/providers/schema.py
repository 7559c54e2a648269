"""A caller's JSON Schema made fit for a provider: wrapped when the root must be an object, closed for OpenAI's strict mode.

Everything sent accepts less than the caller's schema, or the same; where a limit has to be left out, the answer is still
checked against the caller's own schema afterwards.
"""

from collections.abc import Callable, Mapping
from typing import Any

from inferway.errors import BadRequest

Schema = dict[str, Any]
AnySchema = dict[str, Any] | bool

DEPTH_LIMIT = 64
VALUE = "value"
"""The one property of a wrapper."""

_ONE = frozenset(
    "additionalProperties additionalItems items not if then else contains propertyNames contentSchema"
    " unevaluatedItems unevaluatedProperties".split()
)
_LIST = frozenset(("allOf", "anyOf", "oneOf", "prefixItems", "items"))
_MAP = frozenset(
    ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies")
)
DEFINITIONS = ("$defs", "definitions")


def map_schemas(schema: Schema, change: Callable[[Schema, str], object]) -> Schema:
    """A copy of a schema with every direct subschema replaced by `change(subschema, where)`.

    `where` is the pointer from this schema to the subschema. Booleans, and everything that is no schema (`enum`, `const`,
    `default`, …), stay as they are.
    """
    return {key: _map_keyword(key, value, change) for key, value in schema.items()}


def _map_keyword(key: str, value: object, change: Callable[[Schema, str], object]) -> object:
    if key in _ONE and isinstance(value, dict):
        return change(value, f"/{key}")
    if key in _LIST and isinstance(value, list):
        return [
            change(item, f"/{key}/{n}") if isinstance(item, dict) else item for n, item in enumerate(value)
        ]
    if key in _MAP and isinstance(value, dict):
        return {
            name: change(item, f"/{key}/{escape(name)}") if isinstance(item, dict) else item
            for name, item in value.items()
        }
    return value


def check_depth(schema: AnySchema) -> None:
    """Raise `BadRequest` (code `schema_too_deep`) when schemas are nested deeper than `DEPTH_LIMIT`."""
    _check_depth(schema, "", 0)


def _check_depth(schema: AnySchema, where: str, depth: int) -> None:
    if isinstance(schema, bool):
        return
    if depth > DEPTH_LIMIT:
        raise BadRequest(
            f"parameters.schema is nested deeper than {DEPTH_LIMIT} levels",
            code="schema_too_deep",
            details={"path": where[:200]},
        )
    map_schemas(schema, lambda sub, below: _check_depth(sub, where + below, depth + 1))


def is_object_schema(schema: AnySchema) -> bool:
    """Whether the root says by itself that the answer is an object, as providers want it.

    Properties without a type count: the type is added by `as_object`.
    """
    if isinstance(schema, bool) or any(key in schema for key in ("$ref", "anyOf", "oneOf", "enum", "const")):
        return False
    kind = schema.get("type", "object" if "properties" in schema else None)
    return kind in ("object", ["object"])


def needs_wrapper(schema: AnySchema) -> bool:
    """Whether a provider that wants an object at the root needs this schema wrapped as `{"value": …}`."""
    return not is_object_schema(schema)


def as_object(schema: Schema) -> Schema:
    """The schema with its type said plainly: `{"properties": …}` becomes an object schema."""
    return schema if schema.get("type") == "object" else {**schema, "type": "object"}


def wrap(schema: AnySchema) -> Schema:
    """An object schema whose only property `value` is the given schema; definitions move to the root and local references follow."""
    check_depth(schema)
    if isinstance(schema, bool):
        return _wrapper({} if schema else {"not": {}}, {})
    hoisted = {key: schema[key] for key in DEFINITIONS if isinstance(schema.get(key), dict)}
    inner = {
        key: value for key, value in schema.items() if key not in hoisted and key not in ("$id", "$schema")
    }
    own_id = schema.get("$id")
    point = _Repointer(own_id if isinstance(own_id, str) else "")
    return _wrapper(point(inner, ""), map_schemas(hoisted, point))


def _wrapper(value: AnySchema, definitions: Schema) -> Schema:
    return {
        "type": "object",
        "properties": {VALUE: value},
        "required": [VALUE],
        "additionalProperties": False,
        **definitions,
    }


class _Repointer:
    """Rewrites the references of a schema that is moved below a wrapper."""

    def __init__(self, own_id: str) -> None:
        self._own_id = own_id.rstrip("#")

    def __call__(self, schema: Schema, _where: str) -> Schema:
        changed = map_schemas(schema, self)
        for key in ("$ref", "$dynamicRef"):
            target = changed.get(key)
            if isinstance(target, str):
                changed[key] = self._repoint(target)
        return changed

    def _repoint(self, target: str) -> str:
        if self._own_id and target.startswith(f"{self._own_id}#"):
            target = target[len(self._own_id) :]
        elif self._own_id and target == self._own_id:
            target = "#"
        if target == "#":
            return f"#/properties/{VALUE}"
        if not target.startswith("#/") or target.startswith(tuple(f"#/{key}/" for key in DEFINITIONS)):
            return target
        return f"#/properties/{VALUE}{target[1:]}"


def escape(name: str) -> str:
    """A name as one step of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")


def find_local(root: Schema, reference: str) -> Schema | None:
    """The schema that a local reference (`#`, `#/…`) names, or None."""
    if reference == "#":
        return root
    if not reference.startswith("#/"):
        return None
    found: object = root
    for step in reference[2:].split("/"):
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, Mapping):
            found = found.get(name)
        elif isinstance(found, list) and name.isascii() and name.isdigit() and int(name[:6]) < len(found):
            found = found[int(name)]
        else:
            return None
    return found if isinstance(found, dict) else None


class StreamUnwrapper:
    """Takes the wrapper `{"value": …}` off an answer that arrives in pieces.

    The text of the value passes through as it is. An answer that does not begin as a wrapper passes through whole; what follows the value
    inside the wrapper passes through too, so that a broken answer stays visibly broken. Each character is looked at once: some models
    end in blanks without end.
    """

    def __init__(self) -> None:
        self._held: list[str] = []
        self._opened = 0
        self._closed = False
        self._step: Callable[[str], str] = self._head
        self._depth = 0
        self._in_string = False
        self._escaped = False

    def feed(self, text: str) -> str:
        """The unwrapped text that these characters complete, possibly none."""
        return self._step(text)

    def finish(self) -> str:
        """What was held back and turned out not to belong to a wrapper."""
        held = self._take_held()
        return held if self._step == self._head else ""

    def _take_held(self) -> str:
        held = "".join(self._held)
        self._held.clear()
        return held

    def _head(self, text: str) -> str:
        for place, character in enumerate(text):
            if character in _BLANKS and self._opened in _BLANKS_BEFORE:
                continue
            if character != _OPENING[self._opened]:
                self._step = str
                return self._take_held() + text
            self._opened += 1
            if self._opened == len(_OPENING):
                self._held.clear()
                self._step = self._before_value
                return self._before_value(text[place + 1 :])
        self._held.append(text)
        return ""

    def _before_value(self, text: str) -> str:
        text = text.lstrip(_BLANKS)
        if text:
            self._step = self._value
        return self._value(text)

    def _value(self, text: str) -> str:
        for place, character in enumerate(text):
            if self._in_string:
                self._inside_string(character)
            elif character == '"':
                self._in_string = True
            elif character in "{[":
                self._depth += 1
            elif character in "}]" and self._depth:
                self._depth -= 1
            elif character in "}," and not self._depth:
                return self._release(text[:place]) + self._tail(text[place:])
        return self._release(text)

    def _inside_string(self, character: str) -> None:
        if self._escaped:
            self._escaped = False
        elif character == "\\":
            self._escaped = True
        elif character == '"':
            self._in_string = False

    def _release(self, text: str) -> str:
        """Let the value's text go, but hold back blanks that may only stand before the closing brace."""
        kept = text if self._in_string else text.rstrip(_BLANKS)
        released = self._take_held() + kept if kept else ""
        if len(kept) < len(text):
            self._held.append(text[len(kept) :])
        return released

    def _tail(self, text: str) -> str:
        self._step = self._tail
        for character in text:
            if character == "}" and not self._closed:
                self._closed = True
            elif character not in _BLANKS:
                self._step = str
                return self._take_held() + text
        self._held.append(text)
        return ""


_BLANKS = " \t\r\n"
_OPENING = f'{{"{VALUE}":'
_BLANKS_BEFORE = (0, 1, len(_OPENING) - 1)
"""The characters of the opening that blanks may stand before: the brace, the name and the colon."""


def unwrap(text: str) -> str:
    """The JSON text of a wrapper's value; a text that is no wrapper comes back as it is (see `StreamUnwrapper`)."""
    unwrapper = StreamUnwrapper()
    return unwrapper.feed(text) + unwrapper.finish()
