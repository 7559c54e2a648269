"""What slow, greedy and malformed clients get, on bare sockets."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import BODY_S, HEADER_S, IDLE_S
from tests.e2e.process import Served, fake_call

SLACK_S = 3.0
"""Deadlines are looked at twice a second, and the machine may be busy."""

GET = b"GET /v1/health HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /v1/inference HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


def seconds_until_closed(connection: socket.socket, drip: bytes = b"", every_s: float = 0.1) -> float:
    """How long the server keeps a connection on which `drip` is sent again and again."""
    began = time.monotonic()
    connection.settimeout(every_s)
    while time.monotonic() - began < 30:
        try:
            if not connection.recv(65536):
                break
        except TimeoutError:
            pass
        except OSError:
            break
        with contextlib.suppress(OSError):
            connection.send(drip)
    return time.monotonic() - began


def read_all(connection: socket.socket) -> bytes:
    """All bytes up to the server's close."""
    pieces = []
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            pieces.append(piece)
    return b"".join(pieces)


def answers_in(received: bytes) -> Iterator[tuple[int, dict[str, str], bytes]]:
    """Status, headers and body of each answer that has a Content-Length."""
    while received:
        head, _, rest = received.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers["content-length"])
        yield int(status.split()[1]), headers, rest[:length]
        received = rest[length:]


@pytest.mark.parametrize(
    ("sent", "drip", "deadline_s"),
    [
        pytest.param(b"", b"", HEADER_S, id="silent"),
        pytest.param(GET, b"", HEADER_S, id="half headers"),
        pytest.param(GET, b"X", HEADER_S, id="dripped headers"),
        pytest.param("Content-Length: 100", b"", BODY_S, id="half body"),
        pytest.param("Content-Length: 100", b" ", BODY_S, id="dripped body"),
        pytest.param("Transfer-Encoding: chunked", b"", BODY_S, id="no chunk"),
        pytest.param(GET + b"\r\n", b"", IDLE_S, id="idle after an answer"),
    ],
)
def test_a_client_that_does_not_go_on_is_left_at_the_deadline(
    impatient: Served, sent: bytes | str, drip: bytes, deadline_s: float
) -> None:
    with impatient.connect() as connection:
        connection.sendall(impatient.head(sent) if isinstance(sent, str) else sent)
        took_s = seconds_until_closed(connection, drip)
    assert deadline_s * 0.9 <= took_s <= deadline_s + SLACK_S


def test_others_are_served_while_slow_clients_hold_connections(impatient: Served) -> None:
    slow = [impatient.connect() for _ in range(100)]
    try:
        for connection in slow:
            connection.sendall(GET)
        status, answer = impatient.call(fake_call())
    finally:
        for connection in slow:
            connection.close()
    assert (status, answer["provider"]) == (200, "fake")


