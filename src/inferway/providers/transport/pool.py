"""Keeps connections to providers open between calls and dials new ones."""

import asyncio
import logging
import ssl
from collections import deque
from time import monotonic

from inferway.errors import ProviderTimeout, ProviderTls, ProviderUnreachable
from inferway.outbox import Outbox
from inferway.providers.transport.connection import Connection
from inferway.providers.transport.limits import Limits
from inferway.providers.transport.message import Origin
from inferway.providers.transport.names import Names
from inferway.providers.transport.secure import SecureConnection
from inferway.types import TIMER_EARLY_S, Deadline

_log = logging.getLogger("inferway.providers")
_SCRATCH_BYTES = 512 * 1024
_SPARE_S = 1.0
"""How long a connection is kept for which there is no room among the idle ones."""
_NO_TIME = "The deadline passed before the provider could be asked."


class Pool:
    """The connections of one event loop. An idle connection serves the most recent call first, so that spares can expire."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: Limits, tls: ssl.SSLContext) -> None:
        self.loop = loop
        self._limits = limits
        self._tls = tls
        self._scratch = memoryview(bytearray(_SCRATCH_BYTES))
        self._names = Names(loop)
        self._free_slots = limits.connections
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._idle: dict[Origin, list[Connection]] = {}
        self._idle_count = 0
        self._in_use: set[Connection] = set()
        self._outbox = Outbox(loop)
        self._sweeper: asyncio.TimerHandle | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = 0.0

    def find_slot(self) -> bool:
        """Whether another call may go out now; if so it has its slot."""
        if self._free_slots <= 0:
            return False
        self._free_slots -= 1
        return True

    async def wait_for_slot(self, deadline: Deadline) -> None:
        """Wait until another call may go out; raises `ProviderTimeout` when that is not before the deadline."""
        turn = self.loop.create_future()
        self._waiting.append(turn)
        try:
            async with deadline.limit():
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self.free_slot()  # The slot came at the same moment, and somebody else can use it.
            turn.cancel()
            if isinstance(error, TimeoutError):
                raise ProviderTimeout(_NO_TIME) from None
            raise

    def free_slot(self) -> None:
        """Let the next waiting call go out."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free_slots += 1

    def outbox(self) -> Outbox | None:
        """Where a request may wait for those beside it; None when there is no other."""
        return self._outbox if len(self._in_use) > 1 else None

    def guard(self, connection: Connection, deadline: Deadline) -> None:
        """Have a connection expire at a deadline, unless it is given back before.

        One timer, for the earliest deadline, serves all: deadlines lie far ahead and are hardly ever met.
        """
        connection.due = at = deadline.at
        if self._alarm is None or at < self._alarm_at:
            self._set_alarm(at)

    def _set_alarm(self, at: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = at
        self._alarm = self.loop.call_later(max(0.0, at - monotonic()), self._ring)

    def _ring(self) -> None:
        self._alarm = None
        now = monotonic() + TIMER_EARLY_S
        for connection in tuple(self._in_use):
            if connection.due <= now:
                connection.expire()
        left = [connection.due for connection in self._in_use if connection.due > now]
        if left:
            self._set_alarm(min(left))

    def find_idle(self, origin: Origin) -> Connection | None:
        """A kept connection that is still open, or None."""
        kept = self._idle.get(origin)
        now = monotonic()
        while kept:
            connection = kept.pop()
            self._idle_count -= 1
            if not connection.closed and connection.idle_until > now:
                self._in_use.add(connection)
                return connection
            connection.abort()
        return None

    async def dial(self, origin: Origin, deadline: Deadline) -> Connection:
        """A new connection. Raises `ProviderUnreachable`, `ProviderTls` or, when the deadline comes first, `ProviderTimeout`."""
        limit_s = min(self._limits.connect_timeout_s, deadline.remaining_s())
        try:
            async with asyncio.timeout(limit_s):
                connection = await self._connect(origin, limit_s)
        except (OSError, UnicodeError) as error:
            _log.warning("cannot connect to %s:%d: %s", origin.host, origin.port, _reason(error))
            raise _connect_error(error, origin, deadline) from None
        self._in_use.add(connection)
        return connection

    async def _connect(self, origin: Origin, limit_s: float) -> Connection:
        """Connect to the first address that answers; none of several may use up the time of all."""
        addresses = await self._names.addresses(origin.host)
        ends_at = monotonic() + limit_s
        for place, address in enumerate(addresses):
            left = len(addresses) - place
            try:
                async with asyncio.timeout((ends_at - monotonic()) / left if left > 1 else None):
                    return await self._connect_to(address, origin)
            except ssl.SSLError:
                raise
            except OSError:
                if left == 1:
                    raise
        raise OSError("no address")

    async def _connect_to(self, address: str, origin: Origin) -> Connection:
        connection: Connection | None = None
        try:
            _, connection = await self.loop.create_connection(
                lambda: self._new_connection(origin), address, origin.port
            )
            await connection.ready()
        except BaseException:
            if connection is not None:
                connection.abort()
            raise
        return connection

    def _new_connection(self, origin: Origin) -> Connection:
        if origin.tls:
            return SecureConnection(self.loop, self._limits, self._scratch, self._tls, origin.host)
        return Connection(self.loop, self._limits, self._scratch)

    def give_back(self, origin: Origin, connection: Connection, keep_alive: str | None) -> None:
        """Keep a connection for the next call when both sides agree, else hang up."""
        self._in_use.discard(connection)
        if not connection.is_reusable():
            connection.abort()
            return
        connection.rest()
        idle_s = self._limits.idle_s if keep_alive is None else _kept_s(keep_alive, self._limits.idle_s)
        if self._idle_count >= self._limits.idle_connections:
            # A burst comes in waves: what was needed a moment ago is needed again in the next.
            idle_s = min(idle_s, _SPARE_S)
            self._sweep_in(_SPARE_S)
        connection.idle_until = monotonic() + idle_s
        kept = self._idle.get(origin)
        if kept is None:
            kept = self._idle[origin] = []
        kept.append(connection)
        self._idle_count += 1
        if self._sweeper is None:
            self._sweep_in(self._limits.idle_s)

    def close(self) -> None:
        """Hang up on every connection; calls that wait for an answer fail."""
        self._names.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        for kept in self._idle.values():
            for connection in kept:
                connection.abort()
        for connection in tuple(self._in_use):
            connection.abort()
        self._idle.clear()
        self._in_use.clear()
        self._idle_count = 0

    def _sweep(self) -> None:
        """Hang up on idle connections that have expired, and look again later while any are left."""
        self._sweeper = None
        now = monotonic() + TIMER_EARLY_S
        for origin, kept in tuple(self._idle.items()):
            alive = [c for c in kept if not c.closed and c.idle_until > now]
            for connection in kept:
                if connection not in alive:
                    connection.abort()
            self._idle_count -= len(kept) - len(alive)
            if alive:
                self._idle[origin] = alive
            else:
                del self._idle[origin]
        if self._idle:
            has_spare = self._idle_count > self._limits.idle_connections
            self._sweep_in(_SPARE_S if has_spare else self._limits.idle_s)

    def _sweep_in(self, seconds: float) -> None:
        """Has the pool looked over in so many seconds, unless that is done sooner."""
        due = self.loop.time() + min(seconds, self._limits.idle_s)
        if self._sweeper is not None:
            if self._sweeper.when() <= due:
                return
            self._sweeper.cancel()
        self._sweeper = self.loop.call_at(due, self._sweep)


def _kept_s(keep_alive: str, idle_s: float) -> float:
    """How long to keep a connection of a server that says when it will close it: a second less, to stay ahead of it."""
    for parameter in keep_alive.split(","):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "timeout" and value.strip().isdecimal():
            return min(idle_s, max(0.0, int(value.strip()[:6]) - 1.0))
    return idle_s


def _connect_error(
    error: OSError | UnicodeError, origin: Origin, deadline: Deadline
) -> ProviderUnreachable | ProviderTls | ProviderTimeout:
    if isinstance(error, ssl.SSLError):
        return ProviderTls("The provider's certificate or TLS handshake cannot be trusted.")
    if origin.tls and isinstance(error, (ConnectionResetError, ConnectionAbortedError, BrokenPipeError)):
        return ProviderTls("The provider broke off the TLS handshake.")
    if isinstance(error, TimeoutError) and deadline.remaining_s() <= TIMER_EARLY_S:
        return ProviderTimeout(_NO_TIME)
    return ProviderUnreachable("The provider cannot be reached.")


def _reason(error: Exception) -> str:
    """What failed, for the operator's log; never the text of the answer."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not accepted: {error.verify_message}"
    if isinstance(error, OSError) and error.strerror:
        return f"{type(error).__name__}: {error.strerror}"
    return type(error).__name__
