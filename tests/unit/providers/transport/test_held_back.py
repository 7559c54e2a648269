"""Requests that are held back until others can leave with them."""

import asyncio
from typing import Any

import pytest

from inferway.outbox import Outbox
from inferway.providers.base import WireRequest
from inferway.providers.transport.connection import Connection, ConnectionDropped
from inferway.providers.transport.limits import Limits
from tests.upstreams.scripted import Peer, Upstream
from tests.upstreams.wires import Run, Wire, send

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Line(asyncio.Transport):
    """The writing side of a connection that leads nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.aborted = False

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted

    def get_write_buffer_size(self) -> int:
        return 0


@pytest.fixture
def line() -> Line:
    return Line()


def connect(line: Line) -> Connection:
    connection = Connection(asyncio.get_running_loop(), Limits(), memoryview(bytearray(1000)))
    connection.connection_made(line)
    return connection


async def test_a_request_leaves_with_the_others(line: Line) -> None:
    connection, outbox = connect(line), Outbox(asyncio.get_running_loop())
    answer = connection.start(b"head", b"body", max_bytes=100, streaming=False, outbox=outbox)
    assert line.written == b""
    assert not connection.is_reusable()
    await asyncio.sleep(0)
    assert line.written == b"headbody"
    connection.feed(memoryview(OK))
    assert (answer.complete, answer.body()) == (True, b"ok")
    assert connection.is_reusable()


async def test_what_a_server_says_before_it_was_asked_is_no_answer(line: Line) -> None:
    connection, outbox = connect(line), Outbox(asyncio.get_running_loop())
    answer = connection.start(b"head", b"body", max_bytes=100, streaming=False, outbox=outbox)
    connection.feed(memoryview(OK))
    assert isinstance(answer.error, ConnectionDropped), "nothing was sent: another connection may take it"
    assert not connection.is_reusable()
    await asyncio.sleep(0)
    assert (line.written, line.aborted) == (b"", True)


async def test_a_call_that_ends_before_it_left_is_not_sent(line: Line) -> None:
    connection, outbox = connect(line), Outbox(asyncio.get_running_loop())
    connection.start(b"head", b"body", max_bytes=100, streaming=False, outbox=outbox)
    connection.abort()
    await asyncio.sleep(0)
    assert line.written == b""


def test_many_calls_at_once_each_get_their_own_answer(run: Run, wire: Wire) -> None:
    async def script(peer: Peer) -> None:
        while True:
            request = await peer.request()
            await peer.answer(request.partition(b"\r\n\r\n")[2])

    async def work(transport: Any, url: str, upstream: Upstream) -> None:
        async def call(number: int) -> bool:
            body = b'{"n":%d}' % number
            return (await send(transport, url, request=WireRequest(path="", body=body))).body == body

        for _ in range(5):
            assert all(await asyncio.gather(*(call(number) for number in range(40))))

    run(wire.talk(script, work))
