"""A connection inside TLS: an `SSLObject` between the socket and the HTTP reader."""

import asyncio
import ssl
from typing import Any

from inferway.providers.transport.connection import Connection
from inferway.providers.transport.limits import Limits

_RECORD_BYTES = 16 * 1024


class SecureConnection(Connection):
    """Verifies the server's certificate for `host` before anything is written.

    The event loops have TLS of their own; this one decrypts straight into the place where the bytes are needed, which costs a gateway
    about half as much per call.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limits: Limits,
        scratch: memoryview,
        context: ssl.SSLContext,
        host: str,
    ) -> None:
        super().__init__(loop, limits, scratch)
        self._handshake: asyncio.Future[None] = loop.create_future()
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._received = scratch[: len(scratch) // 2]
        self._decrypted = scratch[len(scratch) // 2 :]
        self._closed_by_peer = False

    async def ready(self) -> None:
        """Wait for the handshake; raises ssl.SSLError, or ConnectionResetError when the server breaks it off."""
        await self._handshake

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._shake_hands()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the loop's name
        return self._received

    def buffer_updated(self, nbytes: int) -> None:
        self._incoming.write(self._received[:nbytes])
        if not self._handshake.done():
            self._shake_hands()
        if self._handshake.done() and not self.closed:
            self._decrypt()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._handshake.done():
            self._handshake.set_exception(ConnectionResetError("the TLS handshake was broken off"))
        super().connection_lost(exc)

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError as error:
            # What is left to send is the alert that tells the server why.
            self._flush()
            self._end_handshake(error)
            self.abort()
        else:
            self._flush()
            self._end_handshake(None)

    def _end_handshake(self, error: ssl.SSLError | None) -> None:
        if self._handshake.done():
            return
        if error is None:
            self._handshake.set_result(None)
        else:
            self._handshake.set_exception(error)

    def _write(self, head: bytes, body: bytes) -> None:
        data = memoryview(head + body if len(body) < _RECORD_BYTES else head)
        self._encrypt(data)
        if len(body) >= _RECORD_BYTES:
            self._encrypt(memoryview(body))
        self._flush()

    def _encrypt(self, data: memoryview) -> None:
        while data:
            data = data[self._tls.write(data) :]

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._transport.write(self._outgoing.read())

    def _decrypt(self) -> None:
        try:
            while not self.closed:
                place = self._decrypted if self._large_rest is None else self._large_rest
                # With a place to write to, `read` gives a number; its annotation only knows the other form.
                size: Any = self._tls.read(len(place), place)
                if not size:
                    self._closed_by_peer = True
                    self._transport.abort()
                    return
                if self._large_rest is None:
                    self.feed(place[:size])
                else:
                    self.fill(size)
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError as error:
            self.break_off(error)

    def _is_clean_end(self) -> bool:
        """Only the peer's own notice can be trusted: anybody on the way can end a TCP connection."""
        return self._closed_by_peer
