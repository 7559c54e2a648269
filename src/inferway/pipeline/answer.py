"""The answer of a call, in the shape of the wire contract."""

from typing import Any

from msgspec import Struct

from inferway.errors import GatewayError, UpstreamError
from inferway.types import (
    Adaptation,
    Completion,
    EmbeddingResult,
    Result,
    TranscriptionResult,
)


class Answer(Struct, frozen=True, kw_only=True):
    """What a call is answered with; the JSON object of a 200, field for field.

    `cost_usd` is None when the price is unknown. `model_version` is the model that the provider says it ran, where that is more exact
    than the name asked for.
    """

    data: Any
    provider: str
    model: str
    tokens_used: dict[str, int] | None
    latency_ms: float
    cached: bool
    request_id: str
    cost_usd: float | None
    adaptations: tuple[Adaptation, ...] = ()
    warnings: tuple[str, ...] = ()
    cache: dict[str, Any] | None = None
    model_version: str | None = None


class Completions(Struct, frozen=True, kw_only=True):
    """`data` of chat and vision: one completion for each prompt, in order."""

    completions: tuple[Completion, ...]


def data_of(result: Result, *, singular: bool) -> Any:
    """`data` of an embedding or a transcription."""
    if isinstance(result, TranscriptionResult):
        return result.transcript
    assert isinstance(result, EmbeddingResult)  # noqa: S101 - completions are gathered by the caller
    if singular:
        return {"embedding": result.vectors[0]}
    return {"embeddings": result.vectors}


def failed_item(error: GatewayError) -> Completion:
    """The item of a prompt that failed while others did not."""
    return Completion(text="", finish_reason=None, error=error_body(error))


def error_body(error: GatewayError) -> dict[str, Any]:
    """The `error` object of the envelope: message, type, and code and details where there are any."""
    body: dict[str, Any] = {"message": error.message, "type": error.type}
    if error.code is not None:
        body["code"] = error.code
    details = dict(error.details or {})
    if error.retry_after_s is not None:
        details.setdefault("retry_after_seconds", round(error.retry_after_s, 3))
    if error.status in (429, 500, 503):
        details.setdefault("retryable", worth_repeating(error))
    if details:
        body["details"] = details
    return body


def worth_repeating(error: GatewayError) -> bool:
    """Whether the caller's own retry makes sense: yes for our refusals that pass by themselves, no once our attempts are used up.

    It is no after a defect of ours too: repeating the call would meet it again.
    """
    return error.status in (429, 503) and not isinstance(error, UpstreamError)
