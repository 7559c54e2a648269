"""Embeddings of the Gemini API by batchEmbedContents, of texts and of media; Vertex AI's own methods stand beside."""

from typing import Any

import msgspec
from msgspec import Struct

from inferway.errors import BadRequest
from inferway.providers.base import Target, Translated, WireRequest, WireResponse
from inferway.providers.google.contents import make_media_part
from inferway.providers.google.paths import method_path, model_resource, on_vertex
from inferway.providers.google.usage import read_usage
from inferway.providers.google.vectors import asked_dimensions, read_vectors
from inferway.providers.google.vertex_embeddings import read_vertex, vertex_dimensions, write_vertex
from inferway.providers.parameters import Rule, Rules, carry, merge_extra
from inferway.types import Adaptation, EmbeddingCall, EmbeddingResult, Media, MediaKind

EMBEDDING_RULES: Rules = {
    "dimensions": Rule(
        path=("outputDimensionality",),
        note="Vertex AI: parameters.outputDimensionality, multimodal: dimension",
    ),
    "task_type": Rule(path=("taskType",), convert=str.upper, note="ignored by gemini-embedding-2"),
}
"""How the common parameters reach one request of a batch. Source: Gemini API reference, EmbedContentRequest."""

MAX_BATCH = 100
RESERVED = frozenset(("model", "content", "requests", "instances"))
_KINDS = {MediaKind.IMAGE: "image_embedding", MediaKind.VIDEO: "video_embedding"}


class _Embedding(Struct, frozen=True):
    values: msgspec.Raw


class _BatchAnswer(Struct, frozen=True, rename="camel"):
    embeddings: tuple[_Embedding, ...]
    usage_metadata: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)


_answers = msgspec.json.Decoder(_BatchAnswer)


class GoogleEmbeddingTranslator:
    """Translates embedding calls: one `requests[]` element for each item, so that each gets a vector of its own.

    Native fields of `parameters.extra` (`title`, …) go into every element.
    """

    max_batch = MAX_BATCH

    def to_wire(self, call: EmbeddingCall, target: Target) -> Translated:
        """The request; raises `BadRequest` for media that the model cannot embed."""
        parameters = call.parameters
        _check_kinds(call, target)
        carried = carry(parameters, EMBEDDING_RULES, target.facts, "google embeddings")
        told = (*carried.adaptations, *_ignored(call, target))
        shared = carried.body
        merge_extra(shared, parameters.extra, RESERVED)
        if on_vertex(target):
            return write_vertex(call, target, shared, told)
        model = model_resource(target)
        requests = [{"model": model, "content": make_content(item, target), **shared} for item in call.items]
        body = msgspec.json.encode({"requests": requests})
        return Translated(
            request=WireRequest(path=method_path(target, "batchEmbedContents"), body=body), adaptations=told
        )

    def from_wire(self, call: EmbeddingCall, target: Target, response: WireResponse) -> EmbeddingResult:
        """The vectors in the order of the items; raises `ProviderBadAnswer` or a msgspec error when they are not all there."""
        if on_vertex(target):
            result = read_vertex(call, target, response.body)
        else:
            answer = _answers.decode(response.body)
            raws = (embedding.values for embedding in answer.embeddings)
            result = EmbeddingResult(
                vectors=read_vectors(raws, len(call.items), asked_dimensions(call, target)),
                usage=read_usage(answer.usage_metadata),
            )
        said = _not_normalised(call, target)
        return msgspec.structs.replace(result, warnings=(*result.warnings, *said)) if said else result


def make_content(item: str | Media, target: Target) -> dict[str, Any]:
    """One item as a content of one part."""
    return {"parts": [{"text": item} if isinstance(item, str) else make_media_part(item, target)]}


def _check_kinds(call: EmbeddingCall, target: Target) -> None:
    for item in call.items:
        kind = None if isinstance(item, str) else _KINDS.get(item.kind)
        if kind is not None and target.facts.get(kind) is False:
            raise BadRequest(
                f"{target.model} embeds text only; gemini-embedding-2 and multimodalembedding@001 embed images and videos",
                code="media_unsupported",
            )


def _ignored(call: EmbeddingCall, target: Target) -> tuple[Adaptation, ...]:
    if call.parameters.task_type is None or target.facts.get("task_type_ignored") is not True:
        return ()
    reason = "sent, but this model family ignores it: say the task in the text, as in 'task: search result | query: …'"
    return (Adaptation(field="parameters.task_type", action="dropped", reason=reason),)


def _not_normalised(call: EmbeddingCall, target: Target) -> tuple[str, ...]:
    full = target.facts.get("normalised_dimensions")
    asked = vertex_dimensions(call, target) if on_vertex(target) else asked_dimensions(call, target)
    if full is None or asked is None or asked == full:
        return ()
    return (
        f"{target.model} normalises only vectors of {full} dimensions: these are passed on as they came and are not of unit length",
    )
