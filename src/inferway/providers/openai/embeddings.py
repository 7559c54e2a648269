"""Embeddings both ways. Source: OpenAI API reference, embeddings (create, the embedding object)."""

import math
import sys
from array import array
from base64 import b64decode
from typing import Any

import msgspec
from msgspec import Raw, Struct, field

from inferway.errors import BadRequest, ProviderBadAnswer
from inferway.providers.base import Target, Translated, WireRequest, WireResponse
from inferway.providers.openai.answers import is_given
from inferway.providers.openai.errors import answer_error
from inferway.providers.openai.quirks import Quirks
from inferway.providers.openai.usage import embedding_usage
from inferway.providers.parameters import Rule, Rules, carry, merge_extra
from inferway.types import EmbeddingCall, EmbeddingResult

RESERVED = frozenset(("model", "input"))
"""Body fields that `parameters.extra` may not set."""

_NO_VECTOR = "The answer holds a vector that is not a list of numbers."
_NUMBERS = b"0123456789+-.eE, \t\r\n"


def embedding_rules(quirks: Quirks) -> Rules:
    """How the common parameters reach the body."""
    return {"dimensions": Rule(path=(quirks.fields.get("dimensions", "dimensions"),), minimum=1)}


class _Vector(Struct, frozen=True, kw_only=True):
    index: int
    embedding: Raw


class _Answer(Struct, frozen=True, kw_only=True):
    data: list[_Vector] | None = None
    model: Any = None
    usage: Raw = field(default_factory=Raw)
    error: Raw = field(default_factory=Raw)


class OpenAIEmbeddings:
    """Translates text embeddings. Implements `Translator`.

    Vectors come as JSON arrays and are passed on as bytes. `encoding_format: base64` in `parameters.extra` is a smaller transfer that costs
    more here; the caller gets numbers either way.
    """

    def __init__(self, subject: str, quirks: Quirks) -> None:
        self.max_batch = quirks.max_batch
        self._subject = subject
        self._rules = embedding_rules(quirks)

    def to_wire(self, call: EmbeddingCall, target: Target) -> Translated:
        """`POST /embeddings`; raises `BadRequest` for media."""
        texts = [item for item in call.items if isinstance(item, str)]
        if len(texts) < len(call.items):
            raise BadRequest(f"{self._subject} embeds texts only", code="input_not_supported")
        carried = carry(call.parameters, self._rules, target.facts, f"{self._subject} embeddings")
        body: dict[str, Any] = {"model": target.model, "input": texts[0] if len(texts) == 1 else texts}
        body |= carried.body
        merge_extra(body, call.parameters.extra, RESERVED)
        request = WireRequest(path="/embeddings", body=msgspec.json.encode(body))
        return Translated(request=request, adaptations=carried.adaptations)

    def from_wire(self, call: EmbeddingCall, target: Target, response: WireResponse) -> EmbeddingResult:
        """One vector for each item, in order; raises `ProviderBadAnswer` or a decoding error otherwise."""
        answer = msgspec.json.decode(response.body, type=_Answer)
        if is_given(answer.error) and not answer.data:
            raise answer_error(self._subject, response.body)
        data = sorted(answer.data or (), key=lambda vector: vector.index)
        if [vector.index for vector in data] != list(range(len(call.items))):
            raise ProviderBadAnswer(
                f"The answer does not hold one vector for each of {len(call.items)} texts."
            )
        vectors = tuple(_read_vector(vector.embedding) for vector in data)
        _check_lengths(vectors, _expected_length(call, target))
        model = answer.model if isinstance(answer.model, str) and answer.model else None
        return EmbeddingResult(vectors=vectors, usage=embedding_usage(answer.usage), model=model)


def _expected_length(call: EmbeddingCall, target: Target) -> int | None:
    """The length that was asked for; without dimensions a model's vectors may have any length, if all have the same."""
    if target.facts.get("dimensions") is False:
        return None
    asked = (call.parameters.extra or {}).get("dimensions", call.parameters.dimensions)
    return asked if isinstance(asked, int) else None


def _read_vector(raw: Raw) -> Raw | list[float]:
    """A JSON array of numbers as it is, or the floats of a base64 text."""
    content = bytes(raw)
    if content.startswith(b'"'):
        return _decode_base64(content)
    # What is valid JSON and, without the characters of numbers, is one pair of brackets, is an array of numbers.
    if content.translate(None, _NUMBERS) != b"[]" or not content.strip(b"[] \t\r\n"):
        raise ProviderBadAnswer(_NO_VECTOR)
    return raw


def _decode_base64(content: bytes) -> list[float]:
    """Little-endian 32-bit floats."""
    try:
        floats = array("f", b64decode(msgspec.json.decode(content, type=str), validate=True))
    except ValueError:
        raise ProviderBadAnswer(_NO_VECTOR) from None
    if sys.byteorder == "big":
        floats.byteswap()
    values = floats.tolist()
    if not values or not all(map(math.isfinite, values)):
        raise ProviderBadAnswer(_NO_VECTOR)
    return values


def _check_lengths(vectors: tuple[Raw | list[float], ...], expected: int | None) -> None:
    lengths = {
        len(vector) if isinstance(vector, list) else bytes(vector).count(b",") + 1 for vector in vectors
    }
    if len(lengths) > 1 or (expected is not None and lengths != {expected}):
        raise ProviderBadAnswer("The answer holds vectors of another length than asked for.")
