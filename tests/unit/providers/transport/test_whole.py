"""Answers that arrive whole go past the parser: what comes of them is what the parser would have made of them."""

import asyncio
import random
import time
from typing import Any

import pytest

from inferway.providers.transport import Limits
from inferway.providers.transport import connection as module
from inferway.providers.transport.connection import Connection
from inferway.providers.transport.whole import SentHeaders, find_whole

LIMITS = Limits(body_bytes=200, head_bytes=600)
USUAL = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Request-Id:req_1\r\ncontent-length: 2\r\n\r\n{}"
)

STARTS = (
    *(b"HTTP/1.1 200 OK", b"HTTP/1.1 200", b"HTTP/1.1 200 ", b"HTTP/1.1 429 Too Many", b"HTTP/1.1 503 \tx"),
    *(b"HTTP/1.0 200 OK", b"HTTP/1.1 204 No Content", b"HTTP/1.1 304 Not Modified", b"HTTP/1.1 100 Continue"),
    *(
        b"HTTP/1.1  200 OK",
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 2000 OK",
        b"http/1.1 200 OK",
        b"HTTP/1.1 200 \xe9",
        b"HTTP/2 200",
    ),
)
LINES = (
    *(
        b"x: y",
        b"X:y",
        b"x:\ty z",
        b"x: y ",
        b"x:",
        b"x: ",
        b"x : y",
        b" x: y",
        b": y",
        b"x",
        b"x: y\r\n z",
        b"x: \x00",
        b"x: \x7f",
    ),
    *(
        b"x: \xc3\xa9",
        b"set-cookie: a=1",
        b"Set-Cookie: b=2, c",
        b"keep-alive: timeout=5",
        b"x\xe9: y",
        b"x: y\nz: a",
        b"x: y\rz",
    ),
    *(
        b"connection: close",
        b"Connection: Keep-Alive",
        b"connection: keep-alive, x",
        b"connection: upgrade",
        b"upgrade: h2c",
    ),
    *(
        b"transfer-encoding: chunked",
        b"transfer-encoding: identity",
        b"content-encoding: gzip",
        b"content-length: 2",
    ),
    *(
        b"Content-Length: 2",
        b"content-length: 02",
        b"content-length: 2, 2",
        b"content-length: +2",
        b"content-length:2 ",
        b"content-length: 3",
    ),
    *(
        b"content-length: 0",
        b"content-length: 300",
        b"content-length:",
        b"content-length: 1",
        b"x: " + b"y" * 700,
    ),
)
BODIES = (b"{}", b"", b"{}{}", b"{", b"2\r\n{}\r\n0\r\n\r\n", b"x" * 300)


class Wire:
    """A transport that takes everything."""

    closing = False

    def write(self, data: bytes) -> None:
        del data

    def abort(self) -> None:
        self.closing = True

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closing

    def get_extra_info(self, name: str) -> None:
        del name


def told(connection: Connection, data: bytes) -> tuple[Any, ...]:
    """What a connection makes of an answer: what the caller sees of it, and whether the connection is kept."""
    answer = connection.start(b"POST / HTTP/1.1\r\n\r\n", b"", max_bytes=LIMITS.body_bytes, streaming=False)
    connection.feed(memoryview(data))
    seen = (answer.complete, type(answer.error), connection.closed, connection.is_reusable())
    if not answer.complete:
        return seen
    said = (answer.status, answer.headers, answer.body(), answer.body_bytes, answer.keep_alive)
    if connection.is_reusable():
        connection.rest()
    return (*seen, *said)


def made(loop: asyncio.AbstractEventLoop) -> Connection:
    connection = Connection(loop, LIMITS, memoryview(bytearray(65_536)))
    connection.connection_made(Wire())  # type: ignore[arg-type]
    return connection


def answers(chance: random.Random) -> bytes:
    """An answer, usual or not."""
    if chance.random() < 0.3:
        return USUAL
    lines = chance.sample(LINES, chance.randrange(4)) + chance.choices(
        (b"content-length: 2", b"transfer-encoding: chunked", b"x: y"), (8, 1, 1)
    )
    chance.shuffle(lines)
    head = b"\r\n".join((chance.choices(STARTS, (20, *[1] * (len(STARTS) - 1)))[0], *lines))
    return head + b"\r\n\r\n" + chance.choices(BODIES, (20, *[1] * (len(BODIES) - 1)))[0]


async def test_an_answer_past_the_parser_is_what_the_parser_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    seed = random.randrange(2**32)
    chance, past = random.Random(seed), 0
    for number in range(3_000):
        quick, parsed = made(loop), made(loop)
        for data in [answers(chance) for _ in range(3)]:
            past += find_whole(memoryview(data), LIMITS.head_bytes) is not None
            one = told(quick, data)
            with monkeypatch.context() as without:
                without.setattr(module, "find_whole", lambda *_: None)
                other = told(parsed, data)
            assert one == other, f"seed {seed}, {number}: {data!r}"
            if not quick.is_reusable() or quick.closed:
                break
    assert past > 1_000


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("line", LINES)
def test_what_can_be_read_in_two_ways_is_left_to_the_parser(start: bytes, line: bytes) -> None:
    data = b"\r\n".join((start, line, b"content-length: 2", b"", b"{}"))
    found = find_whole(memoryview(data), LIMITS.head_bytes)
    if found is not None:
        assert (found.status, found.body) == (int(start[9:12]), b"{}")
        headers = SentHeaders(found.lines)
        assert all(value == value.strip() and value.isprintable() for value in headers.values())
        assert headers["content-length"] == "2"


@pytest.mark.parametrize(
    "line", [b"a:" + b" " * 300, b"a:" + b" " * 99 + b"x" + b" " * 99, b"a: " + b"x " * 150, b"a: x"]
)
@pytest.mark.parametrize("end", [b"\x80", b"b", b": ", b"a: x "])
def test_no_head_takes_long_to_be_found_unusual(line: bytes, end: bytes) -> None:
    data = b"HTTP/1.1 200 OK\r\n" + (line + b"\r\n") * 150 + end + b"\r\n\r\n{}"
    began = time.process_time()
    assert find_whole(memoryview(data), 64 * 1024) is None
    # A pattern that tries the same bytes again in another place would need years.
    assert time.process_time() - began < 1


def test_a_usual_answer_goes_past_the_parser_and_names_twice_are_joined() -> None:
    headers = {"content-type": "application/json", "x-request-id": "req_1", "content-length": "2"}
    usual = find_whole(memoryview(USUAL), 600)
    assert usual is not None
    assert (usual.status, dict(SentHeaders(usual.lines)), usual.body) == (200, headers, b"{}")
    twice = USUAL.replace(b"X-Request-Id:req_1", b"Set-Cookie: a=1\r\nset-cookie: b=2; Path=/")
    found = find_whole(memoryview(twice), 600)
    assert found is not None
    assert SentHeaders(found.lines)["set-cookie"] == "a=1, b=2; Path=/"
    for broken in (
        USUAL[:-1],
        USUAL + b"x",
        USUAL.replace(b": 2", b": 2\r\ncontent-length: 2"),
        b"\r\n\r\n",
        b"",
    ):
        assert find_whole(memoryview(broken), 600) is None
    assert find_whole(memoryview(USUAL), 40) is None
