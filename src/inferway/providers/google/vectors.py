"""Vectors that are passed on as the bytes they came in: checked to be arrays of numbers without making a float of any."""

from collections.abc import Iterable, Mapping

import msgspec

from inferway.errors import ProviderBadAnswer
from inferway.providers.base import Target
from inferway.types import EmbeddingCall

_BLANKS = b" \t\r\n"
_NUMBERS = b"0123456789+-.eE \t\r\n"


def asked_dimensions(call: EmbeddingCall, target: Target, *native: str) -> int | None:
    """How many numbers each vector was asked to have; None when that is the model's affair.

    The path `native` leads to Vertex AI's field in `parameters.extra`: native fields are sent over the common parameter.
    """
    extra = call.parameters.extra or {}
    asked = None if target.facts.get("dimensions") is False else call.parameters.dimensions
    asked = extra.get("outputDimensionality", asked)
    found: object = extra
    for name in native:
        found = found.get(name) if isinstance(found, Mapping) else None
    for given in (found if native else None, asked):
        if isinstance(given, int) and not isinstance(given, bool):
            return given
    return None


def read_vector(raw: msgspec.Raw) -> tuple[msgspec.Raw, int]:
    """The vector, and how many numbers it holds; raises `ProviderBadAnswer` unless it is an array of at least one number.

    The decoder has seen that it is JSON; of that, only numbers leave nothing but the brackets and commas between them. Google writes
    each number on a line of its own with its indentation, which is left away.
    """
    body = bytes(raw)
    frame = body.translate(None, _NUMBERS)
    if frame != b"[" + b"," * (len(frame) - 2) + b"]" or not body.strip(b"[]" + _BLANKS):
        raise ProviderBadAnswer("The provider's answer holds something that is no vector.")
    return msgspec.Raw(body.translate(None, _BLANKS)) if b"\n" in body else raw, len(frame) - 1


def read_vectors(raws: Iterable[msgspec.Raw], wanted: int, dimensions: int | None) -> tuple[msgspec.Raw, ...]:
    """`wanted` vectors of one length, of `dimensions` numbers each when that was asked for; raises `ProviderBadAnswer`."""
    vectors = [read_vector(raw) for raw in raws]
    if len(vectors) != wanted:
        raise ProviderBadAnswer(f"{wanted} items were sent and {len(vectors)} vectors came back.")
    lengths = {length for _, length in vectors}
    if len(lengths) != 1 or (dimensions is not None and lengths != {dimensions}):
        raise ProviderBadAnswer(
            "The provider's vectors do not have the number of dimensions that was asked for."
        )
    return tuple(vector for vector, _ in vectors)
