"""Embeddings on the Gemini API and on Vertex AI: what leaves, and what comes back."""

import json
from typing import Any

import msgspec
import pytest

from inferway.errors import BadRequest, ProviderBadAnswer
from inferway.providers.base import Target
from inferway.providers.google.embeddings import GoogleEmbeddingTranslator
from inferway.types import EmbeddingCall, EmbeddingResult, Media, MediaKind, Parameters
from tests.unit.providers.google.exchanges import PIXEL, on_vertex, opened, response, target

TRANSLATOR = GoogleEmbeddingTranslator()
CLIP = Media(kind=MediaKind.VIDEO, data=b"film", mime="video/mp4")
MULTI = "multimodalembedding@001"


def embed(*items: str | Media, **parameters: Any) -> EmbeddingCall:
    """A call."""
    return EmbeddingCall(items=items, parameters=Parameters(**parameters))


def sent(call: EmbeddingCall, at: Target) -> tuple[str, dict[str, Any], list[tuple[str, str]]]:
    """The path, the body and what is told."""
    translated = TRANSLATOR.to_wire(call, at)
    return (translated.request.path, *opened(translated))


def read(call: EmbeddingCall, at: Target, body: object) -> EmbeddingResult:
    """What an answer means."""
    return TRANSLATOR.from_wire(call, at, response(body))


def numbers(result: EmbeddingResult) -> list[list[float]]:
    """The vectors as lists."""
    return [
        msgspec.json.decode(bytes(vector), type=list[float])
        for vector in result.vectors
        if isinstance(vector, msgspec.Raw)
    ]


def multi() -> Target:
    """The multimodal model, in a project."""
    return target(MULTI, options={"project": "acme"})


def test_each_text_is_a_request_of_its_own() -> None:
    path, body, told = sent(embed("one", "two", dimensions=768), target("gemini-embedding-001"))
    assert path == "/v1beta/models/gemini-embedding-001:batchEmbedContents"
    assert body == {
        "requests": [
            {
                "model": "models/gemini-embedding-001",
                "content": {"parts": [{"text": text}]},
                "outputDimensionality": 768,
            }
            for text in ("one", "two")
        ]
    }
    assert told == []


def test_a_task_type_is_sent_and_told_where_it_is_ignored() -> None:
    _, body, told = sent(embed("one", task_type="retrieval_query"), target("gemini-embedding-001"))
    assert body["requests"][0]["taskType"] == "RETRIEVAL_QUERY"
    assert told == []
    _, body, told = sent(embed("one", task_type="RETRIEVAL_QUERY"), target("gemini-embedding-2"))
    assert body["requests"][0]["taskType"] == "RETRIEVAL_QUERY"
    assert told == [("parameters.task_type", "dropped")]


def test_native_fields_go_into_every_request() -> None:
    _, body, _ = sent(embed("a", "b", extra={"title": "T"}), target("gemini-embedding-001"))
    assert [request["title"] for request in body["requests"]] == ["T", "T"]
    with pytest.raises(BadRequest):
        sent(embed("a", extra={"content": {}}), target("gemini-embedding-001"))


