"""An OpenTelemetry collector on loopback: takes OTLP over HTTP and decodes it with the official protobufs."""

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Collector:
    """What was received. `status` is what it answers; `headers` are those of the last export."""

    def __init__(self) -> None:
        self.traces: list[ExportTraceServiceRequest] = []
        self.metric_exports: list[ExportMetricsServiceRequest] = []
        self.headers: dict[str, str] = {}
        self.bodies: list[bytes] = []
        self.status = 200
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        content = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
        self.headers = headers
        self.bodies.append(content)
        if self.status != 200:
            return
        if path == "/v1/traces":
            self.traces.append(ExportTraceServiceRequest.FromString(content))
        elif path == "/v1/metrics":
            self.metric_exports.append(ExportMetricsServiceRequest.FromString(content))

    def spans(self) -> list[Any]:
        return [
            span
            for export in tuple(self.traces)
            for resource in export.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def metrics(self) -> dict[str, Any]:
        """The last export of each metric, by its name."""
        return {
            metric.name: metric
            for export in tuple(self.metric_exports)
            for resource in export.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def wait(self, condition: Callable[[], Any], what: str, timeout_s: float = 30.0) -> None:
        ends = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < ends, what
            time.sleep(0.02)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector within the block."""
    collector = Collector()
    try:
        yield collector
    finally:
        collector.close()


def attributes(thing: Any) -> dict[str, Any]:
    """The attributes of a span, a data point or a resource, as Python values."""
    return {each.key: getattr(each.value, str(each.value.WhichOneof("value"))) for each in thing.attributes}


def _handler(collector: Collector) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            collector.take(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            self.send_response(collector.status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            del args

    return Handler
