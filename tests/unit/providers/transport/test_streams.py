"""Streams: pieces as they come, caps, deadlines, and a hang-up as soon as the reader goes away."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

import pytest

from inferway.errors import ProviderBadAnswer, ProviderTimeout, ProviderUnreachable, UpstreamError
from inferway.providers.transport import HttpTransport, Limits
from inferway.providers.transport.client import OpenedStream
from inferway.types import Deadline
from tests.upstreams.scripted import Peer, Upstream
from tests.upstreams.wires import REQUEST, Run, Wire, send

CHUNKED = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def opened(transport: HttpTransport, url: str, timeout_s: float = 10.0) -> OpenedStream:
    return transport.open(url, REQUEST, (), Deadline.after(timeout_s))


async def drain(stream: OpenedStream) -> tuple[list[bytes], UpstreamError | None]:
    """All pieces, and the error that ended them, if any."""
    pieces = []
    try:
        async for piece in stream.chunks():
            pieces.append(piece)  # noqa: PERF401 - what came before an error counts
    except UpstreamError as error:
        return pieces, error
    return pieces, None


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def test_pieces_come_as_they_are_sent_and_the_connection_is_kept(run: Run, wire: Wire) -> None:
    turn = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        for data in (b"one", b"two", b"three"):
            await peer.send(chunk(data))
            await turn.wait()
            turn.clear()
        await peer.send(b"0\r\n\r\n")
        await peer.request()
        await peer.answer(b"ok")

    async def work(transport: HttpTransport, url: str, upstream: Upstream) -> None:
        async with opened(transport, url) as stream:
            assert stream.status == 200
            assert stream.headers["content-type"] == "text/event-stream"
            seen = []
            async for piece in stream.chunks():
                seen.append(piece)
                turn.set()
            assert seen == [b"one", b"two", b"three"]
        assert (await send(transport, url)).body == b"ok"
        assert upstream.connections == 1

    run(wire.talk(script, work))


def test_leaving_a_stream_early_hangs_up_at_once(run: Run, wire: Wire) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + chunk(b"one"))
        await peer.gone()

    async def work(transport: HttpTransport, url: str, upstream: Upstream) -> None:
        async with opened(transport, url) as stream:
            assert await anext(stream.chunks()) == b"one"
        await asyncio.wait_for(upstream.hung_up.wait(), 1)

    run(wire.talk(script, work))


def test_cancelling_the_reader_of_a_stream_hangs_up_at_once(run: Run, wire: Wire) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + chunk(b"one"))
        await peer.gone()

    async def work(transport: HttpTransport, url: str, upstream: Upstream) -> None:
        begun = asyncio.Event()

        async def read() -> None:
            async with opened(transport, url) as stream:
                async for _ in stream.chunks():
                    begun.set()

        task = asyncio.ensure_future(read())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(upstream.hung_up.wait(), 1)

    run(wire.talk(script, work))


@pytest.mark.parametrize("end", [b"", b"5\r\nhel", chunk(b"x")[:-1], b"zz\r\n"])
def test_a_cut_stream_gives_what_came_and_then_fails(run: Run, wire: Wire, end: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + chunk(b"one") + end)

    async def work(transport: HttpTransport, url: str, upstream: Upstream) -> None:
        async with opened(transport, url) as stream:
            pieces, error = await drain(stream)
        assert b"".join(pieces).startswith(b"one")
        assert isinstance(error, ProviderBadAnswer)
        assert not error.retryable

    run(wire.talk(script, work))


def test_an_endless_stream_is_ended_at_the_cap(run: Run, wire: Wire) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        try:
            while True:
                await peer.send(chunk(b"x" * 8_000))
        finally:
            peer.upstream.hung_up.set()

    async def work(transport: HttpTransport, url: str, upstream: Upstream) -> None:
        async with opened(transport, url) as stream:
            pieces, error = await drain(stream)
        assert isinstance(error, ProviderBadAnswer)
        assert 900_000 < sum(map(len, pieces)) < 2_000_000
        await asyncio.wait_for(upstream.hung_up.wait(), 5)

    run(wire.talk(script, work, Limits(stream_bytes=1_000_000)))


async def _ping_for_ever(peer: Peer) -> None:
    await peer.request()
    await peer.send(CHUNKED)
    while True:
        await peer.send(chunk(b": ping\n\n"))
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(("deadline_s", "stream_s"), [(0.3, 600), (600, 0.3)])
def test_a_stream_ends_at_its_deadline_and_at_its_longest_time(
    run: Run, wire: Wire, deadline_s: float, stream_s: float
) -> None:
    async def work(transport: HttpTransport, url: str, upstream: Upstream) -> None:
        started = monotonic()
        async with opened(transport, url, deadline_s) as stream:
            _, error = await drain(stream)
        assert isinstance(error, ProviderTimeout)
        assert 0.2 < monotonic() - started < 2

    run(wire.talk(_ping_for_ever, work, Limits(stream_s=stream_s)))


def test_a_slow_reader_holds_the_provider_back(run: Run, wire: Wire) -> None:
    sent = 0

    async def script(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        await peer.send(CHUNKED)
        for _ in range(3_000):
            await peer.send(chunk(b"x" * 10_000))
            sent += 10_000
        await peer.send(b"0\r\n\r\n")

    async def work(transport: HttpTransport, url: str, upstream: Upstream) -> None:
        async with opened(transport, url) as stream:
            chunks = stream.chunks()
            first = await anext(chunks)
            before = -1
            while before != sent:
                before = sent
                await asyncio.sleep(0.1)
            assert sent < 20_000_000
            rest, error = await drain(stream)
        assert error is None
        assert len(first) + sum(map(len, rest)) == 30_000_000

    run(wire.talk(script, work))


def test_the_body_of_an_error_answer_can_be_read_whole(run: Run, wire: Wire) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b'{"error":1}', status="429 Too Many Requests")

    async def work(transport: HttpTransport, url: str, upstream: Upstream) -> None:
        async with opened(transport, url) as stream:
            assert stream.status == 429
            assert await stream.read() == b'{"error":1}'

    run(wire.talk(script, work))


def test_an_encoded_stream_is_refused_and_an_encoded_error_reads_as_empty(run: Run) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"\x1f\x8b", "content-encoding: gzip")
        await peer.request()
        await peer.answer(b"\x1f\x8b", "content-encoding: br", status="500 No")

    async def work(transport: HttpTransport, url: str, upstream: Upstream) -> None:
        with pytest.raises(ProviderBadAnswer):
            async with opened(transport, url):
                pass
        async with opened(transport, url) as stream:
            assert (stream.status, await stream.read()) == (500, b"")

    run(Wire(None).talk(script, work))


def test_a_stale_connection_is_replaced_for_a_stream_too(run: Run, wire: Wire) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"first")
        await peer.request()

    async def work(transport: HttpTransport, url: str, upstream: Upstream) -> None:
        await send(transport, url)
        async with opened(transport, url) as stream:
            assert await stream.read() == b"first"
        assert upstream.connections == 2

    run(wire.talk(script, work))


async def _reset(peer: Peer) -> None:
    await peer.request()
    peer.reset()


async def _silent(peer: Peer) -> None:
    await peer.request()
    await peer.gone()


@pytest.mark.parametrize(("script", "kind"), [(_reset, ProviderUnreachable), (_silent, ProviderTimeout)])
def test_a_stream_that_does_not_begin_is_an_error_and_frees_its_place(
    run: Run, wire: Wire, script: Callable[[Peer], Awaitable[None]], kind: type[UpstreamError]
) -> None:
    async def work(transport: HttpTransport, url: str, upstream: Upstream) -> None:
        for _ in range(3):
            with pytest.raises(kind) as caught:
                async with opened(transport, url, 0.2 if kind is ProviderTimeout else 10):
                    pass
            assert not caught.value.retryable

    run(wire.talk(script, work, Limits(connections=1)))
