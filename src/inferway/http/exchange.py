"""One inference request and the way back, whichever server carries it."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Protocol

from inferway.http.render import Header
from inferway.http.wire import Receive, Scope, Send, read_body

BLANKS = b" \t"
"""What may stand around the value of a header."""


class Exchange(Protocol):
    """A request and its answer.

    `headers` are the first of each name, in lower case, without blanks around them; `hosts` says how many Host headers there were. `send`
    takes ASGI messages, for answers that come in pieces.
    """

    hosts: int

    @property
    def headers(self) -> Mapping[bytes, bytes]: ...

    @property
    def client(self) -> Any:
        """The other end of the connection, its address first; None when it has none."""
        ...

    def send(self, message: Any, /) -> Awaitable[None]: ...

    async def read_body(self, max_bytes: int) -> bytes:
        """The whole body; raises `BadRequest` (code body_too_large) and `ClientLeft`."""
        ...

    async def respond(self, status: int, headers: Sequence[Header], body: bytes) -> None:
        """The whole answer."""
        ...

    def watch(self, after_s: float) -> None:
        """From now on (or soon: `after_s` is how late it may begin) a client that hangs up cancels the current task."""
        ...

    def unwatch(self) -> bool:
        """Ends the watch; whether the client has hung up."""
        ...

    def persist(self) -> None:
        """From now on the work goes on when the client hangs up; what is sent then goes nowhere."""
        ...


class AsgiExchange:
    """An exchange over ASGI, as any server offers it."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.headers = first_headers(scope["headers"])
        self.hosts = count_hosts(scope["headers"])
        self._send = send
        self._scope = scope
        self._receive = receive
        self._worker: asyncio.Task[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._watching: asyncio.Task[None] | None = None
        self._has_left = False

    @property
    def client(self) -> Any:
        """See `Exchange`."""
        return self._scope.get("client")

    def send(self, message: Any, /) -> Awaitable[None]:
        """See `Exchange`."""
        return self._send(message)

    async def read_body(self, max_bytes: int) -> bytes:
        """See `Exchange`."""
        return await read_body(self._scope, self._receive, max_bytes)

    async def respond(self, status: int, headers: Sequence[Header], body: bytes) -> None:
        """See `Exchange`."""
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})

    def watch(self, after_s: float) -> None:
        """See `Exchange`. Most calls are answered soon; only slower ones pay for a task that watches."""
        self._worker = asyncio.current_task()
        self._timer = asyncio.get_running_loop().call_later(after_s, self._begin)

    def unwatch(self) -> bool:
        """See `Exchange`."""
        if self._timer is not None:
            self._timer.cancel()
        if self._watching is not None:
            self._watching.cancel()
        if self._has_left and self._worker is not None:
            self._worker.uncancel()
        return self._has_left

    def persist(self) -> None:
        """See `Exchange`: nobody watches."""

    def _begin(self) -> None:
        self._watching = asyncio.get_running_loop().create_task(self._wait())

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if self._worker is not None:
            self._has_left = True
            self._worker.cancel()


def first_headers(headers: Sequence[Header]) -> dict[bytes, bytes]:
    """The first header of each name, without the blanks around it."""
    return {name: value.strip(BLANKS) for name, value in reversed(headers)}


def count_hosts(headers: Sequence[Header]) -> int:
    """How many Host headers there are."""
    return sum(name == b"host" for name, _ in headers)
