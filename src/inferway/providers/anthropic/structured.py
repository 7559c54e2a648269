"""How a wanted schema is asked for: the model's own output format, a forced tool, or a plain instruction."""

from typing import Any, Literal

import msgspec
from msgspec import Struct

from inferway.errors import BadRequest
from inferway.providers.anthropic.native_schema import to_native
from inferway.providers.base import Facts
from inferway.providers.schema import AnySchema, Schema, as_object, check_depth, needs_wrapper, wrap
from inferway.types import Adaptation, Parameters

TOOL_NAME = "structured_answer"
_TOOL_DESCRIPTION = "Gives the final answer. Call it once, with the whole answer."


class Asked(Struct, frozen=True, kw_only=True):
    """What is sent for a schema, and so how the answer has to be read.

    `tool` is the name of the answering tool for the method `tool`. `wrapped` says that the answer comes as `{"value": …}`.
    """

    method: Literal["native", "tool", "prompt"]
    schema: Schema
    wrapped: bool = False
    tool: str = ""
    adaptations: tuple[Adaptation, ...] = ()


def find_asked(parameters: Parameters, facts: Facts) -> Asked | None:
    """How the schema of these parameters is asked for, or None without a schema; the same for the same parameters and facts.

    Raises `BadRequest` for a schema nested too deep, or one that nothing satisfies.

    A tool that is never called (the caller demands another, or none at all)
    cannot carry the answer, so an instruction does.
    """
    if parameters.schema is None or facts.get("schema") is False:
        return None
    if parameters.schema is False:
        raise BadRequest(
            "parameters/schema: no answer can satisfy the schema false", code="impossible_schema"
        )
    wrapped = needs_wrapper(parameters.schema)
    whole = _object(parameters.schema)
    if facts.get("output_format") is not False:
        native = to_native(whole)
        if native is not None:
            return Asked(method="native", schema=native, wrapped=wrapped, adaptations=_told(native, whole))
    if facts.get("forced_tool") is not False and parameters.tool_choice in (None, "auto"):
        return _as_tool(parameters, whole, wrapped=wrapped)
    return _as_instruction(parameters.schema)


def _object(schema: AnySchema) -> Schema:
    if isinstance(schema, bool) or needs_wrapper(schema):
        return wrap(schema)
    check_depth(schema)
    return as_object(schema)


def _told(native: Schema, whole: Schema) -> tuple[Adaptation, ...]:
    if native == whole:
        return ()
    reason = (
        "rewritten for the provider's output format: objects closed, unsupported limits moved into descriptions; "
        "the answer is checked against the schema as given"
    )
    return (Adaptation(field="parameters.schema", action="translated", reason=reason),)


def _as_tool(parameters: Parameters, schema: Schema, *, wrapped: bool) -> Asked:
    taken = {tool.name for tool in parameters.tools or ()}
    name = TOOL_NAME
    while name in taken:
        name += "_"
    reason = "this model's own output format cannot carry it, so it was sent as a tool that gives the answer"
    told = Adaptation(field="parameters.schema", action="translated", reason=reason)
    return Asked(method="tool", schema=schema, wrapped=wrapped, tool=name, adaptations=(told,))


def _as_instruction(schema: AnySchema) -> Asked:
    reason = (
        "neither this model's output format nor a forced tool can carry it, so it was sent as an instruction"
    )
    told = Adaptation(field="parameters.schema", action="translated", reason=reason)
    given = schema if isinstance(schema, dict) else {"anyOf": [schema]}
    return Asked(method="prompt", schema=given, adaptations=(told,))


def instruction(asked: Asked) -> str:
    """The system text that asks for the schema in words."""
    schema = msgspec.json.encode(asked.schema).decode()
    return (
        f"Answer with JSON only, without any other text. The JSON has to satisfy this JSON Schema:\n{schema}"
    )


def answering_tool(asked: Asked) -> dict[str, Any]:
    """The tool whose input is the answer."""
    return {"name": asked.tool, "description": _TOOL_DESCRIPTION, "input_schema": asked.schema}
