"""Whose certificate is trusted, and what becomes of a handshake that fails."""

import asyncio
import ssl
import warnings
from typing import Any

import pytest

from inferway.errors import (
    ProviderBadAnswer,
    ProviderTls,
)
from inferway.providers.transport import HttpTransport, Limits
from tests.upstreams.certificates import Authority
from tests.upstreams.scripted import Peer, Upstream, answer_ok, scripted
from tests.upstreams.wires import Run, Wire, fails

SMALL = Limits(body_bytes=300_000, head_bytes=2_000, stream_bytes=300_000)


def _server_context(authority: Authority, fault: str) -> Any:
    if fault == "stranger":
        return authority.server("localhost")
    return authority.server(
        "elsewhere.example" if fault == "wrong name" else "localhost", expired=fault == "expired"
    )


@pytest.mark.parametrize("fault", ["stranger", "wrong name", "expired"])
def test_a_certificate_that_cannot_be_trusted_ends_the_call_before_anything_is_sent(
    run: Run, authority: Authority, fault: str
) -> None:
    async def work() -> None:
        async with scripted(answer_ok, _server_context(authority, fault)) as upstream:
            transport = HttpTransport(ca_file=None if fault == "stranger" else str(authority.file))
            error = await fails(transport, upstream.url(host="localhost"))
            assert isinstance(error, ProviderTls)
            assert not error.retryable
            assert upstream.requests == []

    run(work())


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01\x00", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_a_handshake_that_breaks_off_or_is_none_is_a_tls_error(
    run: Run, authority: Authority, said: bytes
) -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.read(10)
        await peer.send(said)

    async def work() -> None:
        async with scripted(script) as upstream:
            transport = HttpTransport(ca_file=str(authority.file))
            error = await fails(transport, upstream.url().replace("http:", "https:"))
            assert isinstance(error, ProviderTls)
            assert upstream.connections == 1

    run(work())


def test_an_old_tls_version_is_refused(run: Run, authority: Authority) -> None:
    async def work() -> None:
        context = authority.server("localhost")
        # What a server that was never updated offers.
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        async with scripted(answer_ok, context) as upstream:
            error = await fails(HttpTransport(ca_file=str(authority.file)), upstream.url(host="localhost"))
            assert isinstance(error, ProviderTls)

    run(work())


def test_an_answer_without_length_ends_with_the_peers_own_notice_only(run: Run, authority: Authority) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nhalf of it")
        await asyncio.sleep(0.05)
        peer.reset()

    async def work(transport: HttpTransport, url: str, upstream: Upstream) -> None:
        assert isinstance(await fails(transport, url), ProviderBadAnswer)

    run(Wire(authority).talk(script, work))
