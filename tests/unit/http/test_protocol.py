"""Bytes of one connection: what belongs to which request, however they come."""

import asyncio
import socket

import pytest
from uvicorn.server import ServerState

from inferway.http.exchange import Exchange
from inferway.http.protocol import BoundedProtocol, Bounds, ServingConfig
from inferway.http.shedding import refuse


async def echo(exchange: Exchange) -> None:
    """Answers with the body."""
    body = await exchange.read_body(1_000_000)
    await exchange.respond(200, [(b"content-length", b"%d" % len(body))], body)


@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_a_head_that_begins_behind_a_large_body_is_not_as_large_as_both(framing: str) -> None:
    loop = asyncio.get_running_loop()
    config = ServingConfig(refuse, log_config=None)
    config.bounds, config.direct_path, config.direct = Bounds(head_max_bytes=4_096), b"/v1/inference", echo
    config.load()
    body, start = b"b" * 10_000, b"POST /v1/inference HTTP/1.1\r\nHost: x\r\n"
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
