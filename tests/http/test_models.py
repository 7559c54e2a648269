"""Which providers and models a server offers, and what they take."""

from typing import Any
from urllib.parse import urlencode

import pytest

from tests.http.kit import Answered, Gateway

PATH = "/v1/inference/models"


def ask(gateway: Gateway, **query: str) -> Answered:
    headers = {"authorization": f"Bearer {gateway.inference_key}"}
    return gateway.request("GET", f"{PATH}?{urlencode(query)}", None, headers)


def _only(answer: Answered) -> dict[str, Any]:
    assert answer.status == 200, answer.body
    (found,) = answer.json()["results"]
    return dict(found)


def test_the_list_has_every_provider_and_says_which_can_be_called(gateway: Gateway) -> None:
    answer = ask(gateway).json()
    found = {each["provider"]: each for each in answer["results"]}
    assert answer["total"] == len(found)
    assert found["openai"]["configured"] is True
    assert found["local"]["configured"] is True
    known = {each["model"]: each for each in found["openai"]["models"]}
    assert known["gpt-4o"]["operations"] == ["chat", "vision"]
    assert known["gpt-4o"]["limits"]["max_output_tokens"] == 16_384
    assert known["text-embedding-3-small"]["operations"] == ["text_embedding"]
    assert known["text-embedding-3-small"]["limits"]["vector_length"] == 1_536
    local = {each["model"]: each for each in found["local"]["models"]}
    assert local["all-minilm-l6-v2"]["limits"]["vector_length"] == 384
    assert "detail" not in local["all-minilm-l6-v2"]


def test_one_model_comes_with_what_it_takes(gateway: Gateway) -> None:
    found = _only(ask(gateway, provider="openai", model="gpt-5-mini", operation="chat"))
    (model,) = found["models"]
    (detail,) = model["detail"]
    parameters = {each["name"]: each for each in detail["parameters"]}
    assert detail["served"] is True
    assert parameters["temperature"]["taken"] is False
    assert parameters["temperature"]["reason"] == "this model does not take it"
    assert parameters["max_tokens"]["maximum"] == 128_000


def test_a_model_that_is_not_listed_is_described_all_the_same(gateway: Gateway) -> None:
    found = _only(ask(gateway, provider="gemini", model="some-new-thing"))
    (model,) = found["models"]
    assert found["provider"] == "google"
    assert model["is_listed"] is False
    assert {each["operation"] for each in model["detail"]} >= {"chat", "transcription"}


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"provider": "nobody"}, 400),
        ({"model": "gpt-4o"}, 422),
        ({"provider": "openai", "model": ""}, 422),
        ({"provider": "openai", "model": "x" * 257}, 422),
        ({"provider": "openai", "operation": "poetry"}, 422),
    ],
)
def test_what_cannot_be_described_is_refused(gateway: Gateway, query: dict[str, str], status: int) -> None:
    assert ask(gateway, **query).status == status
