"""The embedded models through a real server, called by the published client."""

import base64
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mixpeek
import pytest
from mixpeek.api.inference_api import InferenceApi
from mixpeek.models.raw_inference_request import RawInferenceRequest

from tests.http.kit import Gateway, running
from tests.local_models.conftest import Models
from tests.local_models.test_real_models import SMOLLM, TRIPLES, word_errors, words_of

pytestmark = [pytest.mark.local_models, pytest.mark.timeout(600)]


@pytest.fixture
def gateway(models: Models, tmp_path: Path) -> Iterator[Gateway]:
    for name in ("all-minilm-l6-v2", "whisper-tiny.en", SMOLLM):
        models.require(name)
    with running(tmp_path, INFERWAY_LOCAL__MODELS_DIR=str(models.folder)) as started:
        yield started


def call(gateway: Gateway, model: str, inputs: dict[str, Any], **parameters: Any) -> Any:
    client = mixpeek.ApiClient(mixpeek.Configuration(host=gateway.url))
    client.default_headers |= {"Authorization": f"Bearer {gateway.inference_key}", "X-Namespace": "default"}
    request = RawInferenceRequest(provider="local", model=model, inputs=inputs, parameters=parameters)
    return InferenceApi(client).execute_raw_inference(request, _request_timeout=120.0)


def test_paraphrases_embed_closer_than_strangers(gateway: Gateway) -> None:
    texts = [text for triple in TRIPLES for text in triple]
    answer = call(gateway, "all-minilm-l6-v2", {"texts": texts})
    vectors = answer.data["embeddings"]
    assert len(vectors) == 30
    for number in range(10):
        said, again, stranger = vectors[3 * number : 3 * number + 3]
        assert dot(said, again) > dot(said, stranger) + 0.1, TRIPLES[number]
    assert answer.tokens_used["total"] > 100


def dot(one: list[float], other: list[float]) -> float:
    return math.fsum(x * y for x, y in zip(one, other, strict=True))


def test_human_speech_is_transcribed(
    gateway: Gateway, models: Models, speech: dict[str, tuple[bytes, str]]
) -> None:
    errors = count = 0
    for audio, said in speech.values():
        answer = call(gateway, "whisper-tiny.en", {"audio_base64": base64.b64encode(audio).decode()})
        errors += word_errors(words_of(said), words_of(answer.data["text"]))
        count += len(words_of(said))
    models.tell(f"through the server: word error rate {errors / count:.3f} over {count} words")
    assert errors / count <= 0.2


def test_two_prompts_get_two_answers_that_are_about_them(gateway: Gateway) -> None:
    prompts = ["What is the capital of France?", "What color is the sky on a clear day?"]
    answer = call(gateway, SMOLLM, {"prompts": prompts}, temperature=0, max_tokens=40)
    france, sky = (item["text"].lower() for item in answer.data["completions"])
    assert france != sky
    assert "paris" in france
    assert "blue" in sky
    assert answer.tokens_used["completion"] > 0


def test_a_vision_call_names_the_providers_that_can(gateway: Gateway) -> None:
    answer = gateway.infer(
        provider="local", model=SMOLLM, inputs={"prompts": ["what is it?"], "image_base64": "aGk="}
    )
    error = answer.json()["error"]
    assert (answer.status, error["code"]) == (400, "operation_unsupported")
    assert set(error["details"]["providers"]) >= {"openai", "anthropic", "google"}


def test_a_minimal_model_says_that_it_is_one(gateway: Gateway) -> None:
    answer = gateway.infer(
        provider="local", model=SMOLLM, inputs={"prompts": ["hi"]}, parameters={"max_tokens": 5}
    )
    assert any("minimal" in warning for warning in answer.json()["warnings"])
    assert answer.json()["cost_usd"] == 0


def test_a_schema_holds_by_grammar(gateway: Gateway) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 20}, "legs": {"type": "integer"}},
        "required": ["name", "legs"],
        "additionalProperties": False,
    }
    answer = gateway.infer(
        provider="local",
        model=SMOLLM,
        inputs={"prompts": ["Describe a dog as JSON."]},
        parameters={"schema": schema, "max_tokens": 80, "temperature": 0},
    )
    item = answer.json()["data"]["completions"][0]
    assert item["structured"]["method"] == "grammar"
    assert item["structured"]["valid"] is True
    assert set(item["parsed"]) == {"name", "legs"}
