"""Fetching a caller's URL: one judged address, one connection, one deadline, counted bytes."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Final

from inferway.errors import Overloaded
from inferway.media.addresses import Address
from inferway.media.guard import Guard, Target, parse_redirect
from inferway.media.policy import MediaSettings
from inferway.media.refusals import FetchFailed, MediaUnavailable
from inferway.media.resolve import Resolver
from inferway.media.spool import Budget, Spool
from inferway.media.wire import ResponseReader, request_bytes, too_large

_LOG: Final = logging.getLogger("inferway.media")
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_READ_BYTES: Final = 64 * 1024
_READ_HEAD_BYTES: Final = 8 * 1024
# Enough for every magic number; content is judged by it before the rest is read.
HEAD_BYTES: Final = 4096
# A failed hop is answered between `connect_timeout_s` less this and `connect_timeout_s`, unless the server had accepted.
_SPREAD_S: Final = 0.9
_MAX_DIALS: Final = 4

Dial = Callable[[Address, int], Awaitable[socket.socket]]


class Wanted:
    """One fetch: what is wanted, and how far it has come."""

    __slots__ = ("check_head", "hop_started_s", "max_bytes", "origin", "url")

    def __init__(self, url: str, *, max_bytes: int, check_head: Callable[[bytes], object]) -> None:
        """`check_head` gets the first bytes (4096, or all when fewer) and may raise to stop the rest."""
        self.url = url
        self.max_bytes = max_bytes
        self.check_head = check_head
        self.hop_started_s = _now_s()
        self.origin = "not dialled"


class Fetcher:
    """The one way to a caller's URL. Bound to the event loop that first uses it. ValueError when `ca_file` is not usable."""

    def __init__(
        self,
        settings: MediaSettings,
        *,
        resolver: Resolver,
        dial: Dial | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._settings = settings
        self._guard = Guard(settings)
        self._resolver = resolver
        self._dial = dial or dial_address
        # The system's trust is read when it is first needed, since that takes a while; the operator's at once, since it may be bad.
        self._tls = tls or (_trust(settings.ca_file) if settings.ca_file else None)
        self._slots = asyncio.Semaphore(settings.max_concurrent)
        self._budget = Budget(settings.max_buffered_bytes)

    async def fetch(self, wanted: Wanted, *, deadline_s: float) -> bytes:
        """The content behind a URL, within `deadline_s` seconds and the settings' own limit.

        Raises MediaUnavailable (whatever the cause), MediaTooLarge, Overloaded, and what `check_head` raises.
        """
        ends_s = _now_s() + min(deadline_s, self._settings.deadline_s)
        await self._take_slot(ends_s)
        try:
            async with asyncio.timeout_at(ends_s):
                return await self._follow(wanted)
        except TimeoutError:
            reason = "deadline"
        except FetchFailed as failure:
            reason = failure.reason
        except OSError as failure:
            reason = _describe(failure)
        finally:
            self._slots.release()
        _LOG.warning("media not fetched: %s (%s)", reason, wanted.origin)
        await self._wait_floor(wanted.hop_started_s, ends_s)
        raise MediaUnavailable

    def check(self, url: str) -> None:
        """Raise MediaUnavailable unless scheme, port and literal address are permitted. Nothing is resolved or dialled."""
        try:
            self._guard.admit(url)
        except FetchFailed as failure:
            _LOG.warning("media URL not passed on: %s", failure.reason)
            raise MediaUnavailable from None

    async def _take_slot(self, ends_s: float) -> None:
        try:
            async with asyncio.timeout_at(ends_s):
                await self._slots.acquire()
        except TimeoutError:
            raise Overloaded("Too many media fetches are under way.", retry_after_s=5) from None

    async def _wait_floor(self, started_s: float, ends_s: float) -> None:
        """Make every failure take the same least time, so that it does not tell a closed port from a forbidden one."""
        floor_s = started_s + self._settings.connect_timeout_s - _SPREAD_S
        await asyncio.sleep(max(0.0, min(floor_s, ends_s) - _now_s()))

    async def _follow(self, wanted: Wanted) -> bytes:
        wanted.hop_started_s = _now_s()
        target = self._guard.admit(wanted.url)
        for _redirect in range(self._settings.max_redirects + 1):
            wanted.origin = target.origin
            answer = await self._exchange(target, wanted)
            if isinstance(answer, bytes):
                return answer
            wanted.hop_started_s = _now_s()
            target = self._guard.check(answer)
        raise FetchFailed("too many redirects")

    async def _exchange(self, target: Target, wanted: Wanted) -> bytes | Target:
        """One request: the content, or where a redirect leads."""
        reader, writer = await self._connect(target)
        try:
            writer.write(request_bytes(target))
            await writer.drain()
            response = ResponseReader()
            first = await _read_head(reader, response)
            if response.status in _REDIRECTS:
                return _read_redirect(target, response)
            _check_answer(response, wanted.max_bytes)
            with Spool(self._budget) as spool:
                return await _read_body(reader, response, first, wanted, spool)
        finally:
            # Not `close`: a polite goodbye would wait for a server that need not answer.
            writer.transport.abort()

    async def _connect(self, target: Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        ends_s = _now_s() + self._settings.connect_timeout_s
        try:
            async with asyncio.timeout_at(ends_s):
                answers = (
                    [target.host]
                    if target.literal
                    else await self._resolver.resolve(target.host, target.port)
                )
                addresses = self._guard.judge(target, answers)
                connected = await self._dial_first(addresses[:_MAX_DIALS], target.port, ends_s)
        except TimeoutError:
            raise FetchFailed("no connection in time") from None
        if target.scheme == "http":
            return await asyncio.open_connection(sock=connected)
        return await asyncio.open_connection(
            sock=connected, ssl=self._tls_context(), server_hostname=target.host
        )

    async def _dial_first(self, addresses: tuple[Address, ...], port: int, ends_s: float) -> socket.socket:
        """A socket to the first address that answers; each gets an equal share of the time left."""
        last: OSError = OSError("no address")
        for position, address in enumerate(addresses):
            share_s = (ends_s - _now_s()) / (len(addresses) - position)
            try:
                async with asyncio.timeout(share_s):
                    return await self._dial(address, port)
            except OSError as failure:  # TimeoutError is one.
                last = failure
        raise last

    def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = _trust(None)
        return self._tls


def _trust(ca_file: str | None) -> ssl.SSLContext:
    """Verifies servers against these authorities or the system's; ValueError when the file is not usable."""
    try:
        tls = ssl.create_default_context(cafile=ca_file)
    except OSError:
        raise ValueError(f"media.ca_file: {ca_file!r} is not a readable PEM file of certificates") from None
    tls.set_alpn_protocols(["http/1.1"])
    return tls


def _now_s() -> float:
    return asyncio.get_running_loop().time()


def _describe(failure: OSError) -> str:
    """An error of the system or of TLS by its kind."""
    if isinstance(failure, ssl.SSLCertVerificationError):
        return f"certificate: {failure.verify_message}"
    return f"{type(failure).__name__}: {failure.strerror}"


async def dial_address(address: Address, port: int) -> socket.socket:
    """A connected, non-blocking TCP socket to this very address; OSError when there is none."""
    dialled = socket.socket(socket.AF_INET6 if address.version == 6 else socket.AF_INET, socket.SOCK_STREAM)
    try:
        dialled.setblocking(False)
        await asyncio.get_running_loop().sock_connect(dialled, (str(address), port))
        dialled.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        dialled.close()
        raise
    return dialled


async def _read_more(reader: asyncio.StreamReader, response: ResponseReader, limit: int) -> bytes:
    data = await reader.read(limit)
    if data:
        return response.feed(data)
    response.feed_end()
    return b""


async def _read_head(reader: asyncio.StreamReader, response: ResponseReader) -> bytes:
    """Read until the head is complete; the bytes of the body that came with it."""
    body = b""
    while response.status == 0:
        body = await _read_more(reader, response, _READ_HEAD_BYTES)
    response.check_head()
    return body


def _read_redirect(target: Target, response: ResponseReader) -> Target:
    location = response.header(b"location")
    if not location:
        raise FetchFailed("redirect without a location")
    return parse_redirect(target, location)


def _check_answer(response: ResponseReader, max_bytes: int) -> None:
    if response.status != 200:
        raise FetchFailed(f"HTTP status {response.status}")
    response.check_codings()
    length = response.content_length()
    if length is not None and length > max_bytes:
        raise too_large(max_bytes)


async def _read_body(
    reader: asyncio.StreamReader, response: ResponseReader, first: bytes, wanted: Wanted, spool: Spool
) -> bytes:
    data, checked = first, False
    while True:
        if spool.size + len(data) > wanted.max_bytes:
            raise too_large(wanted.max_bytes)
        spool.write(data)
        if not checked and (spool.size >= HEAD_BYTES or response.finished):
            wanted.check_head(spool.read(HEAD_BYTES))
            checked = True
        if response.finished:
            return spool.read()
        data = await _read_more(reader, response, _READ_BYTES)
