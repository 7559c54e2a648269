"""How a wanted schema is asked of Gemini: its own response schema, or an instruction where the model cannot take both schema and tools."""

from typing import Any, Literal

import msgspec
from msgspec import Struct

from inferway.providers.base import Facts
from inferway.providers.schema import (
    AnySchema,
    Schema,
    as_object,
    check_depth,
    find_local,
    is_object_schema,
    wrap,
)
from inferway.types import Adaptation, Parameters

_JSON = "application/json"
_LONGEST_CHAIN = 16


class Asked(Struct, frozen=True, kw_only=True):
    """What a schema becomes: fields of `generationConfig`, or a system text; `wrapped` says that the answer is `{"value": …}`."""

    method: Literal["native", "prompt"]
    config: dict[str, Any] = {}
    instruction: str = ""
    wrapped: bool = False
    adaptations: tuple[Adaptation, ...] = ()


def find_asked(parameters: Parameters, facts: Facts) -> Asked | None:
    """How the schema of these parameters is asked for, or None without one that the model takes.

    The same parameters and facts always give the same. Raises `BadRequest` for a schema nested too deep. Source: Gemini API guide,
    structured output.
    """
    schema = parameters.schema
    if schema is None or facts.get("schema") is False:
        return None
    if parameters.tools and facts.get("schema_with_tools") is False:
        return _as_instruction(schema)
    wrapped = not _gives_object(schema, schema)
    whole = _whole(schema, wrapped=wrapped)
    field = "responseSchema" if facts.get("json_schema") is False else "responseJsonSchema"
    return Asked(method="native", config={"responseMimeType": _JSON, field: whole}, wrapped=wrapped)


def _whole(schema: AnySchema, *, wrapped: bool) -> Schema:
    if isinstance(schema, bool) or wrapped:
        return wrap(schema)
    check_depth(schema)
    return as_object(schema) if is_object_schema(schema) else schema


def _gives_object(schema: AnySchema, root: AnySchema, steps: int = 0) -> bool:
    """Whether the root can only be an object; Gemini takes `$ref` and unions of objects at the root as they are."""
    if isinstance(schema, bool) or isinstance(root, bool) or steps > _LONGEST_CHAIN:
        return False
    if is_object_schema(schema):
        return True
    reference = schema.get("$ref")
    if isinstance(reference, str):
        found = find_local(root, reference)
        return found is not None and _gives_object(found, root, steps + 1)
    for key in ("anyOf", "oneOf"):
        choices = schema.get(key)
        if isinstance(choices, list) and choices:
            return all(isinstance(item, dict) and _gives_object(item, root, steps + 1) for item in choices)
    return False


def _as_instruction(schema: AnySchema) -> Asked:
    reason = "this model takes no response schema beside tools, so it was sent as an instruction"
    text = msgspec.json.encode(schema).decode()
    return Asked(
        method="prompt",
        instruction=f"Give the final answer as JSON only, without any other text. It has to satisfy this JSON Schema:\n{text}",
        adaptations=(Adaptation(field="parameters.schema", action="translated", reason=reason),),
    )
