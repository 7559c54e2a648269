"""What each provider makes of each common parameter, found out by asking its translators with and without it."""

import re
import tempfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec
from msgspec.structs import replace

from docs.generator.markdown import table
from inferway.errors import GatewayError
from inferway.pipeline.abilities import sample_call
from inferway.providers.anthropic.row import build as build_anthropic
from inferway.providers.base import Credential, Prepared, Provider, Target, Transport, WireRequest
from inferway.providers.google.row import build as build_google
from inferway.providers.local.catalogue import load_catalogue
from inferway.providers.local.pool import EnginePool
from inferway.providers.local.provider import make_provider
from inferway.providers.local.shelf import Shelf
from inferway.providers.openai.row import build as build_openai
from inferway.providers.parameters import PARAMETERS_OF
from inferway.types import (
    NamedTool,
    Operation,
    Parameters,
    Tool,
)

COLUMNS = ("openai", "openai_compatible", "anthropic", "google (Gemini API)", "google (Vertex AI)", "local")
OPERATIONS = tuple(PARAMETERS_OF)
_EMBEDDING = (Operation.TEXT_EMBEDDING, Operation.IMAGE_EMBEDDING, Operation.VIDEO_EMBEDDING)
NOT_SERVED = "–"
UNKNOWN_MODEL = "some-model"
_MODELS = {
    ("google (Vertex AI)", Operation.TEXT_EMBEDDING): "text-embedding-005",
    ("google (Vertex AI)", Operation.IMAGE_EMBEDDING): "multimodalembedding@001",
    ("google (Vertex AI)", Operation.VIDEO_EMBEDDING): "multimodalembedding@001",
    ("local", Operation.CHAT): "smollm2",
    ("local", Operation.TEXT_EMBEDDING): "all-minilm-l6-v2",
    ("local", Operation.TRANSCRIPTION): "whisper-tiny.en",
}
_TOOL = Tool(name="probe", description="a probe", parameters={"type": "object", "properties": {}})
_USUAL: Mapping[str, Any] = {
    "temperature": 0.5,
    "max_tokens": 77,
    "top_p": 0.5,
    "stop": ("END",),
    "seed": 7,
    "schema": {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "required": ["a"],
        "additionalProperties": False,
    },
    "tools": (_TOOL,),
    "tool_choice": NamedTool(name="probe"),
    "reasoning_effort": "low",
    "dimensions": 256,
    "task_type": "retrieval_query",
    "language": "en",
    "prompt": "Ada Lovelace",
    "response_format": "words",
}
_EXTREME: Mapping[str, Any] = {
    "temperature": 99.0,
    "max_tokens": 10**9,
    "seed": 10**15,
    "stop": tuple(f"stop{number}" for number in range(64)),
}
_BESIDE: Mapping[str, Parameters] = {"tool_choice": Parameters(tools=(_TOOL,))}
"""What a parameter needs beside it to mean anything."""


class Cell(NamedTuple):
    """What becomes of one parameter: `fields` of the wire, the most that is taken, and what the caller is told."""

    fields: tuple[str, ...] = ()
    at_most: float | None = None
    dropped: str | None = None
    refused: str | None = None
    is_told: bool = False
    served: bool = True

    def __str__(self) -> str:
        if not self.served:
            return NOT_SERVED
        if self.refused is not None:
            return f"refused: {self.refused}"
        if self.dropped is not None:
            return "dropped and told"
        sent = ", ".join(f"`{field}`" for field in self.fields) or "by the model itself"
        if self.at_most is not None:
            return f"{sent}; at most {_number(self.at_most)}, told"
        return f"{sent}; told" if self.is_told else sent


def _number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:g}"


@cache
def rows() -> Mapping[str, Provider]:
    """A registry row for each column; none of them can reach anything."""
    transport = cast("Transport", None)
    key = Credential(secret="probe")  # noqa: S106 - it opens nothing
    token = Credential(secret="probe", kind="access_token")  # noqa: S106 - it opens nothing
    shelf = Shelf(Path(tempfile.gettempdir()) / "no-models")
    return {
        "openai": build_openai(transport=transport, credential=key),
        "openai_compatible": build_openai(
            transport=transport,
            name="mine",
            kind="openai_compatible",
            base_url="http://127.0.0.1:9/v1",
        ),
        "anthropic": build_anthropic(transport=transport, credential=key),
        "google (Gemini API)": build_google(transport=transport, credential=key),
        "google (Vertex AI)": build_google(
            transport=transport, vertex_credential=token, options={"project": "p", "use_vertex": True}
        ),
        "local": make_provider(load_catalogue(), shelf, cast("EnginePool", None)),
    }


