"""An inference request straight off the connection: no ASGI messages for what arrives and leaves whole."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from inferway.http.exchange import Exchange
from inferway.http.render import Header
from inferway.http.wire import receive_body, refuse_announced, too_large

_log = logging.getLogger("inferway.http")

_LINE = b": ".join
_END = b"\r\n\r\n"

Serve = Callable[[Exchange], Coroutine[Any, Any, None]]
"""Answers one exchange; every failure is answered too."""


class Connection(Protocol):
    """What a request needs of the connection it came by."""

    flow: Any
    transport: Any
    tasks: set[asyncio.Task[None]]
    server_state: Any

    def on_response_complete(self) -> None: ...

    def send_whole(self, data: bytes) -> None: ...

    def flush(self) -> None: ...


class DirectCycle(RequestResponseCycle):
    """One request with its answer; `headers` are the first of each name, without blanks around them.

    It is a uvicorn cycle too, which sends answers in pieces and receives bodies in pieces. The work begins when the head is there. A client
    that hangs up cancels it at once: nothing has to watch for that.
    """

    # Attributes are set here and not by uvicorn's class, whose scope, event and loggers nothing needs.
    access_log = False
    chunked_encoding = None
    expected_content_length = 0
    disconnected = False
    response_started = False
    response_complete = False
    more_body = True
    has_left = False
    persists = False
    task: asyncio.Task[None] | None = None
    arrived: asyncio.Event | None = None
    _is_taken = False

    def __init__(
        self, connection: Connection, headers: dict[bytes, bytes], hosts: int, *, keep_alive: bool
    ) -> None:
        self.headers = headers
        self.hosts = hosts
        self.connection = connection
        self.transport = connection.transport
        self.flow = connection.flow
        self.keep_alive = keep_alive
        self.body = b""  # type: ignore[assignment] # bytes, until uvicorn's class collects pieces
        self.on_response = connection.on_response_complete
        self.waiting_for_100_continue = False

    @property
    def client(self) -> Any:
        """See `Exchange`."""
        return self.transport.get_extra_info("peername")

    @property
    def scope(self) -> Any:  # type: ignore[override]
        """All that sending looks at."""
        return {"method": "POST"}

    @property
    def default_headers(self) -> list[Header]:  # type: ignore[override]
        """The headers of every answer."""
        return cast("list[Header]", self.connection.server_state.default_headers)

    @property
    def message_event(self) -> asyncio.Event:  # type: ignore[override]
        """Made when first somebody waits or tells: most bodies arrive with their head."""
        if self.arrived is None:
            self.arrived = asyncio.Event()
            if (self.body or not self.more_body) and not self._is_taken:
                self.arrived.set()
        return self.arrived

    def start(self, loop: asyncio.AbstractEventLoop, serve: Serve) -> None:
        """Begins the work."""
        # Not by `loop.create_task`, which makes a name up for each.
        self.task = task = asyncio.Task(self._run(serve), loop=loop, name="call")
        self.connection.tasks.add(task)

    def leave(self) -> None:
        """The client has hung up."""
        self.disconnected = True
        self.tell()
        if self.task is not None and not self.has_left and not self.persists:
            self.has_left = True
            self.task.cancel()

    def tell(self) -> None:
        """More has arrived: whoever waits for it is woken."""
        if self.arrived is not None:
            self.arrived.set()

    async def read_body(self, max_bytes: int) -> bytes:
        """See `Exchange`."""
        if self.more_body or self.arrived is not None or self.disconnected:
            refuse_announced(self.headers.get(b"content-length"), max_bytes)
            return await receive_body(self.receive, max_bytes)  # type: ignore[arg-type]
        self._is_taken = True
        self.flow.resume_reading()
        body = bytes(self.body)
        if len(body) > max_bytes:
            raise too_large(max_bytes)
        return body

    async def respond(self, status: int, headers: Sequence[Header], body: bytes) -> None:
        """See `Exchange`."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        always = self.connection.server_state.default_headers
        lines = [*map(_LINE, always), *map(_LINE, headers)]
        if not self.keep_alive:
            lines.append(b"connection: close")
        head = b"\r\n".join(lines)
        if head.count(b"\n") != len(lines) - 1:
            raise RuntimeError("a header holds a line break")
        self.response_started = self.response_complete = True
        self.connection.send_whole(b"".join((STATUS_LINE[status], head, _END, body)))
        if self.arrived is not None:
            self.arrived.set()
        if not self.keep_alive:
            self.connection.flush()
            self.transport.close()
        self.on_response()

    def watch(self, after_s: float) -> None:
        """See `Exchange`: the connection itself tells."""
        del after_s

    def unwatch(self) -> bool:
        """See `Exchange`."""
        if self.has_left and self.task is not None:
            self.task.uncancel()
        return self.has_left

    def persist(self) -> None:
        """See `Exchange`."""
        self.persists = True

    async def _run(self, serve: Serve) -> None:
        try:
            await serve(self)
        except Exception:  # noqa: BLE001 - the outermost layer of a connection's work
            _log.exception("a request was not answered")
        finally:
            if not self.response_complete and not self.disconnected:
                self.transport.close()
            self.on_response = _nothing
            if self.task is not None:
                self.connection.tasks.discard(self.task)
                self.task = None  # a cancelled task holds its error, whose frames hold this


def _nothing() -> None:
    """An answer that is over completes nothing."""
