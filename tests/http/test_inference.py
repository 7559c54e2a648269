"""`POST /v1/inference` through a real server."""

import json
import re
import socket
import time
from http.client import HTTPConnection
from typing import Any

import pytest

from tests.http.kit import EVENT_STREAM, Gateway, Reply, Upstream, chunks, completion


def test_a_chat_call_is_answered_in_the_contracts_shape(gateway: Gateway, upstream: Upstream) -> None:
    answer = gateway.infer(parameters={"max_tokens": 7, "temperature": 0.5})
    assert answer.status == 200
    body = answer.json()
    assert body["data"] == {"completions": [{"text": "hello", "finish_reason": "stop"}]}
    assert (body["provider"], body["model"], body["cached"]) == ("openai", "gpt-5.4-mini", False)
    assert body["tokens_used"] == {"prompt": 3, "completion": 2, "total": 5}
    assert body["latency_ms"] > 0
    assert body["adaptations"] == []
    assert answer.headers["x-request-id"] == body["request_id"]
    assert re.fullmatch(r"gateway;dur=[\d.]+, upstream;dur=[\d.]+", answer.headers["server-timing"])
    (seen,) = upstream.seen
    assert seen.path == "/v1/chat/completions"
    assert seen.headers["authorization"] == "Bearer sk-upstream-secret-key"
    sent = seen.json()
    assert sent["messages"] == [{"role": "user", "content": "hi"}]
    assert (sent["max_completion_tokens"], sent["temperature"]) == (7, 0.5)


@pytest.mark.parametrize(
    ("provider", "model", "fields"),
    [
        ("openai", "gpt-5.4-mini", ["messages[1].reasoning"]),
        ("openai", "o1-mini", ["messages[1].reasoning", "messages[2].role", "system"]),
        ("google", "gemini-3.8-flash", ["messages[1].reasoning", "messages[2]"]),
    ],
)
def test_messages_are_told_by_the_places_that_the_caller_gave_them(
    gateway: Gateway, upstream: Upstream, provider: str, model: str, fields: list[str]
) -> None:
    del upstream
    messages = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b", "reasoning": [{"text": "c", "signature": "d"}]},
        {"role": "system", "content": "e"},
        {"role": "user", "content": "f"},
    ]
    for system in ({"inputs": {"messages": messages, "system": "g"}}, {"parameters": {"system": "g"}}):
        answer = gateway.infer(
            **{"provider": provider, "model": model, "inputs": {"messages": messages}, "dry_run": True}
            | system
        )
        assert sorted(each["field"] for each in answer.json()["adaptations"]) == fields


def test_a_request_id_is_echoed_when_it_may_be_and_replaced_otherwise(
    gateway: Gateway, upstream: Upstream
) -> None:
    def sent(request_id: str) -> str:
        body = b'{"provider":"openai","model":"m","inputs":{"prompts":["a"]}}'
        return gateway.request(
            "POST", "/v1/inference", body, gateway.headers(x_request_id=request_id)
        ).headers["x-request-id"]

    assert sent("my-id_1.2") == "my-id_1.2"
    for bad in ("a b", "a" * 129, "é", "<script>"):
        assert re.fullmatch(r"req_[0-9a-f]{24}", sent(bad))


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"authorization": ""}, 401, "key_missing"),
        ({"authorization": "Basic abc"}, 401, "key_malformed"),
        ({"authorization": "Bearer sk_nonsense"}, 401, "key_malformed"),
        ({"x-namespace": ""}, 400, "namespace_required"),
        ({"x-namespace": "nobody"}, 404, "namespace_not_found"),
        ({"content-type": "text/plain"}, 400, "unsupported_media_type"),
        ({"content-type": ""}, 400, "unsupported_media_type"),
        ({"content-type": "application/json; charset=utf-16"}, 400, "unsupported_media_type"),
        ({"content-encoding": "gzip"}, 400, "unsupported_media_type"),
    ],
)
def test_headers_that_do_not_do_are_refused_with_a_code(
    gateway: Gateway, upstream: Upstream, headers: dict[str, str], status: int, code: str
) -> None:
    chosen = {name: value for name, value in (gateway.headers() | headers).items() if value}
    answer = gateway.request("POST", "/v1/inference", b'{"inputs":{}}', chosen)
    assert (answer.status, answer.json()["error"]["code"]) == (status, code)
    assert upstream.seen == []


def test_other_methods_and_paths_get_an_envelope_too(gateway: Gateway) -> None:
    answer = gateway.request("GET", "/v1/inference")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    answer = gateway.request("GET", "/nowhere")
    assert (answer.status, answer.json()["error"]["type"]) == (404, "NotFoundError")


