"""Limits as a client sees them."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.http.kit import EVENT_STREAM, Gateway, Reply, Upstream, chunks, completion, running

_NAMES = ("limit", "remaining", "reset", "window")


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    upstream = Upstream()
    upstream.answer = lambda _: Reply(completion())
    yield upstream
    upstream.close()


def _gateway(tmp_path: Path, upstream: Upstream, **limits: str) -> Any:
    chosen = {f"INFERWAY_LIMITS__{name.upper()}": value for name, value in limits.items()}
    return running(
        tmp_path,
        INFERWAY_PROVIDERS__OPENAI__API_KEY="sk-test",
        INFERWAY_PROVIDERS__OPENAI__BASE_URL=f"{upstream.url}/v1",
        **chosen,
    )


def _standing(headers: dict[str, str]) -> dict[str, int]:
    return {name: int(headers[f"x-ratelimit-{name}"]) for name in _NAMES}


def test_every_answer_says_how_the_key_stands(tmp_path: Path, upstream: Upstream) -> None:
    with _gateway(tmp_path, upstream, per_minute="6", per_second="0") as gateway:
        good = gateway.infer()
        assert good.status == 200
        now = time.time()
        standing = _standing(good.headers)
        assert (standing["limit"], standing["remaining"], standing["window"]) == (6, 5, 60)
        assert now + 5 < standing["reset"] < now + 13
        assert gateway.infer(provider="nobody").status == 400
        shapeless = gateway.request("POST", "/v1/inference", b"{}", gateway.headers())
        assert (shapeless.status, _standing(shapeless.headers)["remaining"]) == (422, 4)
        assert gateway.request("POST", "/v1/inference", b"{", gateway.headers()).status == 400
        assert gateway.infer().status == 200
        upstream.answer = lambda _: Reply(b"".join(chunks("a", "b")), headers=EVENT_STREAM)
        streamed = gateway.infer(stream=True)
        assert (streamed.status, _standing(streamed.headers)["remaining"]) == (200, 2)
        assert b"event: done" in streamed.body
        upstream.answer = lambda _: Reply(b'{"error": {"message": "no"}}', status=400)
        failed = gateway.infer()
        assert (failed.status, _standing(failed.headers)["remaining"]) == (400, 1)
        assert gateway.infer(dry_run=True).status == 200
        _assert_refused(gateway)


def _assert_refused(gateway: Gateway) -> None:
    refused = gateway.infer()
    assert refused.status == 429
    error = refused.json()["error"]
    assert error["type"] == "TooManyRequestsError"
    details = error["details"]
    assert details["limit"] == 6
    assert details["window"] == 60
    assert details["api_name"] == "inference"
    assert details["retryable"] is True
    assert details["retry_after"] == details["retry_after_seconds"] == int(refused.headers["retry-after"])
    assert 1 <= details["retry_after"] <= 10
    standing = _standing(refused.headers)
    assert (standing["limit"], standing["remaining"], standing["window"]) == (6, 0, 60)
    assert standing["reset"] > time.time()


def test_a_key_with_a_limit_of_its_own_is_held_to_it(tmp_path: Path, upstream: Upstream) -> None:
    with _gateway(tmp_path, upstream) as gateway:
        admin = {"authorization": f"Bearer {gateway.admin_key}", "content-type": "application/json"}
        users = json.loads(gateway.request("GET", "/v1/organizations/users", None, admin).body)
        email = users["results"][0]["email"]
        body = json.dumps({"name": "slow", "permissions": ["write"], "rate_limit_override": 2}).encode()
        made = gateway.request("POST", f"/v1/organizations/users/{email}/api-keys", body, admin)
        assert made.status == 200, made.body
        gateway.inference_key = made.json()["key"]
        answers = [gateway.infer() for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 429]
        assert _standing(answers[0].headers)["limit"] == 2


def test_a_limit_that_is_off_has_no_headers(tmp_path: Path, upstream: Upstream) -> None:
    with _gateway(tmp_path, upstream, per_minute="0", per_second="0", concurrent="0") as gateway:
        answers = [gateway.infer() for _ in range(30)]
        assert {answer.status for answer in answers} == {200}
        assert not [name for name in answers[0].headers if name.startswith("x-ratelimit")]


def test_the_default_is_the_enterprise_tier(tmp_path: Path, upstream: Upstream) -> None:
    with _gateway(tmp_path, upstream) as gateway:
        standing = _standing(gateway.infer().headers)
        assert (standing["limit"], standing["window"]) == (6000, 60)
        assert standing["remaining"] >= 398


def test_a_request_without_a_key_has_no_limit_to_speak_of(tmp_path: Path, upstream: Upstream) -> None:
    with _gateway(tmp_path, upstream) as gateway:
        refused = gateway.request("POST", "/v1/inference", b"{}", {"content-type": "application/json"})
        assert refused.status == 401
        assert not [name for name in refused.headers if name.startswith("x-ratelimit")]


def test_calls_at_once_are_limited_and_sequential_calls_never_refused(
    tmp_path: Path, upstream: Upstream
) -> None:
    with _gateway(tmp_path, upstream, concurrent="1", per_second="0", per_minute="0") as gateway:
        for _ in range(20):
            assert gateway.infer().status == 200
        upstream.answer = lambda _: Reply(b"".join(chunks("a")), headers=EVENT_STREAM)
        for _ in range(20):
            assert gateway.infer(stream=True).status == 200
        upstream.answer = lambda _: Reply(completion(), pause_s=1.5)
        _assert_second_waits(gateway)


def _assert_second_waits(gateway: Gateway) -> None:
    statuses: list[int] = []
    first = threading.Thread(target=lambda: statuses.append(gateway.infer().status))
    first.start()
    time.sleep(0.5)
    second = gateway.infer()
    first.join()
    assert statuses == [200]
    assert second.status == 429
    details = json.loads(second.body)["error"]["details"]
    assert (details["limit"], details["window"], details["retry_after"]) == (1, 0, 1)
    assert gateway.infer().status == 200
