"""How transport tests reach a scripted upstream: without or with TLS."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from inferway.errors import UpstreamError
from inferway.providers.base import WireRequest, WireResponse
from inferway.providers.transport import HttpTransport, Limits
from inferway.types import Deadline
from tests.upstreams.certificates import Authority
from tests.upstreams.scripted import Peer, Script, Upstream, scripted

Run = Callable[[Coroutine[Any, Any, Any]], Any]
REQUEST = WireRequest(path="", body=b'{"a":1}')


class Wire:
    """How a test reaches its upstream."""

    def __init__(self, authority: Authority | None) -> None:
        self.authority = authority

    async def talk(
        self,
        script: Script,
        work: Callable[[HttpTransport, str, Upstream], Awaitable[Any]],
        limits: Limits | None = None,
    ) -> Any:
        """Run `work(transport, url, upstream)` against a scripted upstream."""
        ca_file = str(self.authority.file) if self.authority else None
        context = self.authority.server("localhost") if self.authority else None
        async with scripted(script, context) as upstream:
            transport = HttpTransport(limits=limits, ca_file=ca_file)
            try:
                return await work(transport, upstream.url(host="localhost"), upstream)
            finally:
                await transport.aclose()


async def send(
    transport: HttpTransport, url: str, timeout_s: float = 10.0, request: WireRequest = REQUEST
) -> WireResponse:
    return await transport.send(url, request, (("authorization", "Bearer sk-x"),), Deadline.after(timeout_s))


def raw(data: bytes, *, close: bool = True) -> Callable[[Peer], Awaitable[None]]:
    """A script that reads a request, writes bytes and hangs up, or waits for us to."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(data)
        if not close:
            await peer.gone()

    return script


async def fails(transport: HttpTransport, url: str, timeout_s: float = 10.0) -> UpstreamError:
    """The error of a call that must fail, which tells nobody where it went."""
    with pytest.raises(UpstreamError) as caught:
        await send(transport, url, timeout_s)
    assert "127.0.0.1" not in caught.value.message
    assert "localhost" not in caught.value.message
    return caught.value


async def never(peer: Peer) -> None:
    """A script that reads a request and says nothing."""
    await peer.request()
    await peer.gone()
