"""Looks up hosts: each once at a time, and a failure is remembered for a moment."""

import asyncio
import socket
from collections.abc import Callable
from time import monotonic

FAILURE_S = 5.0
"""How long a name that could not be resolved is not asked for again."""
_REMEMBERED = 1_024


class Names:
    """The look-ups of one event loop. They run in threads, so the loop never waits for one.

    Calls that want the same name at the same time wait for one look-up: a name server that is silent holds up one thread for each
    name, not one for each call.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float] = monotonic) -> None:
        self._loop = loop
        self._clock = clock
        self._running: dict[str, asyncio.Task[tuple[str, ...]]] = {}
        self._failed: dict[str, tuple[float, OSError]] = {}

    async def addresses(self, host: str) -> tuple[str, ...]:
        """The addresses of a host in the order to try them; one that is an address is itself. Raises OSError."""
        if _is_address(host):
            return (host,)
        self._raise_remembered(host)
        task = self._running.get(host)
        if task is None:
            task = self._running[host] = self._loop.create_task(self._look_up(host))
            task.add_done_callback(_fetch_outcome)
        # A call that gives up leaves the look-up to the others, and to the next.
        return await asyncio.shield(task)

    def close(self) -> None:
        """Stop waiting for look-ups."""
        for task in self._running.values():
            task.cancel()

    async def _look_up(self, host: str) -> tuple[str, ...]:
        try:
            found = await self._loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except OSError as error:
            if len(self._failed) >= _REMEMBERED:
                self._failed.clear()
            self._failed[host] = (self._clock() + FAILURE_S, error)
            raise
        finally:
            del self._running[host]
        return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))

    def _raise_remembered(self, host: str) -> None:
        until, error = self._failed.get(host, (0.0, None))
        if error is None:
            return
        if until > self._clock():
            raise OSError(error.errno, error.strerror) from error
        del self._failed[host]


def _is_address(host: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return True
    return False


def _fetch_outcome(task: "asyncio.Task[tuple[str, ...]]") -> None:
    """Take note of a failure that nobody waits for any more."""
    if not task.cancelled():
        task.exception()