def test_a_client_that_never_reads_its_answer_is_cut_off(impatient: Served) -> None:
    texts = [f"text {number}" for number in range(10_000)]
    body = json.dumps({"provider": "fake", "model": "fake-embed?dimensions=256", "inputs": {"texts": texts}})
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(30)
        connection.connect(("127.0.0.1", impatient.port))
        connection.sendall(impatient.head(f"Content-Length: {len(body)}") + body.encode())
        head = connection.recv(2048)
        expected = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        assert b"200 OK" in head
        time.sleep(BODY_S + 2.0)  # Nothing is read meanwhile: that is the fault under test.
        # The connection is over (1 would be "established"): the kernel does not go on sending for the server.
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != 1
        received = len(read_all(connection)) + len(head)
    assert received < expected


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="no host"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", id="two hosts"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: \r\n\r\n", id="empty host"),
        pytest.param(b"nonsense\r\n\r\n", id="no HTTP at all"),
        pytest.param(b"GET / HTTP/9.9\r\nHost: x\r\n\r\n", id="HTTP 9.9"),
        pytest.param(b"GET / HTTP/1.1\nHost: x\n\n", id="bare line feeds"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", id="folded header"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nA b\r\n\r\n", id="no colon"),
        pytest.param(b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", id="space before colon"),
        pytest.param(b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", id="bytes in the path"),
        pytest.param(
            POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="length and chunks"
        ),
        pytest.param(POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", id="two lengths"),
        pytest.param(POST + b"Content-Length: -1\r\n\r\n", id="negative length"),
        pytest.param(POST + b"Content-Length: 1e3\r\n\r\n", id="length in words"),
        pytest.param(
            POST + b"Transfer-Encoding: gzip, chunked, x\r\n\r\n0\r\n\r\n", id="unknown coding last"
        ),
    ],
)
def test_a_malformed_request_gets_one_400_envelope_and_its_connection_ends(
    impatient: Served, request_bytes: bytes
) -> None:
    with impatient.connect() as connection:
        connection.sendall(request_bytes)
        [(status, headers, body)] = list(answers_in(read_all(connection)))
    answer = json.loads(body)
    assert (status, answer["success"], answer["status"]) == (400, False, 400)
    assert answer["error"]["type"] == "BadRequestError"
    assert headers["x-request-id"]


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param(b"FFFFFFFFFFFFFFFFF\r\n{}\r\n0\r\n\r\n", id="size overflow"),
        pytest.param(b"-1\r\n{}\r\n0\r\n\r\n", id="negative size"),
        pytest.param(b"0x2\r\n{}\r\n0\r\n\r\n", id="prefixed size"),
        pytest.param(b"2\r\n{}xx\r\n0\r\n\r\n", id="data longer than its size"),
        pytest.param(b"2\n{}\n0\n\n", id="bare line feeds"),
    ],
)
def test_bad_chunks_are_refused_and_the_connection_ends(impatient: Served, chunks: bytes) -> None:
    with impatient.connect() as connection:
        connection.sendall(impatient.head("Transfer-Encoding: chunked") + chunks)
        [(status, _, body)] = list(answers_in(read_all(connection)))
    assert (status, json.loads(body)["error"]["type"]) == (400, "BadRequestError")


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(b"".join(b"X-%d: y\r\n" % number for number in range(101)), id="many"),
        pytest.param(b"X: " + b"y" * 33_000 + b"\r\n", id="large"),
        pytest.param(b"X: " + b"y" * 2_000_000, id="endless"),
    ],
)
def test_headers_have_bounds(impatient: Served, headers: bytes) -> None:
    with impatient.connect() as connection:
        with contextlib.suppress(OSError):
            connection.sendall(GET + headers + b"\r\n")
        received = read_all(connection)
    assert not received or b"400 Bad Request" in received
    if received:
        [(_, _, body)] = list(answers_in(received))
        assert "headers" in json.loads(body)["error"]["message"]


def test_as_many_headers_as_allowed_are_served(impatient: Served) -> None:
    headers = b"".join(b"X-%d: y\r\n" % number for number in range(98)) + b"X: " + b"y" * 20_000 + b"\r\n"
    with impatient.connect() as connection:
        connection.sendall(GET + headers + b"\r\n")
        [(status, _, _)] = list(answers_in(read_all(connection)))
    assert status == 200


def test_trailers_without_end_are_cut_off(impatient: Served) -> None:
    sent = 0
    with impatient.connect() as connection, contextlib.suppress(OSError):
        connection.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n")
        while sent < 50_000_000:
            sent += connection.send(b"X: " + b"y" * 10_000 + b"\r\n")
    assert sent < 50_000_000


def test_a_hundred_pipelined_requests_are_answered_in_order(impatient: Served) -> None:
    ids = [f"pipelined-{number}" for number in range(100)]
    with impatient.connect() as connection:
        connection.sendall(b"".join(GET + f"X-Request-Id: {each}\r\n\r\n".encode() for each in ids))
        received = read_all(connection)
    assert [headers["x-request-id"] for _, headers, _ in answers_in(received)] == ids


def test_nonsense_behind_a_request_never_comes_before_its_answer(impatient: Served) -> None:
    body = json.dumps(fake_call("fake-chat?latency_ms=300")).encode()
    with impatient.connect() as connection:
        connection.sendall(impatient.head(f"Content-Length: {len(body)}") + body + b"nonsense\r\n\r\n")
        statuses = [status for status, _, _ in answers_in(read_all(connection))]
    assert statuses == [200]


def test_a_body_that_must_not_be_sent_is_not_asked_for(impatient: Served) -> None:
    with impatient.connect() as connection:
        connection.sendall(impatient.head("Content-Length: 300000000", "Expect: 100-continue"))
        [(status, _, body)] = list(answers_in(read_all(connection)))
    assert (status, json.loads(body)["error"]["code"]) == (400, "body_too_large")


def test_a_body_that_is_far_too_large_leaves_the_next_request_alone(impatient: Served) -> None:
    with impatient.connect() as connection:
        connection.sendall(impatient.head("Content-Length: 60000000"))
        for _ in range(60):
            connection.sendall(b" " * 1_000_000)
        connection.sendall(GET + b"\r\n")
        statuses = [status for status, _, _ in answers_in(read_all(connection))]
    assert statuses == [400, 200]


