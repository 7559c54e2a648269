"""Decides whether this worker takes another call: by the lag of its own event loop, its memory and the calls it already has."""

import time
from collections.abc import Callable

from msgspec import Struct

from inferway.resilience.lags import Lags

CALM_BEAT_S = 0.05
"""Between two looks at the loop while nothing is refused."""

BUSY_BEAT_S = 0.005
"""Between two looks while calls may be refused: what is let in is dealt out in small portions."""

_MEMORY_EVERY_S = 0.5
_ENOUGH = 20
_LATE_BEATS = 3
_CORRECTION = 0.1
"""The part of what the lag misses its target by that is let in on top at each look."""


class Pressure(Struct, frozen=True, kw_only=True):
    """When a worker counts as overloaded, in seconds that a call waits for this process before anything is done for it.

    Providers may take as long as they like: a call that waits for one costs this process nothing. Calls wait here only when there is more
    work than one core can do: in the event loop, which is then late, and before it as connections that are not yet accepted. Above
    `enter_s` for `patience_s` without the wait going down it is overloaded (a burst goes down). From then on only so many calls are let in
    as keep the lag below `target_s`, until none had to be refused for `recover_s`.
    """

    enter_s: float = 0.2
    patience_s: float = 0.3
    target_s: float = 0.05
    recover_s: float = 1.0
    least: int = 4
    """Calls that are let in at every look, whatever the wait: a queue this short is not worth refusing."""


class _Cost:
    """Processor seconds of a call, a mean over the last hundreds of them."""

    def __init__(self) -> None:
        self.seconds = 0.0005
        self._seen: tuple[float, int] | None = None
        self._spent_s = 0.0
        self._answered = 0.0

    def weigh(self, spent_s: float, answered: int) -> None:
        """Takes the processor time that was spent so far, and the calls answered so far."""
        if self._seen is not None:
            self._spent_s = 0.95 * self._spent_s + spent_s - self._seen[0]
            self._answered = 0.95 * self._answered + answered - self._seen[1]
            if self._answered >= _ENOUGH:
                self.seconds = max(1e-6, self._spent_s / self._answered)
        self._seen = (spent_s, answered)


class Valve:
    """Lets calls in, or not.

    `is_limiting` is asked for each call and is all that a call costs in quiet times; only while it is true `admit` must be asked too.
    `beat` is called on and on by the server, each time after the seconds that the last one returned. `is_full` says whether memory runs
    out.
    """

    def __init__(
        self,
        *,
        calls_max: int,
        pressure: Pressure | None = None,
        is_full: Callable[[], bool] = lambda: False,
        cpu: Callable[[], float] = time.thread_time,
    ) -> None:
        self.calls_max = calls_max
        self.is_limiting = False
        self.refused = 0
        """Calls refused since the start."""
        self.looked_at = 0.0
        """When `beat` was last called."""
        self.lags = Lags()
        self._pressure = pressure or Pressure()
        self._is_full = is_full
        self._cpu = cpu
        self._overloaded = False
        self._full = False
        self._room = 0
        self._due: float | None = None
        self._late_since: float | None = None
        self._late_beats = 0
        self._late_by_s = 0.0
        self._refused_at = 0.0
        self._refused_before = 0
        self._memory_at = 0.0
        self._cost = _Cost()

    @property
    def state(self) -> str:
        """`open`, `overloaded` or `memory`."""
        return "memory" if self._full else "overloaded" if self._overloaded else "open"

    def admit(self) -> bool:
        """Whether one more call is let in now."""
        if not self.is_limiting:
            return True
        if self._room > 0:
            self._room -= 1
            return True
        self.refused += 1
        return False

    def refuse(self) -> None:
        """Counts a call that was refused because `calls_max` are under way."""
        self.refused += 1

    def beat(self, now: float, answered: int, waiting: float = 0.0) -> float:
        """Looks at the loop; the seconds until the next look.

        `now` is a monotonic time, `answered` the calls answered so far, `waiting` this worker's share of the connections that wait to be
        accepted.
        """
        lag_s = 0.0 if self._due is None else max(0.0, now - self._due)
        self.lags.add(lag_s)
        self.looked_at = now
        self._cost.weigh(self._cpu(), answered)
        wait_s = lag_s + waiting * self._cost.seconds
        self._overloaded = self._goes_on(now, wait_s) if self._overloaded else self._begins(now, wait_s)
        if now - self._memory_at >= _MEMORY_EVERY_S:
            self._memory_at = now
            self._full = self._is_full()
        self.is_limiting = self._overloaded or self._full
        self._room = 0 if self._full else self._portion(lag_s)
        pause_s = BUSY_BEAT_S if self.is_limiting else CALM_BEAT_S
        self._due = now + pause_s
        return pause_s

    def _goes_on(self, now: float, wait_s: float) -> bool:
        if self.refused != self._refused_before:
            self._refused_before, self._refused_at = self.refused, now
        if wait_s > self._pressure.enter_s:
            self._refused_at = now
        return now - self._refused_at < self._pressure.recover_s

    def _begins(self, now: float, wait_s: float) -> bool:
        pressure = self._pressure
        if wait_s <= pressure.enter_s:
            self._late_since = None
            return False
        if self._late_since is None:
            self._late_since, self._late_by_s, self._late_beats = now, wait_s, 0
        self._late_beats += 1
        # One long step of the loop is late once; overload is late again and again.
        if self._late_beats < _LATE_BEATS or now - self._late_since < pressure.patience_s:
            return False
        if wait_s < 0.9 * self._late_by_s:
            self._late_since, self._late_by_s, self._late_beats = now, wait_s, 0
            return False
        self._refused_at, self._late_since = now, None
        return True

    def _portion(self, lag_s: float) -> int:
        """Calls to let in until the next look: as many as can be done until then, somewhat more while the loop is less late than aimed at.

        A call takes several steps of the loop, each of which is as long as such a portion: small ones keep calls short. Connections
        before the loop do not count any more: what comes on most of them is refused, which costs little.
        """
        room_s = BUSY_BEAT_S + _CORRECTION * (self._pressure.target_s - lag_s)
        return max(self._pressure.least, int(room_s / self._cost.seconds))
