"""Vertex AI's embedding methods: text by predict, gemini-embedding-2 by embedContent, multimodalembedding by its own predict."""

from typing import Any

import msgspec
from msgspec import Struct

from inferway.errors import BadRequest, ProviderBadAnswer
from inferway.providers.base import Target, Translated, WireRequest
from inferway.providers.google.contents import make_media_part
from inferway.providers.google.paths import method_path
from inferway.providers.google.usage import read_usage, sum_token_counts
from inferway.providers.google.vectors import asked_dimensions, read_vectors
from inferway.types import Adaptation, EmbeddingCall, EmbeddingResult, Media, MediaKind, Usage

PREDICT_BATCH = 100
MULTIMODAL_DIMENSIONS = (128, 256, 512, 1408)
_WHOLE_VIDEO_S = 120
"""Vertex AI looks at no more than this of a video, so that one interval of this length gives one vector."""


def vertex_batch(target: Target) -> int:
    """How many items one call may carry."""
    if _wire(target) != "predict":
        return 1
    return int(target.facts.get("vertex_batch", PREDICT_BATCH))


def write_vertex(
    call: EmbeddingCall, target: Target, shared: dict[str, Any], told: tuple[Adaptation, ...]
) -> Translated:
    """The request; `shared` holds the fields of the Gemini API that every item gets, native ones included.

    Raises `BadRequest` for more items than one call carries, and for what the model cannot embed.
    """
    if len(call.items) > vertex_batch(target):
        raise BadRequest(
            f"{target.model} takes at most {vertex_batch(target)} items in one call", code="batch_too_large"
        )
    wire = _wire(target)
    body = _WRITERS[wire](call, target, dict(shared))
    path = method_path(target, "embedContent" if wire == "embed_content" else "predict")
    return Translated(request=WireRequest(path=path, body=msgspec.json.encode(body)), adaptations=told)


def read_vertex(call: EmbeddingCall, target: Target, body: bytes) -> EmbeddingResult:
    """The vectors in the order of the items; raises `ProviderBadAnswer` or a msgspec error when they are not all there."""
    return _READERS[_wire(target)](call, body, vertex_dimensions(call, target))


def vertex_dimensions(call: EmbeddingCall, target: Target) -> int | None:
    """How many numbers each vector was asked to have here; None when that is the model's affair."""
    return asked_dimensions(call, target, *_NATIVE[_wire(target)])


def _wire(target: Target) -> str:
    """How Vertex AI serves a model; Gemini models that nothing is known of are taken for the newer method, as Google's SDK does."""
    known = target.facts.get("wire")
    if isinstance(known, str):
        return known
    return "embed_content" if target.model.rpartition("/")[2].startswith("gemini") else "predict"


def _write_predict(call: EmbeddingCall, target: Target, shared: dict[str, Any]) -> dict[str, Any]:
    """Texts as instances. Source: Vertex AI reference, text embeddings API."""
    parameters = _take_object(shared, "parameters")
    if "outputDimensionality" in shared:
        parameters.setdefault("outputDimensionality", shared.pop("outputDimensionality"))
    if "autoTruncate" in shared:
        parameters.setdefault("autoTruncate", shared.pop("autoTruncate"))
    if "taskType" in shared:
        shared["task_type"] = shared.pop("taskType")
    instances = [{"content": _text(item, target), **shared} for item in call.items]
    return {"instances": instances} | ({"parameters": parameters} if parameters else {})


def _write_embed_content(call: EmbeddingCall, target: Target, shared: dict[str, Any]) -> dict[str, Any]:
    """One content. Source: the types of Google's SDK for embedContent on Vertex AI."""
    item = call.items[0]
    part = {"text": item} if isinstance(item, str) else make_media_part(item, target)
    config = _take_object(shared, "embedContentConfig")
    for name in ("taskType", "outputDimensionality", "title", "autoTruncate"):
        if name in shared:
            config.setdefault(name, shared.pop(name))
    return {"content": {"parts": [part]}, **shared} | ({"embedContentConfig": config} if config else {})


