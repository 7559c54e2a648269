"""`python -m bench.observe`: what it costs a call to be observed, part by part.

With `--sink PORT` it is a collector that takes everything and keeps nothing.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from inferway.observe.board import Board
from inferway.observe.calls import CallLog
from inferway.observe.families import families
from inferway.observe.meter import CallMeter
from inferway.observe.trace import Exporter, Tracer
from inferway.types import Parameters, Usage
from inferway.usage.records import AttemptRecord, UsageRecord

CALLS = 20_000
ROUNDS = 7
_PARAMETERS = Parameters()
_RECORD = UsageRecord(
    record_id="r",
    request_id="req_0123456789abcdef",
    organization_id="org_1",
    namespace_id="ns_1",
    key_id="key_1",
    operation="chat",
    provider="openai",
    model="gpt-4o-mini",
    status="ok",
    started_at=datetime(2026, 1, 31, tzinfo=UTC),
    latency_ms=320.0,
    upstream_ms=318.0,
    usage=Usage(input=10, output=20, source="provider"),
    attempts=(AttemptRecord(provider="openai", model="gpt-4o-mini", outcome="ok", duration_ms=318.0),),
    cost_microusd=12,
)


def main() -> None:
    """Measure and print, or be the collector."""
    parser = argparse.ArgumentParser(prog="python -m bench.observe", description=__doc__)
    parser.add_argument("--sink", type=int, metavar="PORT")
    asked = parser.parse_args()
    if asked.sink is not None:
        ThreadingHTTPServer(("127.0.0.1", asked.sink), _Sink).serve_forever()
    with tempfile.TemporaryDirectory() as place:
        _report("metrics on this worker's board", _meter(Path(place)))
        _report("prometheus_client, multiprocess mode", _library(place))
    _report("a line of the call log", _call_log())
    _report("handing a call to traces", _tracer())


def _report(what: str, once: Callable[[], object]) -> None:
    for _ in range(CALLS // 10):
        once()
    figures = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(CALLS):
            once()
        figures.append((time.process_time() - began) / CALLS * 1e6)
    middle, low, high = statistics.median(figures), min(figures), max(figures)
    print(f"{what:<40} {middle:6.2f} µs CPU a call ({low:.2f}–{high:.2f})")


def _meter(folder: Path) -> Callable[[], object]:
    known = families()
    meter = CallMeter(Board.open(folder / "metrics", known.all()), known)
    return lambda: meter.ended(_RECORD, _PARAMETERS)


def _library(place: str) -> Callable[[], object]:
    """The same eight numbers, as an application of the library would count them."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = place
    from prometheus_client import Counter, Histogram  # noqa: PLC0415 - it reads the variable when it is imported

    call = ("operation", "provider", "model")
    calls = Counter("b_calls", "x", (*call, "status", "error"))
    call_s, gateway_s = Histogram("b_call_s", "x", call), Histogram("b_gateway_s", "x", ("operation",))
    attempts = Counter("b_attempts", "x", ("provider", "model", "outcome"))
    attempt_s = Histogram("b_attempt_s", "x", ("provider", "model"))
    tokens = Counter("b_tokens", "x", ("provider", "model", "meter"))
    cost = Counter("b_cost", "x", ("provider", "model"))

    def once() -> None:
        model = _RECORD.provider, _RECORD.model
        calls.labels("chat", *model, "ok", "").inc()
        call_s.labels("chat", *model).observe(0.32)
        gateway_s.labels("chat").observe(0.002)
        attempts.labels(*model, "ok").inc()
        attempt_s.labels(*model).observe(0.318)
        tokens.labels(*model, "input").inc(10)
        tokens.labels(*model, "output").inc(20)
        cost.labels(*model).inc(12)

    return once


def _call_log() -> Callable[[], object]:
    """The line is written in the background; its making is counted here, the writing is not."""

    def once() -> None:
        async def log() -> None:
            calls = CallLog("json", lambda _: None)
            for _ in range(100):
                calls.ended(_RECORD, _PARAMETERS)
            await calls.aclose()

        loop.run_until_complete(log())

    loop = asyncio.new_event_loop()
    count = 0

    def hundredth() -> None:
        nonlocal count
        count += 1
        if count % 100 == 0:
            once()

    return hundredth


def _tracer() -> Callable[[], object]:
    tracer = Tracer(_none, capacity=sys.maxsize)

    def once() -> None:
        trace = tracer.begin("/v1/inference", None, None)
        tracer.ended(_RECORD, _PARAMETERS)
        tracer.end(trace, 200)

    return once


def _none() -> Exporter:
    raise RuntimeError("nothing is sent here")


class _Sink(BaseHTTPRequestHandler):
    """Takes everything."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response_only(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        del args


if __name__ == "__main__":
    main()