def in_pieces(head: bytes, body: bytes) -> list[bytes]:
    """A request in three pieces."""
    middle = len(body) // 2
    return [head, body[:middle], body[middle:]]


@pytest.mark.parametrize("pause_s", [0.0, 0.05])
@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_body_in_pieces_is_read_whole(impatient: Served, pause_s: float, framing: str) -> None:
    body = json.dumps(fake_call(prompt="p" * 200_000)).encode()
    header = "Transfer-Encoding: chunked" if framing == "chunks" else f"Content-Length: {len(body)}"
    pieces = in_pieces(impatient.head(header), body)
    if framing == "chunks":
        pieces[1:] = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces[1:]] + [b"0\r\n\r\n"]
    with impatient.connect() as connection:
        for _ in range(2):
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(pause_s)
        connection.sendall(GET + b"\r\n")
        statuses = [status for status, _, _ in answers_in(read_all(connection))]
    assert statuses == [200, 200, 200]


def test_calls_that_are_pipelined_are_answered_in_order(impatient: Served) -> None:
    sent = b""
    ids = [f"pipelined-{number}" for number in range(20)]
    for number, each in enumerate(ids):
        body = json.dumps(fake_call(f"fake-chat?latency_ms={(number % 3) * 10}")).encode()
        sent += impatient.head(f"X-Request-Id: {each}", f"Content-Length: {len(body)}") + body
    with impatient.connect() as connection:
        connection.sendall(sent)
        answers = list(answers_in(read_all(connection)))
    assert [headers["x-request-id"] for _, headers, _ in answers] == ids
    assert {status for status, _, _ in answers} == {200}


@pytest.mark.parametrize(
    ("version", "header", "end"),
    [("1.1", "X: y", "kept"), ("1.1", "Connection: close", "ended"), ("1.0", "X: y", "ended")],
)
def test_a_connection_is_kept_or_ended_as_the_client_asked(
    impatient: Served, version: str, header: str, end: str
) -> None:
    body = json.dumps(fake_call()).encode()
    head = impatient.head(header, f"Content-Length: {len(body)}").replace(
        b"HTTP/1.1", f"HTTP/{version}".encode()
    )
    with impatient.connect() as connection:
        connection.sendall(head + body)
        took_s = -time.monotonic()
        [(status, headers, _)] = list(answers_in(read_all(connection)))
        took_s += time.monotonic()
    assert status == 200
    assert (headers.get("connection") == "close") is (end == "ended")
    assert (took_s > IDLE_S * 0.9) is (end == "kept")


def test_a_client_that_waits_for_a_word_is_asked_for_the_body(impatient: Served) -> None:
    body = json.dumps(fake_call()).encode()
    with impatient.connect() as connection:
        connection.sendall(impatient.head(f"Content-Length: {len(body)}", "Expect: 100-continue"))
        assert connection.recv(4096).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.sendall(body)
        [(status, _, _)] = list(answers_in(read_all(connection)))
    assert status == 200


def test_a_call_whose_key_is_wrong_is_refused_before_its_body_comes(impatient: Served) -> None:
    with impatient.connect() as connection:
        connection.sendall(POST + b"Authorization: Bearer sk_x\r\nContent-Length: 1000\r\n\r\n{")
        head = connection.recv(65536)
    assert head.startswith(b"HTTP/1.1 401 ")