def _write_multimodal(call: EmbeddingCall, target: Target, shared: dict[str, Any]) -> dict[str, Any]:
    """One instance of one text, image or video. Source: Vertex AI reference, multimodal embeddings API."""
    item = call.items[0]
    parameters = _take_object(shared, "parameters")
    dimensions = shared.pop("outputDimensionality", None)
    if dimensions is not None:
        _check_dimensions(dimensions, item, target)
        parameters.setdefault("dimension", dimensions)
    instance = _instance(item)
    for name, value in shared.items():
        mine = instance.get(name)
        instance[name] = {**mine, **value} if isinstance(mine, dict) and isinstance(value, dict) else value
    return {"instances": [instance]} | ({"parameters": parameters} if parameters else {})


def _take_object(shared: dict[str, Any], name: str) -> dict[str, Any]:
    """A native field that holds fields; raises `BadRequest` when it is no object."""
    given = shared.pop(name, {})
    if not isinstance(given, dict):
        raise BadRequest(f"parameters.extra.{name} must be an object", code="extra_invalid")
    return dict(given)


def _check_dimensions(dimensions: int, item: str | Media, target: Target) -> None:
    video = isinstance(item, Media) and item.kind is MediaKind.VIDEO
    able = MULTIMODAL_DIMENSIONS[-1:] if video else MULTIMODAL_DIMENSIONS
    if dimensions not in able:
        raise BadRequest(
            f"{target.model} gives vectors of {', '.join(map(str, able))} dimensions{' for videos' if video else ''}",
            code="dimensions_unsupported",
            details={"dimensions": list(able)},
        )


def _instance(item: str | Media) -> dict[str, Any]:
    if isinstance(item, str):
        return {"text": item}
    if item.base64 is None and item.data is None:
        raise BadRequest("multimodalembedding takes media as content, not as a URL", code="media_unsupported")
    content: dict[str, Any] = {"bytesBase64Encoded": item.as_base64()}
    if item.kind is MediaKind.VIDEO:
        return {"video": {**content, "videoSegmentConfig": {"intervalSec": _WHOLE_VIDEO_S}}}
    if item.kind is not MediaKind.IMAGE:
        raise BadRequest(f"multimodalembedding embeds no {item.kind.value}", code="media_unsupported")
    return {"image": content | ({"mimeType": item.mime} if item.mime else {})}


def _text(item: str | Media, target: Target) -> str:
    if isinstance(item, str):
        return item
    raise BadRequest(f"{target.model} embeds text only", code="media_unsupported")


class _Statistics(Struct, frozen=True):
    token_count: Any = None
    truncated: Any = None


class _TextVector(Struct, frozen=True):
    values: msgspec.Raw
    statistics: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)


class _TextPrediction(Struct, frozen=True):
    embeddings: _TextVector


class _TextAnswer(Struct, frozen=True):
    predictions: tuple[_TextPrediction, ...]
    metadata: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)


class _ContentAnswer(Struct, frozen=True, rename="camel"):
    embedding: "_ContentVector"
    usage_metadata: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)
    truncated: Any = None


class _ContentVector(Struct, frozen=True):
    values: msgspec.Raw


class _VideoVector(Struct, frozen=True, rename="camel"):
    embedding: msgspec.Raw
    start_offset_sec: Any = None
    end_offset_sec: Any = None


class _Prediction(Struct, frozen=True, rename="camel"):
    text_embedding: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)
    image_embedding: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)
    video_embeddings: tuple[_VideoVector, ...] = ()


class _MultimodalAnswer(Struct, frozen=True):
    predictions: tuple[_Prediction, ...]


_text_answers = msgspec.json.Decoder(_TextAnswer)
_content_answers = msgspec.json.Decoder(_ContentAnswer)
_statistics = msgspec.json.Decoder(_Statistics)
_multimodal_answers = msgspec.json.Decoder(_MultimodalAnswer)
_CUT = "google cut texts that were longer than the model takes"