def cell(column: str, operation: Operation, name: str) -> Cell:
    """What a provider makes of one parameter of a model that nothing is known of."""
    if rows()[column].capability(operation) is None:
        return Cell(served=False)
    beside = _BESIDE.get(name, Parameters())
    plain = prepare(column, operation, beside)
    try:
        asked = prepare(column, operation, replace(beside, **{name: _USUAL[name]}))
    except GatewayError as error:
        return Cell(refused=error.code or error.type)
    told = _told(asked, name)
    if "dropped" in told:
        return Cell(dropped=told["dropped"])
    fields = tuple(dict.fromkeys(changes(_body(plain), _body(asked))))
    return Cell(fields=fields, at_most=_limit(column, operation, name, fields), is_told=bool(told))


def _limit(column: str, operation: Operation, name: str, fields: tuple[str, ...]) -> float | None:
    """The most that is taken of a number, or of a list's items."""
    if name not in _EXTREME:
        return None
    asked = prepare(column, operation, Parameters(**{name: _EXTREME[name]}))
    if "clamped" not in _told(asked, name):
        return None
    value: Any = _body(asked)
    for step in fields[0].removesuffix("[]").split("."):
        value = value[step]
    return float(len(value) if isinstance(value, list | tuple) else value)


def prepare(column: str, operation: Operation, parameters: Parameters) -> Prepared:
    """A call made ready; raises `GatewayError` when the provider refuses it."""
    row = rows()[column]
    model = _MODELS.get((column, operation), UNKNOWN_MODEL)
    target = Target(provider=row.name, model=model, facts=row.facts(model), options=row.options)
    capability = row.capability(operation)
    assert capability is not None  # noqa: S101 - callers ask for what is served
    return capability.prepare(sample_call(operation, parameters), target)


def _told(prepared: Prepared, name: str) -> dict[str, str]:
    return {each.action: each.reason for each in prepared.adaptations if each.field == f"parameters.{name}"}


def _body(prepared: Prepared) -> Any:
    """What is sent, as plain values; the fields of a form are its keys."""
    payload = prepared.payload
    if not isinstance(payload, WireRequest):
        return msgspec.to_builtins(payload.task)
    if payload.body[:1] == b"{":
        return msgspec.json.decode(payload.body)
    found = re.findall(rb'name="([^"]+)"(?:; filename="[^"]*")?\r\n(?:[^\r]+\r\n)*\r\n([^\r]*)', payload.body)
    return {name.decode(): value.decode("utf-8", "replace") for name, value in found}


def changes(before: Any, after: Any, place: str = "") -> Iterator[str]:
    """The places where the second body has something that the first has not, as short as they can be said."""
    if before == after:
        return
    if isinstance(after, dict):
        known = before if isinstance(before, dict) else {}
        if known or not place or len(after) <= 2:
            for name, value in after.items():
                yield from changes(known.get(name), value, f"{place}.{name}" if place else name)
            return
    if isinstance(after, list) and len(after) == 1 and isinstance(after[0], dict):
        first = before[0] if isinstance(before, list) and before else None
        if first is not None or len(after[0]) == 1:
            yield from changes(first, after[0], f"{place}[]")
            return
    yield place


def operations_table() -> str:
    """The request of each provider and operation."""
    listed = []
    for operation in OPERATIONS:
        cells = [_served(column, operation) for column in COLUMNS]
        listed.append((operation.value.replace("_", " "), *cells))
    return table(("Operation", *COLUMNS), listed)


def _served(column: str, operation: Operation) -> str:
    capability = rows()[column].capability(operation)
    if capability is None:
        return NOT_SERVED
    payload = prepare(column, operation, Parameters()).payload
    if not isinstance(payload, WireRequest):
        return (
            "in the process"
            if capability.max_batch == 1
            else f"in the process; {capability.max_batch} a call"
        )
    model = _MODELS.get((column, operation), UNKNOWN_MODEL)
    path = payload.path.replace(model, "{model}").replace("/projects/p/", "/projects/{project}/")
    batch = prepare_batch(column, operation) if operation in _EMBEDDING else 1
    return f"`{path}`" + (f"; {batch} a call" if batch > 1 else "")


def prepare_batch(column: str, operation: Operation) -> int:
    """How many items one call carries."""
    row = rows()[column]
    capability = row.capability(operation)
    model = _MODELS.get((column, operation), UNKNOWN_MODEL)
    assert capability is not None  # noqa: S101 - callers ask for what is served
    return int(row.facts(model).get("max_batch", capability.max_batch))


def parameter_tables() -> str:
    """A table for each operation: parameter by provider."""
    parts = []
    for operation, names in PARAMETERS_OF.items():
        serving = [column for column in COLUMNS if rows()[column].capability(operation) is not None]
        listed = [
            (f"`{name}`", *(str(cell(column, operation, name)) for column in serving)) for name in names
        ]
        title = operation.value.replace("_", " ").capitalize()
        parts.append(f"### {title}\n\n{table(('Parameter', *serving), listed)}")
    return "\n\n".join(parts)
