"""Runs the ASGI application in this process: listens, watches connections, and stops in the order that loses nothing."""

import asyncio
import contextlib
import gc
import logging
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Protocol

import uvicorn

from inferway.errors import OperatorError
from inferway.http.exchange import Exchange
from inferway.http.front import INFERENCE_PATH
from inferway.http.protocol import BoundedProtocol, Bounds
from inferway.http.shedding import Refusal, SheddingConfig, SheddingProtocol
from inferway.http.wire import Receive, Scope, Send
from inferway.pipeline.life import STOPPING
from inferway.resilience.adaptive import Valve
from inferway.settings import ServerSettings

_log = logging.getLogger("inferway.http")

_LOOK_EVERY_S = 0.5
_LOOKED_AT_ONCE = 500
_LOOK_SPREAD_MAX = 4
_BACKLOG = 4096
_LAST_WORDS_S = 3.0
_GC_THRESHOLDS = (20_000, 20, 50)
_TCP_INFO_BYTES = 32
_UNACKED_AT = 24
_QUEUED = 4
_ACCEPT_AT_ONCE = 64
_FILES_ENOUGH = 65_536
_FILES_LEFT = 16


class ListenError(OperatorError):
    """The address cannot be listened on; the message is one line that says what to do."""


class Application(Protocol):
    """What is served: an ASGI application with a lifespan.

    `is_ready` is what readiness says while calls are still served; `valve` lets calls in.
    """

    is_ready: bool
    valve: Valve

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...

    def infer(self, exchange: Exchange) -> Coroutine[Any, Any, None]:
        """Answers an inference request straight off its connection."""
        ...


def listen(host: str, port: int) -> socket.socket:
    """A bound socket that child processes can inherit; raises `ListenError`."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        reason = (error.strerror or "unusable").lower()
        raise ListenError(f"{host}: {reason}. Choose another address with --host.") from None
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.set_inheritable(True)
    except OSError as error:
        bound.close()
        reason = (error.strerror or "unusable").lower()
        raise ListenError(f"{host}:{port}: {reason}. Choose another with --port or --host.") from None
    return bound


def url_of(bound: socket.socket) -> str:
    """Where a client on this machine reaches a bound socket."""
    host, port = bound.getsockname()[:2]
    reachable = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104 - compared
    return f"http://{reachable}:{port}"


async def serve(
    application: Application,
    bound: socket.socket,
    settings: ServerSettings,
    on_ready: Callable[[], object] = lambda: None,
) -> None:
    """Serves until a signal says stop.

    SIGTERM: readiness turns to 503, requests are accepted for another `stop_wait_s`, then running calls get `stop_grace_s`. SIGINT skips
    the wait. A second signal ends at once. What the application's startup raises comes out of here.
    """
    config = configure(application, settings)
    server = _Server(config, on_ready)
    with _Stop(server, application, settings).on_signals():
        lifespan = _Lifespan(application)
        await lifespan.startup()
        _spare_collector()
        looking = asyncio.create_task(_look(server))
        pulse = _Pulse(server, config, bound, settings.workers)
        try:
            await server.serve(sockets=[bound])
        finally:
            looking.cancel()
            pulse.stop()
            await _end(server.server_state.tasks)
            await lifespan.shutdown()


async def _end(calls: set[asyncio.Task[None]]) -> None:
    """Ends the calls whose time is up; each still settles what it used."""
    for call in calls:
        call.cancel(STOPPING)
    if calls:
        await asyncio.wait(tuple(calls), timeout=_LAST_WORDS_S)


def configure(application: Application, settings: ServerSettings) -> SheddingConfig:
    """uvicorn's configuration for an application."""
    config = SheddingConfig(
        application,
        http=SheddingProtocol,
        ws="none",
        loop="none",
        interface="asgi3",
        lifespan="off",
        log_config=None,
        log_level=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=settings.keepalive_timeout_s,  # type: ignore[arg-type] # call_later takes any number
        timeout_graceful_shutdown=settings.stop_grace_s,  # type: ignore[arg-type] # and so does wait_for
        workers=1,
    )
    config.bounds = Bounds(
        header_timeout_s=settings.header_timeout_s,
        body_timeout_s=settings.body_timeout_s,
        headers_max=settings.headers_max,
        head_max_bytes=settings.header_max_kb * 1024,
    )
    config.direct_path, config.direct = INFERENCE_PATH.encode("ascii"), application.infer
    config.valve = application.valve
    config.refusal = Refusal()
    config.files_max = _raise_file_limit()
    return config


