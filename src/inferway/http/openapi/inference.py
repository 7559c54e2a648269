"""The description of `POST /v1/inference`: its body, its answer and its stream, from the types that read and write them."""

from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from inferway.http.front import INFERENCE_PATH
from inferway.http.openapi.operation import Content, Operation
from inferway.http.openapi.words import INPUTS, PARAMETERS, TOPICS
from inferway.pipeline.answer import Answer, Completions
from inferway.pipeline.inputs import INPUT_TYPES, USABLE
from inferway.pipeline.parameters import PARAMETER_TYPES
from inferway.pipeline.request import MAX_FALLBACKS, Body
from inferway.types import Transcript

ADDRESSES = {
    "A model": ("provider", "model"),
    "A plugin": ("inference_name",),
    "A feature": ("feature_uri",),
}
"""The ways to say who answers: exactly one is given."""


class Embedding(Struct, frozen=True, kw_only=True):
    """`data` of one text, image or video."""

    embedding: tuple[float, ...]


class Embeddings(Struct, frozen=True, kw_only=True):
    """`data` of several, in the order of the inputs."""

    embeddings: tuple[tuple[float, ...], ...]


class DryRequest(Struct, frozen=True, kw_only=True):
    """What would be sent, without credentials; a body that is not JSON, or very long, is shown by its size and SHA-256."""

    method: str
    path: str | UnsetType = UNSET
    body: Any = UNSET
    body_bytes: int | UnsetType = UNSET
    body_sha256: str | UnsetType = UNSET


class DryEstimate(Struct, frozen=True, kw_only=True):
    """About what it would use and cost at most; null where that cannot be known."""

    prompt_tokens: int
    max_completion_tokens: int | None
    cost_usd: float | None


class DryTarget(Struct, frozen=True, kw_only=True):
    """One of those who would be asked."""

    provider: str
    model: str
    requests: tuple[DryRequest, ...]
    estimate: DryEstimate


class DryRun(Struct, frozen=True, kw_only=True):
    """`data` of a dry run."""

    dry_run: Literal[True]
    operation: str
    targets: tuple[DryTarget, ...]


DATA = (Completions, Embedding, Embeddings, Transcript, DryRun)
"""What `data` of an answer may be."""


def of_inference() -> Operation:
    """The inference call."""
    return Operation(
        name="infer",
        method="POST",
        path=INFERENCE_PATH,
        topic=TOPICS["Inference"][0],
        summary="Calls a model",
        about="What is done follows from `inputs` alone. With `stream` the answer is a stream of events.",
        permission="write",
        body=Content(kind=Body, examples=EXAMPLES),
        answers={
            200: (
                Content(kind=Answer, about="The answer."),
                Content(media_type="text/event-stream", about="The answer as it comes."),
            )
        },
        refusals=(400, 401, 403, 404, 422, 429, 500, 503),
        headers=(
            {
                "name": "X-Namespace",
                "in": "header",
                "required": True,
                "description": "The namespace's id or name.",
                "schema": {"type": "string"},
                "example": "default",
            },
            {
                "name": "Idempotency-Key",
                "in": "header",
                "description": "The call runs once: sent again with the same key it gets the same answer.",
                "schema": {"type": "string", "pattern": "^[!-~]([ -~]{0,253}[!-~])?$"},
            },
        ),
    )


EXAMPLES = {
    "chat": {
        "summary": "One prompt",
        "value": {
            "provider": "openai",
            "model": "gpt-5.4-mini",
            "inputs": {"prompts": ["Name a colour."], "system": "Be short."},
            "parameters": {"max_tokens": 20},
        },
    },
    "structured": {
        "summary": "An answer of a given shape",
        "value": {
            "provider": "anthropic",
            "model": "claude-haiku-4-5",
            "inputs": {"prompts": ["Where is the tower?"]},
            "parameters": {
                "schema": {
                    "type": "object",
                    "properties": {"city": {"type": "string"}},
                    "required": ["city"],
                }
            },
        },
    },
    "vision": {
        "summary": "A question about an image",
        "value": {
            "provider": "google",
            "model": "gemini-2.5-flash",
            "inputs": {"prompts": ["What is this?"], "image_url": "https://example.com/cat.png"},
        },
    },
    "embedding": {
        "summary": "Two texts as vectors, by a model in this process",
        "value": {
            "provider": "local",
            "model": "all-minilm-l6-v2",
            "inputs": {"texts": ["a blue car", "a red car"]},
        },
    },
    "transcription": {
        "summary": "A recording as text",
        "value": {
            "provider": "openai",
            "model": "whisper-1",
            "inputs": {"audio_url": "https://example.com/speech.mp3"},
            "parameters": {"response_format": "segments"},
        },
    },
    "dry run": {
        "summary": "What would be sent, and to whom",
        "value": {
            "provider": "fake",
            "model": "fake-chat",
            "inputs": {"prompts": ["Hi."]},
            "fallbacks": [{"provider": "fake", "model": "fake-spare"}],
            "dry_run": True,
        },
    },
}


def nested_types() -> tuple[Any, ...]:
    """The types of what `inputs`, `parameters` and `data` hold; of the first two null counts as not given."""
    return (
        *DATA,
        msgspec.defstruct("Inputs", [(name, kind | None, None) for name, kind in INPUT_TYPES.items()]),
        msgspec.defstruct(
            "Parameters", [(name, kind | None, None) for name, kind in PARAMETER_TYPES.items()]
        ),
    )


def complete(schemas: dict[str, Any]) -> None:
    """Says in the schemas what the types alone do not: how fields belong together."""
    _complete_body(schemas["Body"])
    inputs = schemas["Inputs"]
    inputs["description"] = (
        "What the call is about. At least one of these is given; other names are told in `warnings`."
    )
    inputs["anyOf"] = [
        {"required": [name], "properties": {name: {"not": {"type": "null"}}}} for name in USABLE
    ]
    _describe(inputs, INPUTS)
    parameters = schemas["Parameters"]
    parameters["description"] = "How it is to be answered. Other names are told in `adaptations`."
    _describe(parameters, PARAMETERS)
    data = [{"$ref": f"#/components/schemas/{kind.__name__}"} for kind in DATA]
    schemas["Answer"]["properties"]["data"] = {"anyOf": data}


def _complete_body(body: dict[str, Any]) -> None:
    names = [name for several in ADDRESSES.values() for name in several]
    properties = body["properties"]
    for name in names:
        properties[name].pop("default", None)
    properties["inputs"] = {"type": "object", "description": "What the call is about."}
    properties["parameters"] = {"anyOf": [{"$ref": "#/components/schemas/Parameters"}, {"type": "null"}]}
    properties["fallbacks"]["maxItems"] = MAX_FALLBACKS
    body["anyOf"] = [
        {
            "title": title,
            "required": list(own),
            "properties": {name: {"type": "string"} if name in own else {"type": "null"} for name in names}
            | ({"inputs": {"$ref": "#/components/schemas/Inputs"}} if title == "A model" else {}),
        }
        for title, own in ADDRESSES.items()
    ]


def _describe(schema: dict[str, Any], words: dict[str, str]) -> None:
    for name, about in words.items():
        schema["properties"][name] = {"description": about, **schema["properties"][name]}
        schema["properties"][name].pop("default", None)