def test_health_needs_no_key(gateway: Gateway) -> None:
    for path in ("/v1/health", "/v1/health/liveness", "/v1/health/readiness"):
        assert gateway.request("GET", path).status == 200


def deep(depth: int) -> bytes:
    return (
        b'{"provider":"openai","model":"m","inputs":{"prompts":["a"]},"parameters":{"extra":{"x":%s%s}}}'
        % (
            b"[" * depth,
            b"]" * depth,
        )
    )


HOSTILE = {
    "nothing": b"",
    "half": b'{"provider":"openai","mod',
    "trailing": b'{"provider":"openai","model":"m","inputs":{"prompts":["a"]}} x',
    "nan": b'{"provider":"openai","model":"m","inputs":{"prompts":["a"]},"parameters":{"temperature":NaN}}',
    "infinity": b'{"provider":"openai","model":"m","inputs":{"prompts":["a"]},"parameters":{"temperature":1e999}}',
    "huge integer": b'{"provider":"openai","model":"m","inputs":{"prompts":["a"]},"parameters":{"seed":%s}}'
    % (b"9" * 5000),
    "lone surrogate": b'{"provider":"openai","model":"m","inputs":{"prompts":["\\ud800"]}}',
    "surrogate key": b'{"provider":"openai","model":"m","inputs":{"\\ud800":1}}',
    "bad utf-8": b'{"provider":"openai","model":"m","inputs":{"prompts":["\xff\xfe"]}}',
    "utf-16": '{"provider":"openai"}'.encode("utf-16"),
    "bom": b"\xef\xbb\xbf{}",
    "control": b'{"provider":"openai\x00"}',
    "array": b"[]",
    "null": b"null",
    "number": b"1",
    "deep": deep(70),
    "very deep": deep(100_000),
    "deep and broken": b"[" * 200_000,
    "wrong types": b'{"provider":1,"model":[],"inputs":"x","parameters":3,"stream":"yes"}',
    "null inputs": b'{"provider":"openai","model":"m","inputs":null}',
    "long key": b'{"provider":"openai","model":"m","inputs":{"prompts":["a"]},"%s":1}' % (b"k" * 100_000),
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_bodies_are_refused_and_the_connection_lives_on(
    gateway: Gateway, upstream: Upstream, body: bytes
) -> None:
    connection = HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    connection.request("POST", "/v1/inference", body, gateway.headers())
    answer = connection.getresponse()
    envelope = json.loads(answer.read())
    assert answer.status in (400, 422)
    assert envelope["success"] is False
    assert len(envelope["error"]["message"]) < 1000
    assert upstream.seen == []
    good = b'{"provider":"openai","provider":"openai","model":"m","inputs":{"prompts":["a"]}}'
    connection.request("POST", "/v1/inference", good, gateway.headers())
    assert connection.getresponse().status == 200
    connection.close()


def test_a_body_above_the_cap_is_refused_and_the_connection_lives_on(
    gateway: Gateway, upstream: Upstream
) -> None:
    connection = HTTPConnection("127.0.0.1", gateway.port, timeout=30)
    for headers in (gateway.headers(), gateway.headers(transfer_encoding="chunked")):
        piece = b"x" * 1_000_000
        body: Any = iter([piece] * 6) if "transfer-encoding" in headers else piece * 6
        connection.request(
            "POST", "/v1/inference", body, headers, encode_chunked="transfer-encoding" in headers
        )
        answer = connection.getresponse()
        assert json.loads(answer.read())["error"]["code"] == "body_too_large"
        assert answer.status == 400
    connection.request(
        "POST",
        "/v1/inference",
        b'{"provider":"openai","model":"m","inputs":{"prompts":["a"]}}',
        gateway.headers(),
    )
    assert connection.getresponse().status == 200
    connection.close()
    assert len(upstream.seen) == 1


def events(body: bytes) -> list[tuple[str, Any]]:
    found = []
    for block in body.decode().split("\n\n"):
        lines = block.split("\n")
        if lines[0].startswith("event: "):
            found.append((lines[0][7:], json.loads(lines[1][6:])))
    return found


def test_a_stream_tells_the_deltas_and_ends_with_what_a_plain_call_would_answer(
    gateway: Gateway, upstream: Upstream
) -> None:
    upstream.answer = lambda seen: (
        Reply(chunks("hel", "lo"), headers=EVENT_STREAM) if seen.json().get("stream") else Reply(completion())
    )
    answer = gateway.infer(stream=True)
    assert answer.headers["content-type"].startswith("text/event-stream")
    told = events(answer.body)
    assert [name for name, _ in told] == ["start", "delta", "delta", "item", "done"]
    assert told[0][1] == {
        "request_id": answer.headers["x-request-id"],
        "provider": "openai",
        "model": "gpt-5.4-mini",
    }
    assert told[1][1] == {"index": 0, "text": "hel"}
    assert told[3][1] == {"index": 0, "finish_reason": "stop"}
    varying = {"latency_ms", "request_id"}
    done, plain = (
        {key: value for key, value in body.items() if key not in varying}
        for body in (told[-1][1], gateway.infer().json())
    )
    assert done == plain


def test_a_stream_that_fails_before_the_first_event_has_a_plain_status(
    gateway: Gateway, upstream: Upstream
) -> None:
    refusal = {"error": {"message": "no", "type": "invalid_request_error", "param": None, "code": None}}
    upstream.answer = lambda _: Reply(json.dumps(refusal).encode(), status=400)
    answer = gateway.infer(stream=True)
    assert answer.status == 400
    assert answer.json()["error"]["code"] == "provider_refused"


def test_a_stream_that_is_cut_ends_with_an_error_event(gateway: Gateway, upstream: Upstream) -> None:
    upstream.answer = lambda _: Reply(chunks("half")[:1], headers=EVENT_STREAM)
    told = events(gateway.infer(stream=True).body)
    assert [name for name, _ in told] == ["start", "delta", "error"]
    assert told[-1][1]["status"] == 500
    assert told[-1][1]["error"]["code"] == "provider_bad_answer"
    assert len(upstream.seen) == 1


def test_prompts_of_one_stream_interleave_and_each_ends_with_its_item(
    gateway: Gateway, upstream: Upstream
) -> None:
    upstream.answer = lambda _: Reply(chunks("a", "b"), headers=EVENT_STREAM)
    told = events(gateway.infer(stream=True, inputs={"prompts": ["one", "two", "three"]}).body)
    for index in range(3):
        mine = [name for name, fields in told if fields.get("index") == index]
        assert mine == ["delta", "delta", "item"]
    assert told[0][0] == "start"
    assert told[-1][0] == "done"
    assert len(told[-1][1]["data"]["completions"]) == 3


def test_a_client_that_leaves_a_stream_cancels_the_upstream_within_a_second(
    gateway: Gateway, upstream: Upstream
) -> None:
    upstream.answer = lambda _: Reply(chunks(*["word"] * 400), headers=EVENT_STREAM, pause_s=0.02)
    body = {"provider": "openai", "model": "m", "inputs": {"prompts": ["a"]}, "stream": True}
    connection = HTTPConnection("127.0.0.1", gateway.port, timeout=10)
    connection.request("POST", "/v1/inference", json.dumps(body).encode(), gateway.headers())
    connection.getresponse().read(100)
    left = time.monotonic()
    connection.sock.shutdown(socket.SHUT_RDWR)
    connection.close()
    assert upstream.gone.wait(5)
    assert time.monotonic() - left < 1.5


def test_a_client_that_leaves_a_plain_call_cancels_the_upstream(gateway: Gateway, upstream: Upstream) -> None:
    upstream.answer = lambda _: Reply([b" "] * 400, pause_s=0.02)
    connection = HTTPConnection("127.0.0.1", gateway.port, timeout=10)
    connection.request(
        "POST",
        "/v1/inference",
        b'{"provider":"openai","model":"m","inputs":{"prompts":["a"]}}',
        gateway.headers(),
    )
    time.sleep(0.5)
    connection.close()
    assert upstream.gone.wait(5)


def test_secrets_of_the_upstream_stay_here(gateway: Gateway, upstream: Upstream) -> None:
    said = "Incorrect API key provided: sk-upstream-secret-key. Find it at http://127.0.0.1:1/keys"
    upstream.answer = lambda _: Reply(
        json.dumps({"error": {"message": said, "code": "invalid_api_key"}}).encode(), status=401
    )
    answer = gateway.infer()
    assert (answer.status, answer.json()["error"]["code"]) == (500, "provider_auth")
    assert b"secret-key" not in answer.body
    assert b"127.0.0.1" not in answer.body


def test_a_host_header_is_required_once(gateway: Gateway) -> None:
    for head in (
        b"GET /v1/health HTTP/1.1\r\n\r\n",
        b"GET /v1/health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=5) as raw:
            raw.sendall(head)
            assert raw.recv(4096).startswith(b"HTTP/1.1 400")
