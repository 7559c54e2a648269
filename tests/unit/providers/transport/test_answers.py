"""Whole answers: what leaves, what comes back, and what becomes of every way in which a provider can fail."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from time import monotonic

import pytest

from inferway.errors import (
    ProviderBadAnswer,
    ProviderTimeout,
    ProviderUnreachable,
)
from inferway.providers.base import WireRequest
from inferway.providers.transport import HttpTransport, Limits
from inferway.types import Deadline
from tests.upstreams.scripted import Peer, Upstream, answer_ok, scripted
from tests.upstreams.wires import REQUEST, Run, Wire, fails, never, raw, send

SMALL = Limits(body_bytes=300_000, head_bytes=2_000, stream_bytes=300_000)


def test_the_request_that_leaves_is_exact(run: Run) -> None:
    async def work() -> None:
        async with scripted(answer_ok) as upstream:
            transport = HttpTransport()
            request = WireRequest(path="", body=b"{}", headers=(("content-type", "application/json"),))
            url = upstream.url("/v1/models/a%2Fb:run?alt=sse")
            await transport.send(url, request, (("x-api-key", "sk-1"),), Deadline.after(5))
            await transport.aclose()
            assert upstream.requests == [
                b"POST /v1/models/a%2Fb:run?alt=sse HTTP/1.1\r\n"
                + f"host: 127.0.0.1:{upstream.port}\r\n".encode()
                + b"accept: */*\r\naccept-encoding: identity\r\nuser-agent: inferway\r\n"
                b"x-api-key: sk-1\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
            ]

    run(work())


def test_the_environment_is_not_asked_for_a_proxy(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    async def work() -> None:
        async with scripted(answer_ok) as upstream:
            transport = HttpTransport()
            assert (await send(transport, upstream.url())).status == 200
            await transport.aclose()

    run(work())


def test_answers_come_back_and_the_connection_is_kept(run: Run, wire: Wire) -> None:
    async def script(peer: Peer) -> None:
        while True:
            request = await peer.request()
            await peer.answer(request[-7:], "X-A: 1", "x-a: 2", "Content-Type: text/plain")

    async def work(transport: HttpTransport, url: str, upstream: Upstream) -> None:
        for _ in range(5):
            answer = await send(transport, url)
            assert (answer.status, answer.body) == (200, REQUEST.body)
            assert answer.headers == {"content-length": "7", "x-a": "1, 2", "content-type": "text/plain"}
        assert upstream.connections == 1

    run(wire.talk(script, work))


def test_calls_at_once_use_connections_of_their_own(run: Run, wire: Wire) -> None:
    async def script(peer: Peer) -> None:
        while True:
            request = await peer.request()
            await asyncio.sleep(0.05)
            await peer.answer(request)

    async def work(transport: HttpTransport, url: str, upstream: Upstream) -> None:
        requests = [WireRequest(path="", body=str(n).encode() * 50) for n in range(20)]
        answers = await asyncio.gather(*(transport.send(url, r, (), Deadline.after(10)) for r in requests))
        for request, answer in zip(requests, answers, strict=True):
            assert answer.body.endswith(b"\r\n\r\n" + request.body)
        assert upstream.connections == 20

    run(wire.talk(script, work))


@pytest.mark.parametrize("size", [0, 1, 10_000, 65_536, 200_000, 1_000_000, 5_000_000])
def test_bodies_of_any_size_arrive_unchanged_both_ways(run: Run, wire: Wire, size: int) -> None:
    async def script(peer: Peer) -> None:
        while True:
            request = await peer.request()
            await peer.answer(request.partition(b"\r\n\r\n")[2])

    async def work(transport: HttpTransport, url: str, upstream: Upstream) -> None:
        body = bytes(range(251)) * (size // 251) + b"x" * (size % 251)
        for _ in range(3):
            answer = await transport.send(url, WireRequest(path="", body=body), (), Deadline.after(20))
            assert isinstance(answer.body, bytes)
            assert answer.body == body
        assert upstream.connections == 1

    run(wire.talk(script, work))


@pytest.mark.parametrize(
    ("data", "status", "body"),
    [
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\nt: 1\r\n\r\n",
            200,
            b"abc",
        ),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", 200, b"until the end"),
        (b"HTTP/1.0 200 OK\r\n\r\nold", 200, b"old"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx", 200, b"x"),
        (
            (
                b"HTTP/1.1 103 Early Hints\r\nlink: y\r\n\r\nHTTP/1.1 102 P\r\n\r\n"
                b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx"
            ),
            200,
            b"x",
        ),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 99\r\n\r\n", 304, b""),
        (b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n", 302, b""),
        (b"HTTP/1.1 429 Too Many\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n\x1f\x8b", 429, b""),
        (b"HTTP/1.1 529 Site overloaded\r\ncontent-length: 2\r\n\r\n{}", 529, b"{}"),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: identity\r\ncontent-length: 1\r\n\r\nx", 200, b"x"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nX-Latin: \xe9\r\n\r\nx", 200, b"x"),
    ],
)
def test_every_legal_framing_is_read(run: Run, data: bytes, status: int, body: bytes) -> None:
    async def work(transport: HttpTransport, url: str, upstream: Upstream) -> None:
        answer = await send(transport, url)
        assert (answer.status, answer.body) == (status, body)
        assert "link" not in answer.headers
        assert len(upstream.requests) == 1

    run(Wire(None).talk(raw(data), work))


@pytest.mark.parametrize("cut", [1, 3, 7])
def test_an_answer_may_come_in_any_pieces(run: Run, wire: Wire, cut: int) -> None:
    data = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nx: y\r\n\r\n5\r\nhello\r\n0\r\n\r\n"

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            for at in range(0, len(data), cut):
                await peer.send(data[at : at + cut])
                await asyncio.sleep(0)

    async def work(transport: HttpTransport, url: str, upstream: Upstream) -> None:
        for _ in range(2):
            answer = await send(transport, url)
            assert (answer.body, answer.headers["x"]) == (b"hello", "y")
        assert upstream.connections == 1

    run(wire.talk(script, work))


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\ncontent-length: 250000\r\n\r\n" + b"x" * 200_000,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"HTTP/1.1 2",
        b"not http at all\r\n\r\n",
        b"<html>nginx</html>",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\nxx",
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nxx",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff1\r\n",
        b"HTTP/1.1 200 OK\r\nbad header line\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: \x00\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n\x1f\x8b",
        b"HTTP/1.1 200 OK\r\ncontent-length: 300001\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 3_000 + b"\r\n\r\n",
    ],
)
def test_a_broken_answer_is_a_bad_answer_and_is_not_asked_for_again(run: Run, data: bytes) -> None:
    async def work(transport: HttpTransport, url: str, upstream: Upstream) -> None:
        error = await fails(transport, url)
        assert isinstance(error, ProviderBadAnswer)
        assert not error.retryable
        assert len(upstream.requests) == 1

    run(Wire(None).talk(raw(data), work, SMALL))


@pytest.mark.parametrize(
    ("head", "more"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 10_000),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"1000\r\n" + b"x" * 4_096 + b"\r\n"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"1;" + b"e" * 10_000 + b"\r\nx\r\n"),
        (b"HTTP/1.1 200 OK\r\n", b"x: y\r\n" * 100),
        (b"HTTP/1.1 200 OK\r\nx: ", b"y" * 1_000),
        (b"", b"HTTP/1.1 103 Early Hints\r\nx: y\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", b"t: u\r\n" * 1_000),
    ],
)
def test_an_endless_answer_is_ended_at_the_cap(run: Run, wire: Wire, head: bytes, more: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(head)
        try:
            while True:
                await peer.send(more)
                await asyncio.sleep(0)
        finally:
            peer.upstream.hung_up.set()

    async def work(transport: HttpTransport, url: str, upstream: Upstream) -> None:
        assert isinstance(await fails(transport, url), ProviderBadAnswer)
        await asyncio.wait_for(upstream.hung_up.wait(), 5)

    run(wire.talk(script, work, SMALL))


def test_an_early_refusal_of_a_large_upload_is_read(run: Run) -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.answer(b"no", status="413 Too Large")
        await peer.gone()

    async def work(transport: HttpTransport, url: str, upstream: Upstream) -> None:
        request = WireRequest(path="", body=b"x" * 30_000_000)
        answer = await transport.send(url, request, (), Deadline.after(10))
        assert (answer.status, answer.body) == (413, b"no")
        await asyncio.wait_for(upstream.hung_up.wait(), 5)

    run(Wire(None).talk(script, work))


def test_a_refused_connection_is_unreachable_and_may_be_tried_again(run: Run) -> None:
    async def work() -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        for scheme in ("http", "https"):
            error = await fails(HttpTransport(), f"{scheme}://127.0.0.1:{port}/v1")
            assert isinstance(error, ProviderUnreachable)
            assert error.retryable

    run(work())


@pytest.mark.parametrize(
    "url",
    [
        "http:///v1",
        "ftp://127.0.0.1/v1",
        "http://127.0.0.1:99999/v1",
        "http://user:pass@127.0.0.1/v1",
        "http://[::1/v1",
        "http://" + "a" * 64 + ".example/v1",
        "nonsense",
    ],
)
def test_an_address_that_cannot_work_is_unreachable_and_stays_so(run: Run, url: str) -> None:
    async def work() -> None:
        error = await fails(HttpTransport(), url)
        assert isinstance(error, ProviderUnreachable)
        assert not error.retryable

    run(work())


def test_a_name_that_does_not_resolve_is_unreachable_and_may_be_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_such_name(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_such_name)

    async def work() -> None:
        error = await fails(HttpTransport(), "http://no-such-host.invalid/v1")
        assert isinstance(error, ProviderUnreachable)
        assert error.retryable

    asyncio.run(work())


def test_a_connection_that_nobody_accepts_gives_up_at_the_connect_timeout(run: Run) -> None:
    async def work() -> None:
        # A full backlog: the kernel drops further SYNs, as a black hole would.
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            fillers = [socket.socket() for _ in range(8)]
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(listener.getsockname())
            transport = HttpTransport(limits=Limits(connect_timeout_s=0.3))
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
            started = monotonic()
            error = await fails(transport, url)
            assert isinstance(error, ProviderUnreachable)
            assert error.retryable
            assert monotonic() - started < 3
            assert isinstance(await fails(transport, url, timeout_s=0.1), ProviderTimeout)
            for filler in fillers:
                filler.close()

    run(work())


async def _drip(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
    going = asyncio.get_running_loop().create_task(peer.gone())
    while not going.done():
        await peer.send(b"x")
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("script", [never, _drip])
def test_the_deadline_ends_a_call_that_is_silent_or_drips(
    run: Run, wire: Wire, script: Callable[[Peer], Awaitable[None]]
) -> None:
    async def work(transport: HttpTransport, url: str, upstream: Upstream) -> None:
        started = monotonic()
        error = await fails(transport, url, timeout_s=0.3)
        assert isinstance(error, ProviderTimeout)
        assert not error.retryable
        assert 0.2 < monotonic() - started < 2
        await asyncio.wait_for(upstream.hung_up.wait(), 20)
        assert len(upstream.requests) == 1

    run(wire.talk(script, work))


def test_each_of_several_calls_ends_by_its_own_deadline(run: Run, wire: Wire) -> None:
    async def timed(transport: HttpTransport, url: str, timeout_s: float) -> float:
        started = monotonic()
        assert isinstance(await fails(transport, url, timeout_s), ProviderTimeout)
        return monotonic() - started

    async def work(transport: HttpTransport, url: str, upstream: Upstream) -> None:
        waits = (1.2, 0.3, 0.8, 0.3)
        took = await asyncio.gather(*(timed(transport, url, wait_s) for wait_s in waits))
        assert all(wait_s - 0.1 < took_s < wait_s + 2 for wait_s, took_s in zip(waits, took, strict=True))
        assert took[1] < took[0] - 0.2
        assert 0.2 < await timed(transport, url, 0.3) < 2.3, "a later call has a deadline too"

    run(wire.talk(never, work))


def test_a_call_after_its_deadline_is_not_sent(run: Run) -> None:
    async def work(transport: HttpTransport, url: str, upstream: Upstream) -> None:
        assert isinstance(await fails(transport, url, timeout_s=0), ProviderTimeout)
        assert upstream.requests == []

    run(Wire(None).talk(answer_ok, work))


def test_cancelling_a_call_hangs_up_at_once(run: Run, wire: Wire) -> None:
    async def work(transport: HttpTransport, url: str, upstream: Upstream) -> None:
        task = asyncio.ensure_future(send(transport, url))
        await upstream.asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(upstream.hung_up.wait(), 1)

    run(wire.talk(never, work))


@pytest.mark.parametrize("value", ["a\r\nx-evil: 1", "a\nb", "a\rb", "a\0b", "\u20ac"])
def test_a_header_cannot_break_out_of_its_line(run: Run, value: str) -> None:
    async def work(transport: HttpTransport, url: str, upstream: Upstream) -> None:
        with pytest.raises(ValueError, match=r"header|latin"):
            await transport.send(url, REQUEST, (("x-a", value),), Deadline.after(5))
        assert upstream.requests == []
        assert (await send(transport, url)).status == 200

    run(Wire(None).talk(answer_ok, work))


def test_a_path_cannot_break_out_of_the_request_line(run: Run) -> None:
    async def work(transport: HttpTransport, url: str, upstream: Upstream) -> None:
        await send(transport, url + "/a b\x7fé?q=\x01 x")
        assert upstream.requests[0].startswith(b"POST /v1/x/a%20b%7F%C3%A9?q=%01%20x HTTP/1.1\r\n")

    run(Wire(None).talk(answer_ok, work))
