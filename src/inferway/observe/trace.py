"""Keeps what happened to each call until a thread of its own has sent it away as traces and metrics."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from typing import Protocol

from inferway.types import Parameters
from inferway.usage.records import UsageRecord

CAPACITY = 4096
"""Calls that wait to be sent; further ones are counted and dropped."""
_EVERY_S = 1.0
_log = logging.getLogger("inferway.observe")


class CallTrace:
    """One request on its way: the caller's W3C trace headers, when it came (unix time in ns), and in the end its record and status."""

    __slots__ = (
        "ended_ns",
        "parameters",
        "record",
        "route",
        "started_ns",
        "status",
        "traceparent",
        "tracestate",
    )

    def __init__(
        self, route: str = "", traceparent: str | None = None, tracestate: str | None = None
    ) -> None:
        self.route, self.traceparent, self.tracestate = route, traceparent, tracestate
        self.started_ns = time.time_ns()
        self.ended_ns = self.started_ns
        self.status: int | None = None
        self.record: UsageRecord | None = None
        self.parameters: Parameters | None = None


_CURRENT: ContextVar[CallTrace | None] = ContextVar("inferway_call_trace", default=None)


class Exporter(Protocol):
    """Sends away what happened. It runs in a thread and may block there."""

    def send(self, calls: list[CallTrace]) -> bool:
        """Whether they were taken."""
        ...

    def close(self) -> None: ...


class Tracer:
    """An observer that hands each call's record to an exporter in a thread. It never waits, and what it cannot keep it counts."""

    def __init__(
        self, make: Callable[[], Exporter], *, capacity: int = CAPACITY, every_s: float = _EVERY_S
    ) -> None:
        """`make` is called in the thread, as the exporter's library takes a while to be read."""
        self._make, self._capacity, self._every_s = make, capacity, every_s
        self._waiting: deque[CallTrace] = deque()
        self._stop = threading.Event()
        self._is_down = False
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def begin(self, route: str, traceparent: bytes | None, tracestate: bytes | None) -> CallTrace:
        """A request came; its record will find this."""
        trace = CallTrace(route, _text(traceparent), _text(tracestate))
        _CURRENT.set(trace)
        return trace

    def end(self, trace: CallTrace, status: int) -> None:
        """A request was answered."""
        trace.ended_ns = time.time_ns()
        trace.status = status
        _CURRENT.set(None)
        self._put(trace)

    def ended(self, record: UsageRecord, parameters: Parameters) -> None:
        """See `Observer`. A call that came in another way than over HTTP is sent by itself."""
        trace = _CURRENT.get()
        if trace is not None and trace.record is None:
            trace.record, trace.parameters = record, parameters
            return
        alone = CallTrace()
        alone.started_ns = int(record.started_at.timestamp() * 1e9)
        alone.ended_ns = alone.started_ns + int(record.latency_ms * 1e6)
        alone.record, alone.parameters = record, parameters
        self._put(alone)

    def close(self, timeout_s: float = 3.0) -> None:
        """Sends what is left, for as long as this takes at most."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _put(self, trace: CallTrace) -> None:
        if len(self._waiting) >= self._capacity:
            self.dropped += 1
        else:
            self._waiting.append(trace)

    def _run(self) -> None:
        exporter = None
        try:
            exporter = self._make()
            while not self._stop.wait(self._every_s):
                self._send(exporter)
            self._send(exporter)
            exporter.close()
        except Exception:  # noqa: BLE001 - a background thread
            _log.exception("traces and metrics are not sent any more")
        finally:
            self._capacity = 0

    def _send(self, exporter: Exporter) -> None:
        calls = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if not calls:
            return
        try:
            is_taken = exporter.send(calls)
        except Exception:  # noqa: BLE001 - a background thread
            _log.exception("%d calls could not be told as traces", len(calls))
            is_taken = False
        if not is_taken:
            self.dropped += len(calls)
        if is_taken == self._is_down:
            self._is_down = not is_taken
            _log.warning(
                "the OpenTelemetry collector %s", "takes traces again" if is_taken else "takes no traces"
            )


def _text(header: bytes | None) -> str | None:
    return None if header is None else header.decode("latin-1")
