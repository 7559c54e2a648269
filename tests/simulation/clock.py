"""An event loop whose time is simulated: when nothing can run, it jumps to the next timer."""

import asyncio
import selectors
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class _Nothing(selectors.BaseSelector):
    """Waits for no socket; waiting for a timer lets the time pass at once."""

    def __init__(self) -> None:
        self._known: dict[Any, selectors.SelectorKey] = {}
        self.now_s = 0.0

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = self._known[fileobj] = selectors.SelectorKey(fileobj, 0, events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._known.pop(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("the simulation waits for something that never comes")
        # A little more than asked for, as clocks do: a timer must not be found a rounding too early.
        self.now_s += timeout and timeout + 1e-9
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._known

    def close(self) -> None:
        self._known.clear()


class SimulatedLoop(asyncio.SelectorEventLoop):
    """One thread, no sockets, no real time: the same work in the same order, every time."""

    def __init__(self) -> None:
        self._nothing = _Nothing()
        super().__init__(self._nothing)

    def time(self) -> float:
        """Simulated seconds."""
        return self._nothing.now_s

    def time_us(self) -> int:
        """The same in whole microseconds, from a while before: a clock of a machine has run before its server."""
        return 10**9 + round(self._nothing.now_s * 1e6)

    def utc(self) -> datetime:
        """The same as a moment."""
        return _EPOCH + timedelta(seconds=self._nothing.now_s)

    def advance(self, seconds: float) -> None:
        """Let time pass and everything happen that falls into it."""
        self.run_until_complete(asyncio.sleep(seconds))
