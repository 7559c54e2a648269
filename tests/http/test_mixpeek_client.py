"""The published `mixpeek` client, unmodified, against a real server."""

import asyncio
import base64
import io
import json
import wave
from collections.abc import Callable
from typing import Any

import mixpeek
import pytest
from mixpeek.api.inference_api import InferenceApi
from mixpeek.exceptions import ApiException
from mixpeek.models.error_response import ErrorResponse
from mixpeek.models.raw_inference_request import RawInferenceRequest

from inferway.access.administration import Administration
from inferway.access.records import Permission
from tests.http.kit import Gateway, Reply, Upstream


def client(gateway: Gateway, key: str | None = None, namespace: str = "default") -> InferenceApi:
    configuration = mixpeek.Configuration(host=gateway.url)
    api_client = mixpeek.ApiClient(configuration)
    api_client.default_headers["Authorization"] = f"Bearer {key or gateway.inference_key}"
    if namespace:
        api_client.default_headers["X-Namespace"] = namespace
    return InferenceApi(api_client)


def call(api: InferenceApi, **fields: Any) -> Any:
    body = {"provider": "openai", "model": "gpt-5.4-mini", "inputs": {"prompts": ["hi"]}} | fields
    return api.execute_raw_inference(RawInferenceRequest(**body))


def test_a_chat_call(gateway: Gateway, upstream: Upstream) -> None:
    answer = call(client(gateway), parameters={"temperature": 0.2, "max_tokens": 50})
    assert answer.data == {"completions": [{"text": "hello", "finish_reason": "stop"}]}
    assert (answer.provider, answer.model, answer.cached) == ("openai", "gpt-5.4-mini", False)
    assert answer.tokens_used == {"prompt": 3, "completion": 2, "total": 5}
    assert answer.latency_ms > 0
    assert upstream.seen[0].json()["max_completion_tokens"] == 50


def test_an_embedding_call(gateway: Gateway, upstream: Upstream) -> None:
    vectors = [[0.25, -1.5], [1e-07, 3]]
    upstream.answer = lambda seen: Reply(
        json.dumps(
            {
                "object": "list",
                "model": "text-embedding-3-small",
                "data": [
                    {"object": "embedding", "index": index, "embedding": vector}
                    for index, vector in enumerate(vectors[: len(seen.json()["input"])])
                ],
                "usage": {"prompt_tokens": 4, "total_tokens": 4},
            }
        ).encode()
    )
    answer = call(client(gateway), model="text-embedding-3-small", inputs={"texts": ["a", "b"]})
    assert answer.data == {"embeddings": vectors}
    assert answer.tokens_used == {"prompt": 4, "completion": 0, "total": 4}
    assert upstream.seen[0].path == "/v1/embeddings"


def silence() -> str:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16_000)
        sound.writeframes(b"\0\0" * 16_000)
    return base64.b64encode(buffer.getvalue()).decode()


def test_a_transcription_call(gateway: Gateway, upstream: Upstream) -> None:
    said = {"text": "good morning", "usage": {"type": "duration", "seconds": 1}}
    upstream.answer = lambda _: Reply(json.dumps(said).encode())
    answer = call(client(gateway), model="whisper-1", inputs={"audio_base64": silence()})
    assert answer.data["text"] == "good morning"
    seen = upstream.seen[0]
    assert seen.path == "/v1/audio/transcriptions"
    assert seen.headers["content-type"].startswith("multipart/form-data")


def test_an_unpriced_or_uncounted_answer_is_read_too(gateway: Gateway, upstream: Upstream) -> None:
    answer = json.dumps(
        {"choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}], "model": "m"}
    ).encode()
    upstream.answer = lambda _: Reply(answer)
    assert call(client(gateway), model="nobody-knows-it").data["completions"][0]["text"] == "x"


def refusal(status: int, code: str, **headers: str) -> Callable[[Any], Reply]:
    body = json.dumps({"error": {"message": "no", "type": code, "param": None, "code": code}}).encode()
    return lambda _: Reply(body, status=status, headers={"content-type": "application/json"} | headers)


def slow(_: Any) -> Reply:
    return Reply([b" "] * 20, pause_s=0.05)


@pytest.mark.parametrize(
    ("expected", "fields", "answer"),
    [
        ((400, "BadRequestError", "unknown_provider"), {"provider": "nobody"}, None),
        ((400, "BadRequestError", "provider_refused"), {}, refusal(400, "invalid_request_error")),
        ((404, "NotFoundError", "plugin_not_found"), {"inference_name": "p_1_0_0"}, None),
        ((404, "NotFoundError", "feature_uri_not_found"), {"feature_uri": "mixpeek://a@v1/b"}, None),
        ((422, "ValidationError", None), {"inputs": {"prompt": "x"}}, None),
        (
            (429, "TooManyRequestsError", "provider_rate_limited"),
            {},
            refusal(429, "rate_limit_exceeded", **{"retry-after": "60"}),
        ),
        ((500, "InferenceError", "provider_quota"), {}, refusal(429, "insufficient_quota")),
        (
            (503, "InferenceServiceUnavailableError", "timeout"),
            {"parameters": {"timeout_s": 0.2}},
            slow,
        ),
    ],
)
def test_every_declared_error_status_is_read(
    gateway: Gateway,
    upstream: Upstream,
    expected: tuple[int, str, str | None],
    fields: dict[str, Any],
    answer: Callable[[Any], Reply] | None,
) -> None:
    if answer is not None:
        upstream.answer = answer
    if "inference_name" in fields or "feature_uri" in fields:
        fields = {"provider": None, "model": None} | fields
    with pytest.raises(ApiException) as caught:
        call(client(gateway), **fields)
    read(caught.value, *expected)


def read(error: ApiException, status: int, kind: str, code: str | None) -> ErrorResponse:
    body = error.data
    assert isinstance(body, ErrorResponse)
    assert (error.status, body.status, body.success) == (status, status, False)
    assert (body.error.type, body.error.code) == (kind, code)
    if status in (429, 503):
        assert error.headers is not None
        assert int(error.headers["Retry-After"]) >= 1
    return body


def test_a_bad_key_is_a_401_and_a_weak_one_a_403(gateway: Gateway) -> None:
    with pytest.raises(ApiException) as caught:
        call(client(gateway, key="sk_" + "a" * 36))
    read(caught.value, 401, "UnauthorizedError", "key_malformed")
    directory = gateway.app.directory

    async def weak_key() -> str:
        (organization,) = await directory.list_organizations()
        administration = Administration(directory)
        user = await administration.require_user(organization.organization_id, "admin@localhost")
        _, text = await administration.create_key(user, "reader", Permission.READ)
        return text

    with pytest.raises(ApiException) as caught:
        call(client(gateway, key=asyncio.run(weak_key())))
    read(caught.value, 403, "ForbiddenError", "permission_denied")


def test_a_namespace_is_required_and_must_be_there(gateway: Gateway) -> None:
    with pytest.raises(ApiException) as caught:
        call(client(gateway, namespace=""))
    read(caught.value, 400, "BadRequestError", "namespace_required")
    with pytest.raises(ApiException) as caught:
        call(client(gateway, namespace="elsewhere"))
    body = read(caught.value, 404, "NotFoundError", "namespace_not_found")
    assert body.error.details == {"resource": "namespace", "id": "elsewhere"}