def _spare_collector() -> None:
    """Keeps the garbage collector from walking through what lives as long as the process, and from starting for every few calls.

    Hardly anything in a call's life is a cycle; with thousands of connections the walks would cost most when there is least time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)


def _raise_file_limit() -> int:
    """Allows this process all the open files that it may have; the number from which on a connection is one too many.

    What is left above it is for the other side of the calls: connections to providers, the database, the journal.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES_ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _FILES_ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    files = _FILES_ENOUGH if soft == resource.RLIM_INFINITY else soft
    return files - max(_FILES_LEFT, files // 4)


class _Server(uvicorn.Server):
    """uvicorn's server; signals are ours, so that a stop has phases and the exit status is 0."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], object]) -> None:
        super().__init__(config)
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_started()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class _Stop:
    """What the stop signals do."""

    def __init__(self, server: uvicorn.Server, application: Application, settings: ServerSettings) -> None:
        self._server = server
        self._application = application
        self._settings = settings
        self._asked = False

    @contextlib.contextmanager
    def on_signals(self) -> Generator[None, None, None]:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.ask, self._settings.stop_wait_s)
        loop.add_signal_handler(signal.SIGINT, self.ask, 0.0)
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGTERM)
            loop.remove_signal_handler(signal.SIGINT)

    def ask(self, wait_s: float) -> None:
        if self._asked:
            self._server.force_exit = True
            self._leave()
            return
        self._asked = True
        self._application.is_ready = False
        asyncio.get_running_loop().call_later(wait_s, self._leave)

    def _leave(self) -> None:
        self._server.should_exit = True


async def _look(server: uvicorn.Server) -> None:
    """Has every connection look at its deadlines: twice a second; with thousands of them, each two seconds."""
    loop = asyncio.get_running_loop()
    while True:
        connections = server.server_state.connections
        await asyncio.sleep(
            _LOOK_EVERY_S * min(_LOOK_SPREAD_MAX, max(1, len(connections) // _LOOKED_AT_ONCE))
        )
        now = loop.time()
        for connection in tuple(connections):
            if isinstance(connection, BoundedProtocol):
                connection.look(now)


class _Pulse:
    """Has the valve look at the loop again and again, and accepts connections that have queued up.

    The loop accepts one connection in each of its steps: with much to do in a step, new clients would wait for seconds unseen, and when the
    kernel's queue is full it forgets them, the probes of a load balancer among them. So a step accepts many when many wait.
    """

    def __init__(
        self, server: uvicorn.Server, config: SheddingConfig, bound: socket.socket, workers: int
    ) -> None:
        self._server = server
        self._config = config
        self._bound = bound
        self._workers = workers
        self._loop = asyncio.get_running_loop()
        self._accepting: set[asyncio.Task[Any]] = set()
        self._is_accepting = False
        self._state, self._refused = "open", 0
        self._beat()

    def stop(self) -> None:
        self._next.cancel()

    def _beat(self) -> None:
        waiting = self._waiting()
        # The loop's own clock stands still during a step of the loop.
        now = time.monotonic()
        self._config.refusal.release(now)
        wait_s = self._config.valve.beat(
            now, self._server.server_state.total_requests, waiting / self._workers
        )
        if self._config.valve.state != self._state:
            self._tell()
        if waiting > _QUEUED and not self._is_accepting:
            self._accept_all()
        self._next = self._loop.call_later(wait_s, self._beat)

    def _tell(self) -> None:
        """The log has a line when refusing begins and one when it ends, and none for each call."""
        valve = self._config.valve
        self._state = valve.state
        if self._state == "open":
            _log.warning("calls are let in again; %d were refused", valve.refused - self._refused)
            self._refused = valve.refused
        else:
            why = "there is more to do than can be done" if self._state == "overloaded" else "memory runs out"
            _log.warning("%s: calls are refused", why)

    def _waiting(self) -> int:
        """Connections that the kernel has made and nobody has accepted yet (Linux says it of a listening socket in TCP_INFO)."""
        try:
            told = self._bound.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
        except (OSError, AttributeError):
            return 0
        return int.from_bytes(told[_UNACKED_AT : _UNACKED_AT + 4], sys.byteorder)

    def _accept_all(self) -> None:
        """Some in each step of the loop, until hardly any wait."""
        waiting = self._waiting()
        self._is_accepting = waiting > _QUEUED and not self._server.should_exit
        if self._is_accepting:
            self._accept(min(-(-waiting // self._workers), _ACCEPT_AT_ONCE))
            self._loop.call_soon(self._accept_all)

    def _accept(self, count: int) -> None:
        for _ in range(count):
            try:
                connection, _address = self._bound.accept()
            except OSError:
                return
            connection.setblocking(False)
            task = self._loop.create_task(self._loop.connect_accepted_socket(self._make, connection))
            self._accepting.add(task)
            task.add_done_callback(self._accepted)
            if connection.fileno() >= self._config.files_max:
                return  # the protocol turns it away; the files that are left are not for more of these

    def _accepted(self, task: "asyncio.Task[Any]") -> None:
        self._accepting.discard(task)
        if not task.cancelled():
            task.exception()  # a client that has left again

    def _make(self) -> asyncio.Protocol:
        return SheddingProtocol(self._config, self._server.server_state, {}, self._loop)


class _Lifespan:
    """Drives the application's lifespan; unlike uvicorn's, it lets the error of a failed start through."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._outbox: asyncio.Queue[Any] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def startup(self) -> None:
        scope: dict[str, Any] = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "state": {},
        }
        self._task = asyncio.ensure_future(self._application(scope, self._inbox.get, self._outbox.put))
        await self._tell("lifespan.startup")

    async def shutdown(self) -> None:
        await self._tell("lifespan.shutdown")

    async def _tell(self, kind: str) -> None:
        """Sends an event and waits for its answer; raises what the application raised."""
        assert self._task is not None  # noqa: S101 - startup comes first
        await self._inbox.put({"type": kind})
        answer = asyncio.ensure_future(self._outbox.get())
        await asyncio.wait((answer, self._task), return_when=asyncio.FIRST_COMPLETED)
        if answer.done() and answer.result()["type"] == f"{kind}.complete":
            return
        answer.cancel()
        await self._task
        raise RuntimeError(f"the application did not answer {kind}")
