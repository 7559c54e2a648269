"""Refusals: laid out once, sent together, and never held for long."""

import asyncio
import json
import socket

from uvicorn.server import ServerState

from inferway.http.shedding import Refusal, SheddingConfig, SheddingProtocol, refuse
from inferway.resilience.adaptive import Valve

CALL = b"POST /v1/inference HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"


class Held:
    """A connection with a refusal; it counts how often it was told to send."""

    def __init__(self) -> None:
        self.flushed = 0

    def flush(self) -> None:
        self.flushed += 1


def test_a_refusal_is_the_envelope_with_the_callers_request_id_or_a_new_one() -> None:
    refusal = Refusal()
    for name in (b"mine", None, None):
        head, _, body = refusal.to(name).partition(b"\r\n\r\n")
        lines = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
        told = json.loads(body)
        assert head.startswith(b"HTTP/1.1 503 ")
        assert int(lines[b"content-length"]) == len(body)
        assert lines[b"retry-after"] == b"1"
        assert b"connection" not in lines
        assert told["request_id"].encode() == lines[b"x-request-id"]
        assert (told["status"], told["error"]["code"]) == (503, "overloaded")
        assert name is None or lines[b"x-request-id"] == name
    assert refusal.to(None) != refusal.to(None)
    assert b"\r\nconnection: close\r\n" in refusal.to(None, is_last=True)


def test_refusals_leave_together_after_a_moment() -> None:
    refusal, held = Refusal(clock=lambda: 0.0), [Held() for _ in range(5)]
    refusal.release(99.99)
    for each in held:
        refusal.hold(each, 100.0)
    refusal.release(100.005)
    assert not any(each.flushed for each in held)
    refusal.release(100.03)
    assert all(each.flushed == 1 for each in held)
    refusal.release(110.0)
    assert all(each.flushed == 1 for each in held)


def test_when_there_is_no_time_refusals_wait_for_seconds_at_most() -> None:
    refusal, held = Refusal(clock=lambda: 1000.0), [Held() for _ in range(1000)]
    refusal.release(1.0)
    for each in held:
        refusal.hold(each, 1.0)
    refusal.release(1.5)
    assert sum(each.flushed for each in held) < len(held)
    refusal.release(5.5)
    assert all(each.flushed == 1 for each in held)


async def test_a_refusal_that_is_still_held_leaves_before_an_idle_connection_is_closed() -> None:
    loop = asyncio.get_running_loop()
    valve = Valve(calls_max=10)
    valve.is_limiting, valve.looked_at = True, loop.time()
    config = SheddingConfig(refuse, log_config=None, timeout_keep_alive=1)
    config.direct_path, config.valve, config.refusal = b"/v1/inference", valve, Refusal()
    config.load()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        _, protocol = await loop.connect_accepted_socket(
            lambda: SheddingProtocol(config, ServerState(), {}, loop), ours
        )
        protocol.data_received(CALL)
        assert protocol.unsent
        protocol.look(loop.time() + 1.5)
        answer = await asyncio.wait_for(loop.sock_recv(theirs, 65_536), 5.0)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert await asyncio.wait_for(loop.sock_recv(theirs, 65_536), 5.0) == b""
