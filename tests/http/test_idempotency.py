"""`Idempotency-Key` through a real server: the same answer, one call of the provider."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.http.kit import (
    EVENT_STREAM,
    Answered,
    Gateway,
    Reply,
    Seen,
    Upstream,
    chunks,
    completion,
    running,
)

SECRET_ANSWER = "the-answer-that-nobody-may-read"


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """Answers each call differently, so that a second call cannot pass for the first."""
    upstream = Upstream()
    numbers = count(1)

    def answer(_: Seen) -> Reply:
        return Reply(completion(f"{SECRET_ANSWER} {next(numbers)}"))

    upstream.answer = answer
    yield upstream
    upstream.close()


@pytest.fixture
def environ(upstream: Upstream) -> dict[str, str]:
    return {"OPENAI_API_KEY": "sk-upstream", "OPENAI_BASE_URL": f"{upstream.url}/v1"}


@pytest.fixture
def gateway(tmp_path: Path, environ: dict[str, str]) -> Iterator[Gateway]:
    with running(tmp_path / "data", **environ) as started:
        yield started


def send(gateway: Gateway, key: str, headers: dict[str, str] | None = None, **fields: Any) -> Answered:
    body = {"provider": "openai", "model": "gpt-5.4-mini", "inputs": {"prompts": ["hi"]}} | fields
    sent = gateway.headers(idempotency_key=key) | (headers or {})
    return gateway.request("POST", "/v1/inference", json.dumps(body).encode(), sent)


def records(gateway: Gateway, at_least: int) -> list[Any]:
    """The usage rows, once there are so many; the newest last."""
    ends = time.monotonic() + 30
    while True:
        organizations = asyncio.run(gateway.app.directory.list_organizations())
        found = asyncio.run(gateway.app.ledger.list_records(organizations[0].organization_id))
        if len(found) >= at_least:
            return list(reversed(found))
        assert time.monotonic() < ends, "usage rows are missing"
        time.sleep(0.05)


def test_a_repeated_call_gets_the_same_bytes_and_is_billed_once(gateway: Gateway, upstream: Upstream) -> None:
    first = send(gateway, "order-1", {"x-request-id": "first"})
    again = send(gateway, "order-1", {"x-request-id": "second"})
    assert (first.status, again.status) == (200, 200)
    assert again.body == first.body
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert (first.headers["x-request-id"], again.headers["x-request-id"]) == ("first", "second")
    assert again.json()["request_id"] == "first"
    assert len(upstream.seen) == 1
    paid, replayed = records(gateway, 2)
    assert (paid.request_id, paid.status, paid.cached, paid.usage.input) == ("first", "ok", False, 3)
    assert (replayed.request_id, replayed.status, replayed.cached) == ("second", "ok", True)
    assert replayed.cache_kind == "idempotent"
    assert (replayed.cost_microusd, replayed.usage.input, replayed.model) == (0, 0, "gpt-5.4-mini")


def test_a_number_that_nobody_reads_may_be_of_any_size(gateway: Gateway, upstream: Upstream) -> None:
    body = (
        b'{"provider":"openai","model":"gpt-5.4-mini","inputs":{"prompts":["hi"]},"parameters":{"new":1e999}}'
    )
    for again in (body, body, body + b" "):
        sent = gateway.request("POST", "/v1/inference", again, gateway.headers(idempotency_key="order-9"))
        assert sent.status == (200 if again == body else 422), sent.body
    assert len(upstream.seen) == 1


def test_without_the_header_nothing_is_kept(gateway: Gateway, upstream: Upstream) -> None:
    assert gateway.infer().body != gateway.infer().body
    assert len(upstream.seen) == 2
    assert kept_rows(gateway) == 0


def kept_rows(gateway: Gateway) -> int:
    rows = asyncio.run(gateway.app.database.select("SELECT COUNT(*) FROM kept_answers"))
    return int(rows[0][0])


def test_keys_namespaces_and_api_keys_are_apart(gateway: Gateway, upstream: Upstream) -> None:
    admin = {"authorization": f"Bearer {gateway.admin_key}", "content-type": "application/json"}
    made = gateway.request("POST", "/v1/namespaces", b'{"namespace_name": "other"}', admin)
    assert made.status == 200, made.body
    answers = [
        send(gateway, "k"),
        send(gateway, "K"),
        send(gateway, "k", {"x-namespace": "other"}),
        send(gateway, "k", {"authorization": f"Bearer {gateway.admin_key}"}),
    ]
    assert [answer.status for answer in answers] == [200] * 4
    assert len({answer.body for answer in answers}) == 4
    assert len(upstream.seen) == 4
    assert send(gateway, "k", {"x-namespace": "other"}).body == answers[2].body
    assert send(gateway, "k", {"x-namespace": made.json()["namespace_id"]}).body == answers[2].body


def test_another_body_under_the_same_key_is_refused(gateway: Gateway, upstream: Upstream) -> None:
    send(gateway, "k")
    for fields in ({"inputs": {"prompts": ["other"]}}, {"stream": True}, {"model": "m"}):
        answer = send(gateway, "k", **fields)
        error = answer.json()["error"]
        assert (answer.status, error["type"], error["code"]) == (
            422,
            "ValidationError",
            "idempotency_key_reused",
        )
        assert error["details"]["validation_errors"][0]["location"] == ["header", "idempotency-key"]
    assert len(upstream.seen) == 1


@pytest.mark.parametrize("key", ["", "a" * 256, "tab\tinside", "caf\u00e9"])
def test_a_key_that_cannot_be_used_is_refused_and_nobody_is_called(
    gateway: Gateway, upstream: Upstream, key: str
) -> None:
    answer = send(gateway, key)
    assert (answer.status, answer.json()["error"]["code"]) == (400, "idempotency_key_invalid")
    assert upstream.seen == []


def test_twins_in_flight_share_one_call(gateway: Gateway, upstream: Upstream) -> None:
    go = threading.Event()

    def answer(_: Seen) -> Reply:
        assert go.wait(30)
        return Reply(completion("once"))

    upstream.answer = answer
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(send, gateway, "k") for _ in range(8)]
        ends = time.monotonic() + 30
        while not upstream.seen:
            assert time.monotonic() < ends
            time.sleep(0.01)
        time.sleep(0.3)
        go.set()
        answers = [call.result() for call in calls]
    assert {answer.body for answer in answers} == {answers[0].body}
    assert sorted(answer.headers.get("idempotency-replayed", "") for answer in answers) == ["", *["true"] * 7]
    assert len(upstream.seen) == 1
    rows = records(gateway, 8)
    assert sorted(row.cached for row in rows) == [False, *[True] * 7]


def test_a_twin_at_its_deadline_is_told_that_the_first_still_runs(
    gateway: Gateway, upstream: Upstream
) -> None:
    go = threading.Event()

    def answer(_: Seen) -> Reply:
        go.wait(30)
        return Reply(completion("late"))

    upstream.answer = answer
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(send, gateway, "k", parameters={"timeout_s": 30})
        while not upstream.seen:
            time.sleep(0.01)
        began = time.monotonic()
        twin = send(gateway, "k", parameters={"timeout_s": 0.5})
        waited_s = time.monotonic() - began
        go.set()
        assert first.result().status == 200
    error = twin.json()["error"]
    assert (twin.status, error["code"]) == (503, "idempotency_in_progress")
    assert error["type"] == "InferenceServiceUnavailableError"
    assert int(twin.headers["retry-after"]) >= 1
    assert error["details"]["retryable"] is True
    assert "x-should-retry" not in twin.headers
    assert 0.4 <= waited_s < 10
    assert send(gateway, "k").body == first.result().body
    assert len(upstream.seen) == 1


def test_an_answer_outlives_the_server_and_the_provider(
    tmp_path: Path, environ: dict[str, str], upstream: Upstream
) -> None:
    with running(tmp_path, **environ) as gateway:
        first = send(gateway, "k")
    upstream.answer = lambda _: Reply(b"{}", status=500)
    with running(tmp_path, **environ) as gateway:
        again = send(gateway, "k")
        assert (again.status, again.body) == (200, first.body)
        assert send(gateway, "k2").status == 500
    assert first.status == 200


def test_a_failure_is_not_kept_and_frees_the_key(gateway: Gateway, upstream: Upstream) -> None:
    good = upstream.answer
    upstream.answer = lambda _: Reply(b'{"error": {"message": "no", "code": "bad"}}', status=400)
    assert send(gateway, "k").status == 400
    upstream.answer = good
    second = send(gateway, "k", inputs={"prompts": ["mended"]})
    assert second.status == 200
    assert "idempotency-replayed" not in second.headers
    assert send(gateway, "k", inputs={"prompts": ["mended"]}).body == second.body


def test_when_the_first_fails_one_of_those_who_wait_takes_over(gateway: Gateway, upstream: Upstream) -> None:
    go = threading.Event()
    good = upstream.answer

    def answer(seen: Seen) -> Reply:
        assert go.wait(30)
        upstream.answer = good
        return Reply(b'{"error": {"message": "no", "code": "bad"}}', status=400)

    upstream.answer = answer
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(send, gateway, "k") for _ in range(4)]
        while not upstream.seen:
            time.sleep(0.01)
        time.sleep(0.3)
        go.set()
        answers = [call.result() for call in calls]
    assert sorted(answer.status for answer in answers) == [200, 200, 200, 400]
    assert len({answer.body for answer in answers if answer.status == 200}) == 1
    assert len(upstream.seen) == 2


def test_a_client_that_leaves_finds_the_answer_when_it_comes_back(
    gateway: Gateway, upstream: Upstream
) -> None:
    go = threading.Event()

    def answer(_: Seen) -> Reply:
        assert go.wait(30)
        return Reply(completion("for whoever comes back"))

    upstream.answer = answer
    for stream in (False, True):
        go.clear()
        upstream.seen.clear()
        connection = HTTPConnection("127.0.0.1", gateway.port, timeout=30)
        body = {
            "provider": "openai",
            "model": "gpt-5.4-mini",
            "inputs": {"prompts": ["hi"]},
            "stream": stream,
        }
        headers = gateway.headers(idempotency_key=f"left-{stream}")
        connection.request("POST", "/v1/inference", json.dumps(body).encode(), headers)
        while not upstream.seen:
            time.sleep(0.01)
        connection.close()
        time.sleep(0.5)
        go.set()
        again = send(gateway, f"left-{stream}", stream=stream)
        assert again.status == 200
        assert b"for whoever comes back" in again.body
        assert len(upstream.seen) == 1


def events(answer: Answered) -> list[tuple[str, Any]]:
    found = []
    for block in answer.body.decode().strip().split("\n\n"):
        if block.startswith(":"):
            continue
        name, data = block.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def test_a_streamed_answer_is_streamed_again_and_ends_alike(gateway: Gateway, upstream: Upstream) -> None:
    upstream.answer = lambda _: Reply(chunks("Hel", "lo ", "there"), headers=EVENT_STREAM)
    first, again = send(gateway, "k", stream=True), send(gateway, "k", stream=True)
    assert again.headers["content-type"] == first.headers["content-type"]
    assert again.headers["idempotency-replayed"] == "true"
    said, replayed = events(first), events(again)
    assert [name for name, _ in replayed] == ["start", "delta", "item", "done"]
    assert replayed[-1] == said[-1]
    assert replayed[0] == said[0]
    assert "".join(data["text"] for name, data in replayed if name == "delta") == "Hello there"
    assert len(upstream.seen) == 1


def test_a_stream_that_broke_off_is_not_kept(gateway: Gateway, upstream: Upstream) -> None:
    upstream.answer = lambda _: Reply(chunks("Hel", "lo")[:2], headers=EVENT_STREAM, cut=True)
    assert events(send(gateway, "k", stream=True))[-1][0] == "error"
    upstream.answer = lambda _: Reply(chunks("whole"), headers=EVENT_STREAM)
    again = send(gateway, "k", stream=True)
    assert events(again)[-1][0] == "done"
    assert "idempotency-replayed" not in again.headers


def test_a_dry_run_and_a_malformed_body_leave_the_key_free(gateway: Gateway, upstream: Upstream) -> None:
    assert send(gateway, "k", dry_run=True).status == 200
    assert send(gateway, "k", unknown=1).status == 422
    assert send(gateway, "k").status == 200
    assert len(upstream.seen) == 1


def test_nothing_of_a_kept_answer_can_be_read_in_the_data_folder(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    canary = "canary-prompt-5c1f"
    with running(tmp_path, **environ) as gateway:
        answer = send(gateway, "canary-key-77aa", inputs={"prompts": [canary]})
        assert SECRET_ANSWER in answer.json()["data"]["completions"][0]["text"]
        assert kept_rows(gateway) == 1
    for file in (each for each in tmp_path.rglob("*") if each.is_file()):
        content = file.read_bytes()
        for hidden in (SECRET_ANSWER, canary, "canary-key-77aa"):
            assert hidden.encode() not in content, (file.name, hidden)


def test_a_replay_counts_against_the_limit_of_calls(tmp_path: Path, environ: dict[str, str]) -> None:
    with running(tmp_path, INFERWAY_LIMITS__PER_MINUTE="3", INFERWAY_LIMITS__BURST="3", **environ) as gateway:
        answers = [send(gateway, "k") for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert int(answers[2].headers["x-ratelimit-remaining"]) == 0


def test_a_namespace_keeps_so_many_keys(tmp_path: Path, environ: dict[str, str]) -> None:
    with running(tmp_path, INFERWAY_IDEMPOTENCY__KEYS_MAX="2", **environ) as gateway:
        answers = [send(gateway, f"k{number}") for number in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 429]
        error = answers[2].json()["error"]
        assert (error["code"], error["details"]["limit"]) == ("idempotency_keys_exhausted", 2)
        assert send(gateway, "k1").headers["idempotency-replayed"] == "true"
        assert gateway.infer().status == 200


def test_answers_expire(tmp_path: Path, environ: dict[str, str], upstream: Upstream) -> None:
    with running(tmp_path, INFERWAY_IDEMPOTENCY__KEEP_S="1", **environ) as gateway:
        first = send(gateway, "k")
        time.sleep(1.2)
        assert send(gateway, "k").body != first.body
    assert len(upstream.seen) == 2
