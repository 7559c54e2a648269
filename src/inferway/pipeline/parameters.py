"""The `parameters` of a call: common names typed, unknown ones kept by name so that nothing is lost quietly."""

import re
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from inferway.errors import BadRequest, InvalidShape
from inferway.pipeline.inputs import NonEmpty
from inferway.pipeline.shape import json_error, shape_error
from inferway.types import NO_PARAMETERS, Parameters, Tool, ToolChoice

# No provider counts further than 64 bits, and neither do the formats in which calls go on to other processes.
_MOST = 2**63 - 1
Positive = Annotated[int, Meta(ge=1, le=_MOST)]
Whole = Annotated[int, Meta(ge=-_MOST, le=_MOST)]

_MAX_KEYS = 256
_WHOLE = re.compile(rb"(-?[0-9]{1,18})\.0+")

PARAMETER_TYPES: dict[str, Any] = {
    "temperature": Annotated[float, Meta(ge=0)],
    "max_tokens": Positive,
    "top_p": Annotated[float, Meta(ge=0, le=1)],
    "stop": NonEmpty | Annotated[tuple[NonEmpty, ...], Meta(max_length=64)],
    "seed": Whole,
    "schema": dict[str, Any] | bool,
    "system": str,
    "tools": Annotated[tuple[Tool, ...], Meta(max_length=512)],
    "tool_choice": ToolChoice,
    "reasoning_effort": str,
    "dimensions": Positive,
    "task_type": str,
    "language": str,
    "prompt": str,
    "response_format": str,
    "timeout_s": Annotated[float, Meta(gt=0)],
    "hedge_after_ms": Annotated[float, Meta(ge=0)],
    "strict": bool,
    "repair": bool,
    "extra": dict[str, Any],
}
"""The common parameters and what each may hold."""

_decoders: dict[str, msgspec.json.Decoder[Any]] = {
    name: msgspec.json.Decoder(kind) for name, kind in PARAMETER_TYPES.items()
}


def read_parameters(raw: dict[str, msgspec.Raw]) -> Parameters:
    """Read the parameters object; a null is a parameter that was not given.

    Raises `InvalidShape` for a wrong type or a value that no target takes, with its place in the body; `BadRequest` for too many.
    """
    if not raw:
        return NO_PARAMETERS
    if len(raw) > _MAX_KEYS:
        raise BadRequest(f"at most {_MAX_KEYS} parameters in one call", code="too_many_parameters")
    given: dict[str, Any] = {}
    unknown: list[str] = []
    for name, value in raw.items():
        if name not in _decoders:
            unknown.append(name[:64])
        elif bytes(value) != b"null":
            given[name] = _read(name, value)
    stop = given.get("stop")
    if stop is not None:
        given["stop"] = (stop,) if isinstance(stop, str) else stop
    return Parameters(**given, unknown=tuple(unknown))


def _read(name: str, value: msgspec.Raw) -> Any:
    try:
        return _decoders[name].decode(value)
    except msgspec.ValidationError as error:
        number = _WHOLE.fullmatch(value)
        if number is not None:
            # To JSON 1.0 and 1 are one number.
            return _read(name, msgspec.Raw(number[1]))
        raise shape_error(error, ("body", "parameters", name)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise json_error(error, f"parameters.{name}") from None


def require_tools(parameters: Parameters) -> None:
    """A tool choice must have a tool to choose.

    Raises `InvalidShape` when `tool_choice` names a tool that is not in `tools`, or asks for one when there are none.
    """
    choice = parameters.tool_choice
    if choice is None or choice in ("auto", "none"):
        return
    names = {tool.name for tool in parameters.tools or ()}
    if isinstance(choice, str):
        if not names:
            raise InvalidShape.at(["body", "parameters", "tool_choice"], "value_error", "there are no tools")
    elif choice.name not in names:
        raise InvalidShape.at(
            ["body", "parameters", "tool_choice", "name"], "value_error", "no such tool in parameters.tools"
        )
