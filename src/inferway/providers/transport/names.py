"""Looks up hosts: each once at a time, and a failure is remembered for a moment."""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from threading import Thread
from time import monotonic

FAILURE_S = 5.0
"""How long a name that could not be resolved is not asked for again."""
_REMEMBERED = 1_024


class Names:
    """The look-ups of one event loop. Each runs in a thread of its own, so neither the loop waits for one nor another look-up.

    A loop's own threads are too few: uvloop lets two look-ups run, and a third waits for a name server that is silent. Calls that
    want the same name at the same time wait for one look-up: there are as many threads as names, not as calls.
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
        answer: asyncio.Future[tuple[str, ...]] = self._loop.create_future()
        # A daemon: a process that stops does not wait for a name server that is silent.
        Thread(target=_ask_system, args=(self._loop, host, answer), name="provider-dns", daemon=True).start()
        try:
            found = await answer
        except OSError as error:
            if len(self._failed) >= _REMEMBERED:
                self._failed.clear()
            self._failed[host] = (self._clock() + FAILURE_S, error)
            raise
        finally:
            del self._running[host]
        return found

    def _raise_remembered(self, host: str) -> None:
        until, error = self._failed.get(host, (0.0, None))
        if error is None:
            return
        if until > self._clock():
            raise OSError(error.errno, error.strerror) from error
        del self._failed[host]


def _ask_system(
    loop: asyncio.AbstractEventLoop, host: str, answer: "asyncio.Future[tuple[str, ...]]"
) -> None:
    outcome: tuple[str, ...] | Exception
    try:
        entries = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        outcome = tuple(dict.fromkeys(str(entry[4][0]) for entry in entries))
    except Exception as error:  # noqa: BLE001 - whatever it is, somebody waits for it
        outcome = error
    # The loop may have ended meanwhile.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(_tell, answer, outcome)


def _tell(answer: "asyncio.Future[tuple[str, ...]]", outcome: tuple[str, ...] | Exception) -> None:
    if answer.done():
        return
    if isinstance(outcome, Exception):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)


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
