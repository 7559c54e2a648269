"""Connections that are kept: when they are used again, replaced, let go, and shared out."""

import asyncio

import pytest

from inferway.errors import (
    ProviderBadAnswer,
    ProviderLost,
    ProviderTimeout,
    ProviderUnreachable,
)
from inferway.providers.transport import HttpTransport, Limits, client
from tests.upstreams.scripted import Peer, Upstream, answer_ok, scripted
from tests.upstreams.wires import Run, Wire, fails, never, send

SMALL = Limits(body_bytes=300_000, head_bytes=2_000, stream_bytes=300_000)


def test_a_connection_lost_after_sending_is_not_tried_again_by_anybody(run: Run, wire: Wire) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.reset()

    async def work(transport: HttpTransport, url: str, upstream: Upstream) -> None:
        error = await fails(transport, url)
        assert isinstance(error, ProviderLost)
        assert not error.retryable
        assert len(upstream.requests) == 1

    run(wire.talk(script, work))


@pytest.mark.parametrize("ending", ["closed", "reset"])
def test_a_kept_connection_that_breaks_without_a_byte_is_replaced_once(
    run: Run, wire: Wire, ending: str
) -> None:
    async def script(peer: Peer) -> None:
        if peer.number == 1:
            await peer.request()
            await peer.answer(b"first")
            await peer.request()
            if ending == "reset":
                peer.reset()
            return
        await answer_ok(peer)

    async def work(transport: HttpTransport, url: str, upstream: Upstream) -> None:
        assert (await send(transport, url)).body == b"first"
        assert (await send(transport, url)).body == b"ok"
        assert (upstream.connections, len(upstream.requests)) == (2, 3)

    run(wire.talk(script, work))


def test_a_kept_connection_that_breaks_after_a_long_wait_is_not_replaced(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_RACE_S", 0.05)

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"first")
        await peer.request()
        await asyncio.sleep(0.1)

    async def work(transport: HttpTransport, url: str, upstream: Upstream) -> None:
        await send(transport, url)
        assert isinstance(await fails(transport, url), ProviderLost)
        assert (upstream.connections, len(upstream.requests)) == (1, 2)

    run(Wire(None).talk(script, work))


def test_the_replacement_of_a_broken_connection_is_new_and_the_last(run: Run) -> None:
    gate = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        if peer.number <= 3:
            # The first three calls run side by side, so that three connections are kept.
            if len(peer.upstream.requests) == 3:
                gate.set()
            await gate.wait()
            await peer.answer(b"first")
            await peer.request()
        peer.reset()

    async def work(transport: HttpTransport, url: str, upstream: Upstream) -> None:
        await asyncio.gather(*(send(transport, url) for _ in range(3)))
        error = await fails(transport, url)
        assert isinstance(error, ProviderUnreachable)
        assert not error.retryable
        assert (upstream.connections, len(upstream.requests)) == (4, 5)

    run(Wire(None).talk(script, work))


def test_a_kept_connection_that_breaks_after_a_byte_is_a_bad_answer(run: Run) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"first")
        await peer.request()
        await peer.send(b"H")

    async def work(transport: HttpTransport, url: str, upstream: Upstream) -> None:
        await send(transport, url)
        assert isinstance(await fails(transport, url), ProviderBadAnswer)
        assert upstream.connections == 1

    run(Wire(None).talk(script, work))


def test_servers_that_close_idle_connections_lose_no_call(run: Run, wire: Wire) -> None:
    async def script(peer: Peer) -> None:
        for _ in range(1 + peer.number % 2):
            await peer.request()
            await peer.answer(b"ok")

    async def work(transport: HttpTransport, url: str, upstream: Upstream) -> None:
        for _ in range(1_000):
            assert (await send(transport, url)).body == b"ok"
        assert upstream.connections > 400

    run(wire.talk(script, work))


