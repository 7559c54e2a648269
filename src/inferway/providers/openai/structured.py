"""A caller's JSON Schema in the best form that a server takes: strict, as given, JSON mode, or an instruction alone."""

import re
from typing import Any, Literal

import msgspec
from msgspec import Struct

from inferway.errors import BadRequest
from inferway.providers.openai.quirks import Quirks
from inferway.providers.openai.strict import to_strict
from inferway.providers.schema import AnySchema, Schema, as_object, check_depth, needs_wrapper, wrap

FIELD = "parameters.schema"


class Plan(Struct, frozen=True, kw_only=True):
    """How structured output is asked for. `wrapped` answers are `{"value": …}`; `told` is what the caller should know."""

    method: Literal["native", "json_mode", "prompt"]
    wrapped: bool
    response_format: dict[str, Any] | None = None
    instruction: str | None = None
    told: tuple[str, ...] = ()


def find_method(quirks: Quirks, facts: Any) -> Literal["native", "json_mode", "prompt"]:
    """How this model is asked for JSON: the server's best way, unless the model's facts name another."""
    way = facts.get("structured", quirks.structured)
    return {"json_schema": "native", "json_object": "json_mode"}.get(way, "prompt")  # type: ignore[return-value]


def plan_structure(
    schema: AnySchema, quirks: Quirks, method: Literal["native", "json_mode", "prompt"]
) -> Plan:
    """The plan for one schema; raises `BadRequest` for one that nothing can satisfy or that is nested too deep."""
    if schema is False:
        raise BadRequest("parameters/schema: nothing satisfies false", code="impossible_schema")
    check_depth(schema)
    wrapped = needs_wrapper(schema)
    root: Schema = wrap(schema) if wrapped or isinstance(schema, bool) else as_object(schema)
    told = (
        ("sent inside an object, because the root must be one; the answer is unwrapped",) if wrapped else ()
    )
    if method == "native":
        return _native(schema, root, quirks, told, wrapped=wrapped)
    return Plan(
        method=method,
        wrapped=wrapped,
        response_format={"type": "json_object"} if method == "json_mode" else None,
        instruction=_instruction(root),
        told=(*told, "given to the model as an instruction, because the server has no such parameter"),
    )


def _native(schema: AnySchema, root: Schema, quirks: Quirks, told: tuple[str, ...], *, wrapped: bool) -> Plan:
    json_schema: dict[str, Any] = {"name": _name(schema), "schema": root}
    if quirks.strict_schemas:
        strict = to_strict(root)
        json_schema |= {"schema": root if strict is None else strict, "strict": strict is not None}
        if strict is None:
            told = (*told, "sent without strict mode, which cannot express it; the answer is checked here")
    return Plan(
        method="native",
        wrapped=wrapped,
        response_format={"type": "json_schema", "json_schema": json_schema},
        told=told,
    )


def _name(schema: AnySchema) -> str:
    """The schema's title as the name that the API wants: 1 to 64 of letters, digits, `_` and `-`."""
    title = schema.get("title") if isinstance(schema, dict) else None
    name = re.sub(r"[^a-zA-Z0-9_-]+", "_", title)[:64].strip("_") if isinstance(title, str) else ""
    return name or "answer"


def _instruction(schema: Schema) -> str:
    return (
        "Answer with one JSON object that satisfies this JSON Schema, and with nothing before or after it:\n"
        + msgspec.json.encode(schema).decode()
    )
