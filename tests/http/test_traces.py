"""What a call leaves behind: one record each, and no noise in the logs."""

import json
import logging
import socket
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from tests.http.kit import EVENT_STREAM, Gateway, Reply, Upstream, chunks, completion


def record_of(gateway: Gateway, request_id: str) -> dict[str, Any]:
    """The only record of a request, once it is in the ledger."""
    path: Path = gateway.app.settings.data_dir / "inferway.db"
    ends = time.monotonic() + 10
    while time.monotonic() < ends:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
            database.row_factory = sqlite3.Row
            found = database.execute("SELECT * FROM usage WHERE request_id = ?", (request_id,)).fetchall()
        database.close()
        if found:
            assert len(found) == 1
            return dict(found[0])
        time.sleep(0.05)
    raise AssertionError("there is no record")


def test_media_that_cannot_be_had_leave_a_record(gateway: Gateway, upstream: Upstream) -> None:
    answer = gateway.infer(inputs={"prompts": ["what?"], "image_url": "http://127.0.0.1/x.png"})
    assert (answer.status, answer.json()["error"]["code"]) == (400, "media_unavailable")
    record = record_of(gateway, answer.headers["x-request-id"])
    assert (record["status"], record["error_code"], record["operation"]) == (
        "error",
        "media_unavailable",
        "vision",
    )
    assert upstream.seen == []


def test_a_dry_run_fetches_no_media_and_leaves_no_record(gateway: Gateway, upstream: Upstream) -> None:
    url = "https://media.invalid/x.png"
    answer = gateway.infer(dry_run=True, inputs={"prompts": ["what?"], "image_url": url})
    assert answer.status == 200
    assert any("not fetched" in warning for warning in answer.json()["warnings"])
    private = gateway.infer(dry_run=True, inputs={"prompts": ["what?"], "image_url": "http://127.0.0.1/"})
    assert (private.status, private.json()["error"]["code"]) == (400, "media_unavailable")
    assert upstream.seen == []


def test_a_client_that_leaves_a_stream_leaves_a_record_and_no_traceback(
    gateway: Gateway, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.answer = lambda _: Reply(chunks(*["word"] * 100), headers=EVENT_STREAM, pause_s=0.05)
    body = json.dumps(
        {"provider": "openai", "model": "m", "inputs": {"prompts": ["hi"]}, "stream": True}
    ).encode()
    head = "".join(f"{name}: {value}\r\n" for name, value in gateway.headers(x_request_id="leaver").items())
    with caplog.at_level(logging.INFO), socket.create_connection(("127.0.0.1", gateway.port)) as client:
        client.sendall(
            b"POST /v1/inference HTTP/1.1\r\nhost: here\r\ncontent-length: %d\r\n%s\r\n%s"
            % (len(body), head.encode(), body)
        )
        got = b""
        while b"event: delta" not in got:
            got += client.recv(65536)
        client.close()
        left = time.monotonic()
        assert upstream.gone.wait(3)
        assert time.monotonic() - left < 1.5
        record = record_of(gateway, "leaver")
    assert (record["status"], record["streamed"]) == ("client_disconnected", 1)
    assert "Traceback" not in caplog.text


def test_every_answer_has_its_id_and_its_timing(gateway: Gateway, upstream: Upstream) -> None:
    answers = [
        gateway.infer(),
        gateway.infer(inputs={}),
        gateway.infer(provider="nobody"),
        gateway.infer(stream=True),
        gateway.request("POST", "/v1/inference", b"{", gateway.headers()),
        gateway.request("POST", "/v1/inference", b"{}"),
        gateway.request("GET", "/v1/inference"),
        gateway.request("GET", "/v1/health"),
        gateway.request("GET", "/nowhere"),
    ]
    for answer in answers:
        assert answer.headers["x-request-id"].startswith("req_")
        assert "gateway;dur=" in answer.headers["server-timing"]


def test_a_long_hint_reaches_the_caller_whole(gateway: Gateway, upstream: Upstream) -> None:
    limited = b'{"error":{"message":"slow down","code":"rate_limit_exceeded"}}'
    upstream.answer = lambda _: Reply(limited, status=429, headers={"retry-after": "9999999"})
    answer = gateway.infer()
    assert answer.status == 429
    assert answer.headers["retry-after"] == "9999999"
    assert answer.json()["error"]["details"]["retry_after_seconds"] == 9999999
    assert len(upstream.seen) == 1


@pytest.mark.parametrize("provider", ["openai", "google"])
def test_a_system_text_is_not_lost_on_an_embedding(
    gateway: Gateway, upstream: Upstream, provider: str
) -> None:
    openai = {"data": [{"index": 0, "embedding": [0.5]}], "usage": {"prompt_tokens": 1, "total_tokens": 1}}
    google = {"embeddings": [{"values": [0.5]}]}
    upstream.answer = lambda _: Reply(json.dumps(openai if provider == "openai" else google).encode())
    answer = gateway.infer(provider=provider, inputs={"text": "a"}, parameters={"system": "be brief"})
    assert [told["field"] for told in answer.json()["adaptations"]] == ["parameters.system"]
    strict = {"system": "be brief", "strict": True}
    assert gateway.infer(provider=provider, inputs={"text": "a"}, parameters=strict).status == 400


def test_blanks_around_a_header_do_not_count(gateway: Gateway, upstream: Upstream) -> None:
    blank = gateway.headers(x_request_id="my-id ") | {
        "x-namespace": " default \t",
        "authorization": f"  Bearer {gateway.inference_key} ",
    }
    body = b'{"provider":"openai","model":"m","inputs":{"prompts":["a"]}}'
    answer = gateway.request("POST", "/v1/inference", body, blank)
    assert (answer.status, answer.headers["x-request-id"]) == (200, "my-id")


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        ({"prompt_tokens": "7", "completion_tokens": 2}, 2),
        ({"prompt_tokens": -1, "completion_tokens": 2, "total_tokens": 1}, 2),
        ({"prompt_tokens": 10**30, "completion_tokens": 2}, 2),
        ({}, 3),
        (None, 3),
    ],
)
def test_counts_that_cannot_be_right_are_told(
    gateway: Gateway, upstream: Upstream, usage: Any, counted: int
) -> None:
    whole = json.loads(completion("hi there"))
    upstream.answer = lambda _: Reply(json.dumps(whole | {"usage": usage}).encode())
    body = gateway.infer().json()
    assert body["tokens_used"]["total"] == counted
    assert any("estimated" in warning for warning in body["warnings"])