def _read_predict(call: EmbeddingCall, body: bytes, dimensions: int | None) -> EmbeddingResult:
    answer = _text_answers.decode(body)
    vectors = [prediction.embeddings for prediction in answer.predictions]
    told = [_read_statistics(vector.statistics) for vector in vectors]
    return EmbeddingResult(
        vectors=read_vectors((vector.values for vector in vectors), len(call.items), dimensions),
        usage=sum_token_counts([item.token_count for item in told], _raw_usage(answer)),
        warnings=(_CUT,) if any(item.truncated is True for item in told) else (),
    )


def _read_statistics(raw: msgspec.Raw) -> _Statistics:
    """What is told of one text; a vector is good whatever stands beside it."""
    try:
        return _statistics.decode(raw) if bytes(raw) else _Statistics()
    except msgspec.MsgspecError:
        return _Statistics()


def _raw_usage(answer: _TextAnswer) -> bytes:
    """All counts of the answer as one object, each as the provider wrote it."""
    counts: dict[str, Any] = {
        "statistics": [p.embeddings.statistics for p in answer.predictions if bytes(p.embeddings.statistics)]
    }
    if bytes(answer.metadata):
        counts["metadata"] = answer.metadata
    return msgspec.json.encode(counts)


def _read_embed_content(call: EmbeddingCall, body: bytes, dimensions: int | None) -> EmbeddingResult:
    answer = _content_answers.decode(body)
    return EmbeddingResult(
        vectors=read_vectors((answer.embedding.values,), len(call.items), dimensions),
        usage=read_usage(answer.usage_metadata),
        warnings=(_CUT,) if answer.truncated is True else (),
    )


def _read_multimodal(call: EmbeddingCall, body: bytes, dimensions: int | None) -> EmbeddingResult:
    """The vector of the one item. Nothing is counted by the provider; the meters say what was sent."""
    predictions = _multimodal_answers.decode(body).predictions
    if len(predictions) != 1:
        raise ProviderBadAnswer(f"1 item was sent and {len(predictions)} answers came back.")
    item = call.items[0]
    if isinstance(item, str):
        raw, usage, said = predictions[0].text_embedding, Usage(characters=len(item)), None
    elif item.kind is MediaKind.VIDEO:
        raw, said = _video_vector(predictions[0])
        usage = Usage()
    else:
        raw, usage, said = predictions[0].image_embedding, Usage(images=1), None
    if not bytes(raw):
        raise ProviderBadAnswer("The provider's answer lacks the vector that was asked for.")
    vectors = read_vectors((raw,), 1, dimensions)
    return EmbeddingResult(vectors=vectors, usage=usage, warnings=(said,) if said else ())


def _video_vector(prediction: _Prediction) -> tuple[msgspec.Raw, str | None]:
    """The vector of the first segment, and what the caller must know when there are more or the video went on."""
    segments = prediction.video_embeddings
    if not segments:
        return msgspec.Raw(), None
    if len(segments) > 1:
        return segments[0].embedding, (
            f"google gave vectors of {len(segments)} segments of the video; this is that of the first"
        )
    end = segments[0].end_offset_sec
    if isinstance(end, int | float) and end >= _WHOLE_VIDEO_S:
        return segments[0].embedding, f"google looks at the first {_WHOLE_VIDEO_S} seconds of a video only"
    return segments[0].embedding, None


_NATIVE = {
    "predict": ("parameters", "outputDimensionality"),
    "embed_content": ("embedContentConfig", "outputDimensionality"),
    "multimodal": ("parameters", "dimension"),
}
"""Where the native fields say the length of a vector."""

_WRITERS = {"predict": _write_predict, "embed_content": _write_embed_content, "multimodal": _write_multimodal}
_READERS = {"predict": _read_predict, "embed_content": _read_embed_content, "multimodal": _read_multimodal}
