"""What a server does that has no room: refuses calls at once, keeps answering whoever runs it, and recovers."""

import json
import shutil
import socket
import threading
import tomllib
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.process import Served, fake_call, serving, serving_under, until
from tests.e2e.test_connections import answers_in, read_all

SLOW = fake_call("fake-chat?latency_ms=4000")


@pytest.fixture
def narrow(tmp_path: Path) -> Iterator[Served]:
    """A server that does two calls at once."""
    with serving(tmp_path / "data", INFERWAY_SERVER__CALLS_MAX="2") as served:
        yield served


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server whose memory is used up as it starts: it may have a single megabyte."""
    with serving(tmp_path_factory.mktemp("full"), INFERWAY_SERVER__MEMORY_MAX_MB="1") as served:
        yield served


def _is_refused(status: int, headers: dict[str, str], body: bytes) -> bool:
    answer = json.loads(body)
    assert answer["error"]["type"] == "InferenceServiceUnavailableError"
    assert answer["error"]["code"] == "overloaded"
    assert answer["error"]["details"]["retryable"] is True
    assert answer["request_id"] == headers["x-request-id"]
    assert int(headers["retry-after"]) >= 1
    return status == 503


def test_more_calls_than_allowed_are_refused_and_the_others_go_on(narrow: Served) -> None:
    answers: list[Any] = []
    calls = [threading.Thread(target=_call_until_served, args=(narrow, answers)) for _ in range(2)]
    for call in calls:
        call.start()
    until(lambda: narrow.call(fake_call())[0] == 503, "two calls are under way", 10)
    assert narrow.get("/v1/health/readiness") == 200
    for call in calls:
        call.join()
    assert [status for status, _ in answers] == [200, 200]
    assert narrow.call(fake_call())[0] == 200


def _call_until_served(served: Served, answers: list[Any]) -> None:
    """A slow call that tries again when there is no room."""
    while (answer := served.call(SLOW))[0] == 503:
        pass
    answers.append(answer)


@pytest.mark.parametrize("framing", ["whole", "in pieces", "chunked"])
def test_without_memory_a_call_is_refused_at_once_whatever_its_form(full: Served, framing: str) -> None:
    body = json.dumps(fake_call()).encode()
    with full.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if framing == "chunked":
            connection.sendall(full.head("Transfer-Encoding: chunked", "X-Request-Id: mine"))
            connection.sendall(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
        else:
            head = full.head(f"Content-Length: {len(body)}", "X-Request-Id: mine")
            for part in [head + body] if framing == "whole" else [head[:40], head[40:], body]:
                connection.sendall(part)
                full.get("/v1/health")  # The server has seen this part before the next one comes.
        # The connection lives on, and what is no call is answered.
        connection.sendall(b"GET /v1/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        [refused, health] = list(answers_in(read_all(connection)))
    assert _is_refused(*refused)
    assert refused[1]["x-request-id"] == "mine"
    assert health[0] == 200


def test_refused_calls_do_not_stop_the_administration(full: Served) -> None:
    connection = HTTPConnection("127.0.0.1", full.port, timeout=30)
    connection.request("GET", "/v1/namespaces", headers=full.headers())
    assert connection.getresponse().status == 200
    connection.close()


def test_refusals_are_counted_and_the_log_has_one_line_for_all_of_them(full: Served) -> None:
    for _ in range(3):
        assert full.call(fake_call())[0] == 503
    keys = tomllib.loads((full.data_dir / "credentials.toml").read_text())
    connection = HTTPConnection("127.0.0.1", full.port, timeout=30)
    connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {keys['admin_key']}"})
    page = connection.getresponse().read().decode()
    connection.close()
    [counted] = [line for line in page.splitlines() if line.startswith("inferway_shed_calls_total")]
    assert float(counted.split()[-1]) >= 3
    assert full.stderr.count("calls are refused") == 1


def test_pipelined_calls_are_each_refused_in_order(full: Served) -> None:
    body = json.dumps(fake_call()).encode()
    names = [f"pipelined-{number}" for number in range(20)]
    with full.connect() as connection:
        for name in names:
            connection.sendall(full.head(f"Content-Length: {len(body)}", f"X-Request-Id: {name}") + body)
        connection.sendall(b"GET /v1/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answers = list(answers_in(read_all(connection)))
    assert [headers["x-request-id"] for _, headers, _ in answers[:-1]] == names
    assert all(_is_refused(*each) for each in answers[:-1])


@pytest.mark.skipif(shutil.which("prlimit") is None, reason="needs prlimit: install util-linux")
def test_more_connections_than_files_are_told_so_and_it_recovers(tmp_path: Path) -> None:
    with serving_under(("prlimit", "--nofile=64:64"), tmp_path / "data") as served:
        assert served.call(fake_call())[0] == 200
        held = []
        for _ in range(60):
            held.append(served.connect())
            held[-1].sendall(b"GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n")
        told = {connection.recv(4096)[9:12] for connection in held}
        for connection in held:
            connection.close()
        assert told == {b"200", b"503"}
        until(lambda: served.call(fake_call())[0] == 200, "it serves again", 10)
        assert len(list(Path(f"/proc/{served.process.pid}/fd").iterdir())) < 50
        assert served.stop() == 0