@pytest.mark.parametrize(
    "said", ["HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\n"]
)
def test_what_nobody_asked_for_is_not_taken_for_the_next_answer(run: Run, wire: Wire, said: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        if peer.number == 1:
            await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok" + said.encode())
            await peer.gone()
        else:
            await peer.answer(b"second")

    async def work(transport: HttpTransport, url: str, upstream: Upstream) -> None:
        assert (await send(transport, url)).body == b"ok"
        assert (await send(transport, url)).body == b"second"
        assert upstream.connections == 2

    run(wire.talk(script, work))


@pytest.mark.parametrize("header", ["connection: close", "keep-alive: timeout=1, max=5"])
def test_a_server_that_will_close_is_not_asked_again_on_the_same_connection(run: Run, header: str) -> None:
    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.answer(b"ok", header)

    async def work(transport: HttpTransport, url: str, upstream: Upstream) -> None:
        await send(transport, url)
        await send(transport, url)
        assert upstream.connections == 2

    run(Wire(None).talk(script, work))


def test_idle_connections_expire(run: Run) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"ok")
        await peer.gone()

    async def work(transport: HttpTransport, url: str, upstream: Upstream) -> None:
        await send(transport, url)
        await asyncio.wait_for(upstream.hung_up.wait(), 5)

    run(Wire(None).talk(script, work, Limits(idle_s=0.05)))


def test_connections_beyond_those_that_are_kept_serve_the_next_burst_and_go_soon_after(run: Run) -> None:
    open_now, few_left = 0, asyncio.Event()

    async def script(peer: Peer) -> None:
        nonlocal open_now
        open_now += 1
        for _ in range(2):
            await peer.request()
            await asyncio.sleep(0.05)
            await peer.answer(b"ok")
        await peer.gone()
        open_now -= 1
        if open_now == 2:
            few_left.set()

    async def work(transport: HttpTransport, url: str, upstream: Upstream) -> None:
        for _ in range(2):
            await asyncio.gather(*(send(transport, url) for _ in range(6)))
        assert upstream.connections == 6
        await asyncio.wait_for(few_left.wait(), 5)
        await asyncio.sleep(0.2)
        assert open_now == 2

    run(Wire(None).talk(script, work, Limits(idle_connections=2)))


def test_calls_beyond_the_limit_wait_their_turn(run: Run) -> None:
    busy = peak = 0

    async def script(peer: Peer) -> None:
        nonlocal busy, peak
        while True:
            await peer.request()
            busy += 1
            peak = max(peak, busy)
            await asyncio.sleep(0.02)
            busy -= 1
            await peer.answer(b"ok")

    async def work(transport: HttpTransport, url: str, upstream: Upstream) -> None:
        await asyncio.gather(*(send(transport, url) for _ in range(10)))
        assert peak == 2
        results = await asyncio.gather(
            *(send(transport, url, 0.03) for _ in range(8)), return_exceptions=True
        )
        assert any(isinstance(result, ProviderTimeout) for result in results)
        assert (await send(transport, url)).status == 200

    run(Wire(None).talk(script, work, Limits(connections=2)))


def test_a_transport_serves_one_loop_after_another() -> None:
    transport = HttpTransport()

    async def work() -> None:
        async with scripted(answer_ok) as upstream:
            assert (await send(transport, upstream.url())).body == b"ok"
            await transport.aclose()
            assert (await send(transport, upstream.url())).body == b"ok"
            await transport.aclose()

    asyncio.run(work())
    asyncio.run(work())


def test_closing_ends_the_calls_that_wait(run: Run, wire: Wire) -> None:
    async def work(transport: HttpTransport, url: str, upstream: Upstream) -> None:
        task = asyncio.ensure_future(fails(transport, url))
        await upstream.asked.wait()
        await transport.aclose()
        assert isinstance(await asyncio.wait_for(task, 2), ProviderUnreachable)

    run(wire.talk(never, work))
