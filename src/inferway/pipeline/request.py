"""The body of an inference call: bytes in, one checked value out."""

from collections.abc import Iterable
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from inferway.errors import BadRequest, InvalidShape
from inferway.pipeline.body import decode_json, require_bounded
from inferway.pipeline.inputs import Inputs, read_inputs
from inferway.pipeline.parameters import read_parameters
from inferway.pipeline.plain import MAX_NAME_BYTES, PlainBody, find_plain
from inferway.types import Parameters

MAX_FALLBACKS = 8


class Fallback(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another target, tried when those before it fail retryably."""

    provider: Annotated[str, Meta(min_length=1)]
    model: Annotated[str, Meta(min_length=1)]


class Body(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The JSON object of `POST /v1/inference`, as it is on the wire."""

    inputs: dict[str, msgspec.Raw]
    provider: str | None = None
    model: Annotated[str, Meta(min_length=1)] | None = None
    inference_name: str | None = None
    feature_uri: str | None = None
    parameters: dict[str, msgspec.Raw] | None = None
    enable_semantic_cache: bool | None = False
    cache_delta: Annotated[float, Meta(ge=0, le=1)] | None = None
    stream: bool | None = False
    fallbacks: tuple[Fallback, ...] | None = ()
    dry_run: bool | None = False


class InferenceRequest(Struct, frozen=True, kw_only=True):
    """A checked call: who should serve it, what it is about, and how."""

    provider: str | None
    model: str | None
    inference_name: str | None
    feature_uri: str | None
    inputs: Inputs
    parameters: Parameters
    enable_semantic_cache: bool
    cache_delta: float | None
    stream: bool
    fallbacks: tuple[Fallback, ...]
    dry_run: bool


_decoder = msgspec.json.Decoder(Body)
_ACCEPTED = ", ".join(Body.__struct_fields__)


def read_request(body: bytes) -> InferenceRequest:
    """Read a body.

    Raises `BadRequest` (400) when the bytes are not JSON, nest deeper than `MAX_DEPTH` or hold more than `MAX_VALUES` values,
    `InvalidShape` (422) when they do not have the contract's shape, `BadRequest` when inputs contradict one another.
    """
    require_bounded(body)
    plain = find_plain(body)
    return read_any(body) if plain is None else _from_plain(*plain)


def _from_plain(plain: PlainBody, inputs: Inputs, parameters: Parameters) -> InferenceRequest:
    return InferenceRequest(
        provider=plain.provider,
        model=plain.model,
        inference_name=None,
        feature_uri=None,
        inputs=inputs,
        parameters=parameters,
        enable_semantic_cache=False,
        cache_delta=None,
        stream=plain.stream,
        fallbacks=(),
        dry_run=False,
    )


def read_any(body: bytes) -> InferenceRequest:
    """The general reader."""
    decoded = decode_json(_decoder, body, _ACCEPTED)
    _require_one_address(decoded)
    fallbacks = decoded.fallbacks or ()
    _require_names([decoded.model or "", *(each.model for each in fallbacks)])
    if len(fallbacks) > MAX_FALLBACKS:
        raise BadRequest(f"at most {MAX_FALLBACKS} fallbacks in one call", code="too_many_fallbacks")
    parameters = read_parameters(decoded.parameters or {})
    inputs = read_inputs(decoded.inputs, plugin=decoded.provider is None)
    return InferenceRequest(
        provider=decoded.provider,
        model=decoded.model,
        inference_name=decoded.inference_name,
        feature_uri=decoded.feature_uri,
        inputs=inputs,
        parameters=parameters,
        enable_semantic_cache=bool(decoded.enable_semantic_cache),
        cache_delta=decoded.cache_delta,
        stream=bool(decoded.stream),
        fallbacks=fallbacks,
        dry_run=bool(decoded.dry_run),
    )


def _require_names(models: Iterable[str]) -> None:
    if any(len(model.encode()) > MAX_NAME_BYTES for model in models):
        message = f"no model's name is longer than {MAX_NAME_BYTES} bytes"
        raise BadRequest(message, code="unknown_model")


def _require_one_address(body: Body) -> None:
    given = [name for name in ("inference_name", "feature_uri") if getattr(body, name) is not None]
    if body.provider is not None or body.model is not None:
        given.append("provider+model")
    if len(given) != 1:
        found = " and ".join(given) if given else "none"
        message = f"give exactly one of provider+model, inference_name or feature_uri; found {found}"
        raise InvalidShape.at(["body"], "addressing", message)
    for name, other in (("provider", "model"), ("model", "provider")):
        if getattr(body, name) is not None and getattr(body, other) is None:
            raise InvalidShape.at(["body", other], "missing", f"{other} is required with {name}")
