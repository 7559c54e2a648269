"""Text embeddings: what leaves, and N vectors for N texts."""

import json
import struct
from base64 import b64encode
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from inferway.errors import BadRequest, ProviderBadAnswer, ProviderRateLimited
from inferway.providers.openai.embeddings import OpenAIEmbeddings
from inferway.providers.openai.quirks import Quirks
from inferway.providers.wire import UNREADABLE
from inferway.types import EmbeddingCall, EmbeddingResult, Media, MediaKind, Parameters
from tests.unit.providers.openai.samples import response, target

TRANSLATOR = OpenAIEmbeddings("openai", Quirks())


def embed(*items: str | Media, **parameters: Any) -> EmbeddingCall:
    return EmbeddingCall(items=items, parameters=Parameters(**parameters))


def sent(call: EmbeddingCall, model: str = "some-embedder") -> dict[str, Any]:
    request = TRANSLATOR.to_wire(call, target(model)).request
    assert request.path == "/embeddings"
    body: dict[str, Any] = json.loads(request.body)
    return body


def answer(*vectors: object, **fields: Any) -> dict[str, Any]:
    data = [{"object": "embedding", "index": n, "embedding": vector} for n, vector in enumerate(vectors)]
    return {
        "object": "list",
        "data": data,
        "model": "m-1",
        "usage": {"prompt_tokens": 4, "total_tokens": 4},
    } | fields


def read(body: object, call: EmbeddingCall, model: str = "some-embedder") -> EmbeddingResult:
    return TRANSLATOR.from_wire(call, target(model), response(body))


def values(result: EmbeddingResult) -> list[Any]:
    decoded: list[Any] = msgspec.json.decode(msgspec.json.encode(result.vectors))
    return decoded


def test_one_text_goes_alone_and_several_as_a_list() -> None:
    assert sent(embed("a")) == {"model": "some-embedder", "input": "a"}
    assert sent(embed("a", "b", dimensions=256)) == {
        "model": "some-embedder",
        "input": ["a", "b"],
        "dimensions": 256,
    }
    assert TRANSLATOR.max_batch == 2048


def test_a_model_of_fixed_length_gets_no_dimensions_and_it_is_told() -> None:
    translated = TRANSLATOR.to_wire(embed("a", dimensions=5), target("text-embedding-ada-002"))
    assert "dimensions" not in json.loads(translated.request.body)
    assert [told.action for told in translated.adaptations] == ["dropped"]


def test_extra_is_passed_and_cannot_replace_the_input() -> None:
    assert sent(embed("a", extra={"encoding_format": "base64", "user": "u"}))["encoding_format"] == "base64"
    with pytest.raises(BadRequest):
        sent(embed("a", extra={"input": "b"}))


def test_media_are_refused() -> None:
    with pytest.raises(BadRequest, match="texts only"):
        sent(embed("a", Media(kind=MediaKind.IMAGE, base64="aQ==", mime="image/png")))


def test_vectors_are_passed_on_as_bytes_in_the_order_of_the_texts() -> None:
    body = answer([1.5, 2], [-3e-05, 4])
    body["data"].reverse()
    result = read(body, embed("a", "b"))
    assert result.vectors == (Raw(b"[1.5, 2]"), Raw(b"[-3e-05, 4]"))
    assert (result.model, result.usage.input, result.usage.source) == ("m-1", 4, "provider")


def test_base64_vectors_become_the_same_numbers() -> None:
    numbers = [0.5, -0.25, 3.0]
    encoded = b64encode(struct.pack("<3f", *numbers)).decode()
    assert values(read(answer(encoded), embed("a"))) == values(read(answer(numbers), embed("a"))) == [numbers]


@pytest.mark.parametrize(
    "body",
    [
        answer([1.0]),
        answer([1.0], [2.0], [3.0]),
        answer([1.0], [2.0, 3.0]),
        answer([], []),
        answer([None], [1.0]),
        answer([[1.0]], [[2.0]]),
        answer(["1"], ["2"]),
        answer([True], [False]),
        answer({"a": 1}, [1.0]),
        answer(1.5, 2.5),
        answer("!!!!", "????"),
        answer("AAA=", "AAA="),
        answer("", ""),
        answer(b64encode(struct.pack("<f", float("nan"))).decode(), b64encode(struct.pack("<f", 1)).decode()),
        {"data": [{"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [2.0]}]},
        {"data": [{"index": 1, "embedding": [1.0]}, {"index": 2, "embedding": [2.0]}]},
        {"data": [{"embedding": [1.0]}, {"embedding": [2.0]}]},
        {"data": None},
        {},
        b"<html>",
        b"",
    ],
)
def test_anything_but_one_list_of_numbers_for_each_text_is_refused(body: object) -> None:
    with pytest.raises((ProviderBadAnswer, *UNREADABLE)):
        read(body, embed("a", "b"))


def test_a_vector_of_another_length_than_asked_for_is_refused() -> None:
    assert values(read(answer([1.0, 2.0]), embed("a", dimensions=2))) == [[1.0, 2.0]]
    with pytest.raises(ProviderBadAnswer):
        read(answer([1.0, 2.0]), embed("a", dimensions=3))
    assert values(read(answer([1.0, 2.0]), embed("a"), "text-embedding-3-small")) == [[1.0, 2.0]]


def test_an_error_inside_a_200_is_that_error() -> None:
    with pytest.raises(ProviderRateLimited):
        read({"error": {"code": "rate_limit_exceeded"}}, embed("a"))
