"""Bytes of one connection: what belongs to which request, however they come."""

import asyncio
import re
import socket

import pytest
from uvicorn.server import ServerState

from inferway.http.exchange import AsgiExchange, Exchange
from inferway.http.protocol import BoundedProtocol, Bounds, ServingConfig
from inferway.http.shedding import refuse
from inferway.http.wire import Receive, Scope, Send


async def echo(exchange: Exchange) -> None:
    """Answers with the body."""
    body = await exchange.read_body(1_000_000)
    await exchange.respond(200, [(b"content-length", b"%d" % len(body))], body)


START = b"POST /v1/inference HTTP/1.1\r\nHost: x\r\n"
UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\n"


def length(body: bytes) -> bytes:
    """The end of a head, and the body behind it."""
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


async def answers_to(*pieces: bytes) -> tuple[list[tuple[int, bytes]], bool]:
    """The status and body of each answer to bytes that come in pieces, and whether the connection was ended."""
    loop = asyncio.get_running_loop()
    config = ServingConfig(refuse, log_config=None)
    config.direct_path, config.direct = b"/v1/inference", echo

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await echo(AsgiExchange(scope, receive, send))

    config.app = app
    config.load()
    state = ServerState()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        transport, protocol = await loop.connect_accepted_socket(
            lambda: BoundedProtocol(config, state, {}, loop), ours
        )
        for piece in pieces:
            protocol.data_received(piece)
            for _ in range(3):
                await asyncio.sleep(0)
        async with asyncio.timeout(5):
            while state.tasks:
                await asyncio.wait(state.tasks)
        was_ended = transport.is_closing()
        transport.close()
        said = b""
        while part := await asyncio.wait_for(loop.sock_recv(theirs, 1 << 20), 5.0):
            said += part
    heads = list(re.finditer(rb"HTTP/1.1 ([0-9]{3}) [^\0]*?content-length: ([0-9]+)[^\0]*?\r\n\r\n", said))
    return [(int(head[1]), said[head.end() : head.end() + int(head[2])]) for head in heads], was_ended


async def test_a_request_that_wishes_for_another_protocol_has_its_body_all_the_same() -> None:
    inner = START + length(b"not a request of its own")
    call = START + UPGRADE + length(inner) + START + length(b"next")
    expected = ([(200, inner), (200, b"next")], False)
    assert await answers_to(call) == expected
    for cut in range(1, len(call), 7):
        assert await answers_to(call[:cut], call[cut:]) == expected
    several = (b"GET / HTTP/1.1\r\nHost: x\r\n" + UPGRADE + b"\r\n") * 3
    assert await answers_to(several + call) == ([(200, b"")] * 3 + expected[0], False)


@pytest.mark.parametrize(
    "unreadable",
    [
        START + UPGRADE + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        b"CONNECT elsewhere:443 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
async def test_what_cannot_be_read_is_told_and_never_in_place_of_an_answer(unreadable: bytes) -> None:
    answers, was_ended = await answers_to(unreadable + START + length(b"behind"))
    assert ([status for status, _ in answers], was_ended) == ([400], True)
    assert b"bad_http" in answers[0][1]
    assert await answers_to(START + length(b"before") + unreadable) == ([(200, b"before")], True)


@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_a_head_that_begins_behind_a_large_body_is_not_as_large_as_both(framing: str) -> None:
    loop = asyncio.get_running_loop()
    config = ServingConfig(refuse, log_config=None)
    config.bounds, config.direct_path, config.direct = Bounds(head_max_bytes=4_096), b"/v1/inference", echo
    config.load()
    body, start = b"b" * 10_000, START
    call = start + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    if framing == "chunks":
        call = start + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        _, protocol = await loop.connect_accepted_socket(
            lambda: BoundedProtocol(config, ServerState(), {}, loop), ours
        )
        protocol.data_received(call + start[:-5])
        answer = await asyncio.wait_for(loop.sock_recv(theirs, 65_536), 5.0)
        assert answer == b"HTTP/1.1 200 OK\r\ncontent-length: 10000\r\n\r\n" + body
        protocol.data_received(start[-5:] + b"Content-Length: 2\r\n\r\n{}")
        answer = await asyncio.wait_for(loop.sock_recv(theirs, 65_536), 5.0)
        assert answer == b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
        # One that is too large by itself still is.
        protocol.data_received(call + start + b"X: " + b"x" * 5_000)
        answer = await asyncio.wait_for(loop.sock_recv(theirs, 65_536), 5.0)
        assert b"\r\nconnection: close\r\n\r\n" in answer