def read_answer(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """The next answer on a connection that stays open."""
    received = b""
    while True:
        head, found, body = received.partition(b"\r\n\r\n")
        if found:
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            if len(body) >= length:
                break
        received += connection.recv(65536)
    [answer] = answers_in(received)
    return answer


def test_a_head_that_came_before_is_understood_however_the_next_call_is_cut(impatient: Served) -> None:
    """Such a head is not parsed again: what follows it must be what it would be otherwise."""

    def call(prompt: str) -> tuple[bytes, bytes]:
        body = json.dumps(fake_call(prompt=prompt)).encode()
        return impatient.head(f"Content-Length: {len(body)}"), body

    def text_of(answer: tuple[int, dict[str, str], bytes]) -> str:
        assert answer[0] == 200, answer
        return str(json.loads(answer[2])["data"]["completions"][0]["text"])

    prompts = ["one", "a second one", "t" * 30_000, "four", "the fifth", "six", "seventh and last"]
    with impatient.connect() as connection:
        texts = []
        for number, prompt in enumerate(prompts):
            head, body = call(prompt)
            pieces = [
                [head + body],
                [head, body],
                [head + body[:9], body[9:]],
                [head[:40], head[40:] + body],
            ][number % 4]
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(0.05)
            texts.append(text_of(read_answer(connection)))
        assert len(set(texts)) == len(prompts)
        assert all(prompt[:20] in text for prompt, text in zip(prompts, texts, strict=True)), texts
        # With the next request in the same piece as the end of the body.
        head, body = call("with a follower")
        connection.sendall(head + body[:9])
        time.sleep(0.05)
        connection.sendall(body[9:] + GET + b"\r\n")
        statuses = [status for status, _, _ in answers_in(read_all(connection))]
        assert statuses == [200, 200]


@pytest.mark.parametrize("framing", ["length", "chunks with trailers"])
def test_a_head_that_begins_behind_a_running_call_is_its_own(impatient: Served, framing: str) -> None:
    """On one connection a call runs while half a head follows it; another connection has nothing of either."""
    body = json.dumps(fake_call("fake-chat?latency_ms=200")).encode()
    if framing == "length":
        call = impatient.head("X-Unlike: any", f"Content-Length: {len(body)}") + body
    else:
        call = impatient.head("Transfer-Encoding: chunked")
        call += b"%x\r\n%b\r\n0\r\nX-Request-Id: of-a-trailer\r\n\r\n" % (len(body), body)
    with impatient.connect() as connection, impatient.connect() as other:
        connection.sendall(call + GET + b"X-Request-Id: of-the-")
        time.sleep(0.05)
        connection.sendall(b"second\r\nX-Other: 1\r\n")
        other.sendall(GET + b"\r\n")
        stranger, _, _ = read_answer(other)
        connection.sendall(b"\r\n")
        answers = list(answers_in(read_all(connection)))
    assert stranger == 200
    assert [status for status, _, _ in answers] == [200, 200]
    assert [headers["x-request-id"] for _, headers, _ in answers][1] == "of-the-second"
    assert "of-a-trailer" not in [headers["x-request-id"] for _, headers, _ in answers]


@pytest.mark.parametrize(
    ("was", "now", "expected"),
    [
        (b"Bearer sk_", b"Bearer sk-", 401),
        (b"Content-Length", b"Content-Length: 1\r\nContent-Length", 400),
        (b"Content-Length", b"Transfer-Encoding: chunked\r\nContent-Length", 400),
        (b"application/json", b"text/plain", 400),
    ],
)
def test_a_head_that_differs_from_the_one_before_is_read_anew(
    impatient: Served, was: bytes, now: bytes, expected: int
) -> None:
    body = json.dumps(fake_call()).encode()
    head = impatient.head(f"Content-Length: {len(body)}")
    assert was in head
    with impatient.connect() as connection:
        for sent, status in ((head, 200), (head, 200), (head.replace(was, now), expected)):
            connection.sendall(sent + body)
            assert read_answer(connection)[0] == status


def test_a_call_that_is_refused_before_its_body_came_leaves_the_next_one_alone(impatient: Served) -> None:
    body = json.dumps(fake_call()).encode()
    head = impatient.head(f"Content-Length: {len(body)}")
    with impatient.connect() as connection:
        for _ in range(2):
            connection.sendall(head + body)
            assert read_answer(connection)[0] == 200
        connection.sendall(impatient.head("Content-Length: 60000000"))
        assert read_answer(connection)[0] == 400
        for _ in range(60):
            connection.sendall(b" " * 1_000_000)
        connection.sendall(head + body)
        assert read_answer(connection)[0] == 200


def test_answers_that_leave_with_others_keep_their_order(impatient: Served) -> None:
    """While other calls are under way an answer waits for those that end with it: nothing written later may overtake it."""
    slow = json.dumps(fake_call("fake-chat?latency_ms=1500")).encode()
    quick = json.dumps(fake_call()).encode()
    call = impatient.head(f"Content-Length: {len(quick)}") + quick
    with impatient.connect() as other, impatient.connect() as connection, impatient.connect() as last:
        other.sendall(impatient.head(f"Content-Length: {len(slow)}") + slow)
        connection.sendall((call + GET + b"\r\n") * 10 + call + b"nonsense\r\n\r\n")
        statuses = [status for status, _, _ in answers_in(read_all(connection))]
        last.sendall(call.replace(b"Host: x", b"Host: x\r\nConnection: close"))
        [(status, _, _)] = list(answers_in(read_all(last)))
        assert other.recv(4096).startswith(b"HTTP/1.1 200 ")
    assert statuses == [200] * 21
    assert status == 200