def test_the_newer_model_embeds_media() -> None:
    _, body, _ = sent(embed(PIXEL, CLIP), target("gemini-embedding-2"))
    assert [request["content"]["parts"] for request in body["requests"]] == [
        [{"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}],
        [{"inlineData": {"mimeType": "video/mp4", "data": "ZmlsbQ=="}}],
    ]


@pytest.mark.parametrize("item", [PIXEL, CLIP])
def test_a_text_model_refuses_media_and_names_those_that_take_them(item: Media) -> None:
    for model in ("gemini-embedding-001", "text-embedding-005"):
        with pytest.raises(BadRequest) as caught:
            sent(embed(item), target(model, options={"project": "acme"}))
        assert "gemini-embedding-2" in caught.value.message


def test_vectors_come_back_in_order_without_a_float_being_made() -> None:
    body = b'{"embeddings": [{"values": [ 0.10,\n -2e-05 ]}, {"values": [3,4]}],"usageMetadata":{"promptTokenCount":4}}'
    result = read(embed("a", "b"), target("gemini-embedding-2"), body)
    assert [bytes(vector) for vector in result.vectors if isinstance(vector, msgspec.Raw)] == [
        b"[0.10,-2e-05]",
        b"[3,4]",
    ]
    assert result.usage.tokens_used() == {"prompt": 4, "completion": 0, "total": 4}


def test_a_model_that_counts_nothing_has_no_counts() -> None:
    result = read(embed("a"), target("gemini-embedding-001"), {"embeddings": [{"values": [1.0]}]})
    assert result.usage.tokens_used() is None
    assert result.usage.source == "none"


def test_shorter_vectors_that_are_not_normalised_are_told() -> None:
    body = {"embeddings": [{"values": [1.0, 2.0]}]}
    (warning,) = read(embed("a", dimensions=2), target("gemini-embedding-001"), body).warnings
    assert "3072" in warning
    assert read(embed("a", dimensions=2), target("gemini-embedding-2"), body).warnings == ()


@pytest.mark.parametrize(
    "embeddings",
    [
        [],
        [{"values": [1]}],
        [{"values": [1]}, {"values": [1]}, {"values": [1]}],
        [{"values": [1]}, {"values": [1, 2]}],
        [{"values": [1]}, {"values": []}],
        [{"values": [1]}, {"values": None}],
        [{"values": [1]}, {"values": [None]}],
        [{"values": [1]}, {"values": ["1"]}],
        [{"values": [1]}, {"values": [[1]]}],
        [{"values": [1]}, {"values": 1}],
        [{"values": [1]}, {"values": "1"}],
        [{"values": [1]}, {"values": {"a": 1}}],
        [{"values": [1]}, {"values": [True]}],
    ],
)
def test_anything_but_a_vector_for_each_item_is_a_bad_answer(embeddings: list[Any]) -> None:
    with pytest.raises(ProviderBadAnswer):
        read(embed("a", "b"), target("gemini-embedding-2"), {"embeddings": embeddings})


@pytest.mark.parametrize("body", [{}, {"embeddings": [{}]}, {"embeddings": {}}, b"<html>", b""])
def test_another_shape_is_a_decoding_error(body: object) -> None:
    with pytest.raises(msgspec.MsgspecError):
        read(embed("a"), target("gemini-embedding-2"), body)


def test_vectors_of_another_length_than_asked_are_a_bad_answer() -> None:
    with pytest.raises(ProviderBadAnswer):
        read(embed("a", dimensions=3), target("gemini-embedding-2"), {"embeddings": [{"values": [1, 2]}]})


_TWO = [0.5, 0.25]


@pytest.mark.parametrize(
    ("at", "extra", "answer"),
    [
        (target("gemini-embedding-001"), {"outputDimensionality": 2}, {"embeddings": [{"values": _TWO}]}),
        (
            on_vertex("text-embedding-005"),
            {"outputDimensionality": 2},
            {"predictions": [{"embeddings": {"values": _TWO}}]},
        ),
        (
            on_vertex("text-embedding-005"),
            {"parameters": {"outputDimensionality": 2}},
            {"predictions": [{"embeddings": {"values": _TWO}}]},
        ),
        (
            on_vertex("gemini-embedding-2"),
            {"embedContentConfig": {"outputDimensionality": 2}},
            {"embedding": {"values": _TWO}},
        ),
        (multi(), {"parameters": {"dimension": 2}}, {"predictions": [{"textEmbedding": _TWO}]}),
    ],
)
def test_a_length_among_the_native_fields_is_the_one_that_was_asked_for(
    at: Target, extra: dict[str, Any], answer: dict[str, Any]
) -> None:
    call = embed("a", dimensions=128, extra=extra)
    assert "128" not in json.dumps(sent(call, at)[1])
    assert numbers(read(call, at, answer)) == [_TWO]
    with pytest.raises(ProviderBadAnswer):
        read(call, at, json.loads(json.dumps(answer).replace("0.5", "0.5, 0.5")))


def test_a_length_that_was_not_sent_is_not_waited_for() -> None:
    at = target("gemini-embedding-2", facts={"dimensions": False})
    call = embed("a", dimensions=3)
    assert sent(call, at)[2] == [("parameters.dimensions", "dropped")]
    assert numbers(read(call, at, {"embeddings": [{"values": _TWO}]})) == [_TWO]


@pytest.mark.parametrize(
    ("at", "name"),
    [
        (on_vertex("text-embedding-005"), "parameters"),
        (multi(), "parameters"),
        (on_vertex("gemini-embedding-2"), "embedContentConfig"),
    ],
)
@pytest.mark.parametrize("given", ["x", 5, [1], None])
def test_native_fields_that_are_no_object_where_one_stands_are_refused(
    at: Target, name: str, given: Any
) -> None:
    with pytest.raises(BadRequest, match=name) as caught:
        sent(embed("a", dimensions=128, extra={name: given}), at)
    assert caught.value.code == "extra_invalid"


def test_text_on_vertex_is_predicted() -> None:
    call = embed(
        "one", "two", dimensions=256, task_type="CLUSTERING", extra={"title": "T", "autoTruncate": False}
    )
    path, body, told = sent(call, on_vertex("text-embedding-005"))
    assert path.endswith("/publishers/google/models/text-embedding-005:predict")
    assert body == {
        "instances": [{"content": text, "title": "T", "task_type": "CLUSTERING"} for text in ("one", "two")],
        "parameters": {"outputDimensionality": 256, "autoTruncate": False},
    }
    assert told == []
    _, plain, _ = sent(embed("one"), on_vertex("text-embedding-005"))
    assert plain == {"instances": [{"content": "one"}]}


def test_predictions_are_vectors_with_summed_counts() -> None:
    body = {
        "predictions": [
            {"embeddings": {"values": [1, 2], "statistics": {"token_count": 3, "truncated": False}}},
            {"embeddings": {"values": [3, 4], "statistics": {"token_count": 4, "truncated": True}}},
        ],
        "metadata": {"billableCharacterCount": 20},
    }
    result = read(embed("one", "two"), on_vertex("text-embedding-005"), body)
    assert numbers(result) == [[1, 2], [3, 4]]
    assert result.usage.tokens_used() == {"prompt": 7, "completion": 0, "total": 7}
    assert result.usage.raw is not None
    assert json.loads(result.usage.raw)["metadata"] == {"billableCharacterCount": 20}
    assert len(json.loads(result.usage.raw)["statistics"]) == 2
    assert len(result.warnings) == 1


@pytest.mark.parametrize("statistics", [None, {}, 7, {"token_count": "3"}])
def test_predictions_without_good_counts_are_good_all_the_same(statistics: Any) -> None:
    body = {"predictions": [{"embeddings": {"values": [1], "statistics": statistics}}]}
    result = read(embed("one"), on_vertex("text-embedding-005"), body)
    assert numbers(result) == [[1]]
    assert result.usage.tokens_used() is None


def test_a_model_that_takes_one_item_refuses_two() -> None:
    for model in ("gemini-embedding-001", "gemini-embedding-2", MULTI):
        with pytest.raises(BadRequest) as caught:
            sent(embed("a", "b"), on_vertex(model))
        assert caught.value.code == "batch_too_large"


def test_the_newer_model_on_vertex_embeds_one_content() -> None:
    call = embed(PIXEL, dimensions=768, extra={"embedContentConfig": {"autoTruncate": True}})
    path, body, _ = sent(call, on_vertex("gemini-embedding-2"))
    assert path.endswith("/models/gemini-embedding-2:embedContent")
    assert body == {
        "content": {"parts": [{"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}]},
        "embedContentConfig": {"autoTruncate": True, "outputDimensionality": 768},
    }
    answer = {
        "embedding": {"values": [0.5] * 768},
        "usageMetadata": {"promptTokenCount": 2, "totalTokenCount": 2},
    }
    result = read(call, on_vertex("gemini-embedding-2"), answer)
    assert len(numbers(result)[0]) == 768
    assert result.usage.input == 2


def test_the_multimodal_model_goes_to_vertex_by_itself() -> None:
    path, body, told = sent(embed("a dog"), multi())
    assert path == (
        "/v1beta1/projects/acme/locations/us-central1/publishers/google/models/multimodalembedding@001:predict"
    )
    assert body == {"instances": [{"text": "a dog"}]}
    assert told == []
    with pytest.raises(BadRequest) as caught:
        sent(embed("a dog"), target(MULTI))
    assert caught.value.code == "vertex_not_configured"


def test_an_image_is_sent_as_bytes_with_the_wanted_dimension() -> None:
    _, body, _ = sent(embed(PIXEL, dimensions=512), multi())
    assert body == {
        "instances": [{"image": {"bytesBase64Encoded": "iVBORw0KGgo=", "mimeType": "image/png"}}],
        "parameters": {"dimension": 512},
    }


def test_a_video_is_one_segment_unless_the_caller_cuts_it() -> None:
    _, body, _ = sent(embed(CLIP), multi())
    assert body == {
        "instances": [
            {"video": {"bytesBase64Encoded": "ZmlsbQ==", "videoSegmentConfig": {"intervalSec": 120}}}
        ]
    }
    config = {"startOffsetSec": 0, "endOffsetSec": 8, "intervalSec": 8}
    _, body, _ = sent(embed(CLIP, extra={"video": {"videoSegmentConfig": config}}), multi())
    assert body["instances"][0]["video"] == {"bytesBase64Encoded": "ZmlsbQ==", "videoSegmentConfig": config}


@pytest.mark.parametrize(("item", "dimensions"), [("a", 300), (PIXEL, 3072), (CLIP, 512)])
def test_a_dimension_that_the_multimodal_model_lacks_is_the_callers_error(
    item: str | Media, dimensions: int
) -> None:
    with pytest.raises(BadRequest) as caught:
        sent(embed(item, dimensions=dimensions), multi())
    assert caught.value.code == "dimensions_unsupported"


def test_media_that_the_multimodal_model_cannot_take_are_the_callers_error() -> None:
    for item in (
        Media(kind=MediaKind.AUDIO, data=b"x"),
        Media(kind=MediaKind.IMAGE, url="https://example.com/a.png"),
    ):
        with pytest.raises(BadRequest) as caught:
            sent(embed(item), multi())
        assert caught.value.code == "media_unsupported"


def test_a_task_type_means_nothing_to_the_multimodal_model_and_is_told() -> None:
    _, body, told = sent(embed("a", task_type="CLUSTERING"), multi())
    assert body == {"instances": [{"text": "a"}]}
    assert told == [("parameters.task_type", "dropped")]


@pytest.mark.parametrize(
    ("item", "prediction"),
    [
        ("a", {"textEmbedding": [1, 2]}),
        (PIXEL, {"imageEmbedding": [1, 2]}),
        (CLIP, {"videoEmbeddings": [{"startOffsetSec": 0, "endOffsetSec": 7, "embedding": [1, 2]}]}),
    ],
)
def test_the_multimodal_model_gives_the_vector_of_what_was_sent(
    item: str | Media, prediction: dict[str, Any]
) -> None:
    result = read(embed(item), multi(), {"predictions": [prediction], "deployedModelId": "1"})
    assert numbers(result) == [[1, 2]]
    assert result.usage.tokens_used() is None
    assert result.warnings == ()


def test_several_segments_give_the_first_and_tell_of_the_others() -> None:
    segments = [{"startOffsetSec": s, "endOffsetSec": s + 8, "embedding": [s, 1]} for s in (0, 8, 16)]
    result = read(embed(CLIP), multi(), {"predictions": [{"videoEmbeddings": segments}]})
    assert numbers(result) == [[0, 1]]
    assert "3 segments" in result.warnings[0]


def test_a_video_that_goes_on_is_told() -> None:
    segment = {"startOffsetSec": 0, "endOffsetSec": 120, "embedding": [1]}
    result = read(embed(CLIP), multi(), {"predictions": [{"videoEmbeddings": [segment]}]})
    assert "120 seconds" in result.warnings[0]


@pytest.mark.parametrize(
    ("item", "predictions"),
    [
        ("a", []),
        ("a", [{}]),
        ("a", [{"imageEmbedding": [1]}]),
        (PIXEL, [{"textEmbedding": [1]}]),
        (CLIP, [{"videoEmbeddings": []}]),
        ("a", [{"textEmbedding": [1]}, {"textEmbedding": [1]}]),
        ("a", [{"textEmbedding": None}]),
    ],
)
def test_another_vector_than_that_of_the_item_is_a_bad_answer(
    item: str | Media, predictions: list[Any]
) -> None:
    with pytest.raises(ProviderBadAnswer):
        read(embed(item), multi(), {"predictions": predictions})
