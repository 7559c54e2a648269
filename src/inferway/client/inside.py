"""Calls an application in this process: requests are handed to it as ASGI, and answers come back as they are made."""

import asyncio
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple, Self, TypeVar

import httpx2

URL = "http://localhost"
"""Where an application in this process is said to be; nobody connects there."""

_PATIENCE_S = 5.0
"""What calls that were hung up on may take to end, before they are cancelled."""

T = TypeVar("T")
Message = dict[str, Any]
Application = Callable[[Any, Any, Any], Awaitable[None]]


class Door(NamedTuple):
    """An ASGI application that runs, and the key to call it with."""

    application: Application
    api_key: str


Life = Callable[[], AbstractAsyncContextManager[Door]]
"""Opens the application on the running event loop, and closes it."""


class InsideTransport(httpx2.AsyncBaseTransport):
    """Carries the calls of an `AsyncClient` to an application that it opens at the first call and closes with the client.

    The application belongs to the event loop of the first call. What its opening raises, each call raises.
    """

    def __init__(self, life: Life) -> None:
        self._life = life
        self._host: asyncio.Task[None] | None = None
        self._opened: asyncio.Future[Door] | None = None
        self._ended = asyncio.Event()
        self._calls: set[_Call] = set()

    async def open(self) -> Door:
        """Opens the application, unless it is open."""
        if self._opened is None:
            self._opened = asyncio.get_running_loop().create_future()
            self._host = asyncio.create_task(self._live(self._opened))
        return await asyncio.shield(self._opened)

    async def _live(self, opened: "asyncio.Future[Door]") -> None:
        """The application from its opening to its end, in one task."""
        try:
            async with self._life() as door:
                opened.set_result(door)
                await self._ended.wait()
        except Exception as error:
            if opened.done():
                raise
            opened.set_exception(error)
        finally:
            opened.cancel()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Hands a request over, and returns when the answer begins."""
        door = await self.open()
        content = await request.aread()
        call = _Call(content, request.extensions.get("timeout", {}).get("read"))
        call.start(door.application(_scope(request, door.api_key), call.receive, call.send))
        self._calls.add(call)
        call.when_done(self._calls.discard)
        try:
            begun = await call.next()
        except BaseException:
            call.hang_up()
            raise
        return httpx2.Response(begun["status"], headers=begun["headers"], stream=call)

    async def aclose(self) -> None:
        """Hangs up on calls under way, waits for them, and closes the application."""
        calls = tuple(self._calls)
        for call in calls:
            call.hang_up()
        await asyncio.gather(*(call.finish() for call in calls))
        self._ended.set()
        if self._host is not None:
            await self._host


def _scope(request: httpx2.Request, api_key: str) -> Message:
    headers = [
        (name.lower(), value) for name, value in request.headers.raw if name.lower() != b"authorization"
    ]
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": request.url.scheme,
        "path": request.url.path,
        "raw_path": request.url.raw_path.partition(b"?")[0],
        "query_string": request.url.query,
        "root_path": "",
        "headers": [*headers, (b"authorization", b"Bearer " + api_key.encode("ascii"))],
        "server": ("localhost", 80),
        "client": None,
    }


class _Call(httpx2.AsyncByteStream):
    """One request on its way, and the body of its answer. `timeout_s` bounds each silence."""

    def __init__(self, content: bytes, timeout_s: float | None) -> None:
        self._content: bytes | None = content
        self._timeout_s = timeout_s
        self._left = asyncio.Event()
        self._came: asyncio.Queue[Message | None] = asyncio.Queue()
        self._task: asyncio.Future[None] | None = None

    def start(self, work: Awaitable[None]) -> None:
        """Lets the application begin; it goes on in a task of its own, as it does behind a socket."""
        self._task = asyncio.ensure_future(work)
        self._task.add_done_callback(lambda _: self._came.put_nowait(None))

    def when_done(self, forget: Callable[["_Call"], object]) -> None:
        """Calls back when the application has ended with this call."""
        assert self._task is not None  # noqa: S101 - started before
        self._task.add_done_callback(lambda _: forget(self))

    async def receive(self) -> Message:
        """ASGI: the request, and then, when it comes to that, that the client has left."""
        content, self._content = self._content, None
        if content is not None:
            return {"type": "http.request", "body": content, "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """ASGI: a piece of the answer."""
        self._came.put_nowait(message)

    async def next(self) -> Message:
        """The next piece. Raises `httpx2.ReadTimeout`, and `RemoteProtocolError` when there is none."""
        try:
            async with asyncio.timeout(self._timeout_s):
                message = await self._came.get()
        except TimeoutError:
            raise httpx2.ReadTimeout("") from None
        if message is None:
            raise httpx2.RemoteProtocolError("the answer broke off before its end")
        return message

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            message = await self.next()
            yield message.get("body", b"")
            if not message.get("more_body", False):
                return

    async def aclose(self) -> None:
        """Whoever asked reads no further."""
        self.hang_up()

    def hang_up(self) -> None:
        """Tells the application that nobody listens any more, as a closed connection would."""
        self._left.set()

    async def finish(self) -> None:
        """Waits until the application has ended with the call; cancels it when it does not."""
        assert self._task is not None  # noqa: S101 - started before
        _, late = await asyncio.wait([self._task], timeout=_PATIENCE_S)
        for task in late:
            task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class BlockingTransport(httpx2.BaseTransport):
    """The same for a `Client`: the application lives on an event loop in a thread of its own. Any thread may call.

    It closes with the client, with the last reference to it, or with the program.
    """

    def __init__(self, life: Life) -> None:
        loop: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._inside = InsideTransport(life)
        thread = threading.Thread(
            target=asyncio.run, args=(_host(self._inside, loop),), name="inferway", daemon=True
        )
        thread.start()
        self._loop, ended = loop.result()
        self._close = weakref.finalize(self, _end, self._loop, ended, thread)
        _before_exit(self._close)

    def open(self) -> Self:
        """Opens the application, and raises what that raises."""
        try:
            self.wait_for(self._inside.open())
        except BaseException:
            self.close()
            raise
        return self

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """See `InsideTransport`."""
        answer = self.wait_for(self._inside.handle_async_request(request))
        assert isinstance(answer.stream, _Call)  # noqa: S101 - made above
        return httpx2.Response(
            answer.status_code, headers=answer.headers, stream=_BlockingStream(answer.stream, self)
        )

    def wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        """Has something done in the thread; an interrupt here ends it there."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """Closes the application, and waits for that."""
        self._close()


class _BlockingStream(httpx2.SyncByteStream):
    """The body of an answer, read from the thread."""

    def __init__(self, call: _Call, transport: BlockingTransport) -> None:
        self._pieces = aiter(call)
        self._call, self._transport = call, transport

    def __iter__(self) -> Iterator[bytes]:
        while (piece := self._transport.wait_for(self._next())) is not None:
            yield piece

    async def _next(self) -> bytes | None:
        return await anext(self._pieces, None)

    def close(self) -> None:
        """See `_Call`."""
        self._transport.wait_for(self._call.aclose())


async def _host(
    inside: InsideTransport, started: "Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]"
) -> None:
    """What the thread runs."""
    ended = asyncio.Event()
    started.set_result((asyncio.get_running_loop(), ended))
    await ended.wait()
    await inside.aclose()


def _before_exit(close: "weakref.finalize[..., Any]") -> None:
    """Has a program that forgot to close do so while threads can still be begun: `atexit` is too late for that.

    `concurrent.futures` registers itself like this. Where Python has no such place, the application is simply gone at the exit, as
    after a kill: what was used is then in the journal, and the next start moves it.
    """
    close.atexit = False
    register = getattr(threading, "_register_atexit", None)
    if register is not None:
        register(close)


def _end(loop: asyncio.AbstractEventLoop, ended: asyncio.Event, thread: threading.Thread) -> None:
    loop.call_soon_threadsafe(ended.set)
    # Garbage may be collected in that very thread.
    if thread is not threading.current_thread():
        thread.join()
