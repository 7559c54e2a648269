"""Calls as OpenTelemetry traces and metrics, by the semantic conventions for generative AI, sent over OTLP/HTTP.

Source: OpenTelemetry semantic conventions for generative client AI spans and metrics (version 1.37, development), whose names stand
here as text because the package that holds them calls them incubating. No prompt and no answer is ever told. Nothing is passed on
to providers: the trace headers of a caller are its own affair.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct
from opentelemetry import trace as api
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from inferway import __version__
from inferway.observe.trace import CallTrace
from inferway.types import Parameters, Usage
from inferway.usage.records import AttemptRecord, UsageRecord

OPERATIONS = {
    "chat": "chat",
    "vision": "chat",
    "text_embedding": "embeddings",
    "image_embedding": "embeddings",
    "video_embedding": "embeddings",
}
"""Our operations that the conventions have a name for."""
PROVIDERS = {"google": "gcp.gemini", "mistral": "mistral_ai", "xai": "x_ai"}
"""Our providers that the conventions name otherwise; the rest have the same name."""

TOKEN_BOUNDS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
DURATION_BOUNDS_S = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)

_NS = 1_000_000
_MODELS_MAX = 500
Attributes = dict[str, Any]


class Destination(Struct, frozen=True, kw_only=True):
    """Where to, as what, and how much: `sample_ratio` of the traces whose caller did not decide, and metrics every so many seconds."""

    endpoint: str
    headers: Mapping[str, str]
    service_name: str = "inferway"
    instance: str = ""
    traces: bool = True
    metrics: bool = True
    sample_ratio: float = 1.0
    metrics_every_s: float = 60.0
    timeout_s: float = 10.0
    ca_file: str | None = None


class OtlpExporter:
    """Makes spans and measurements of finished calls and sends them. `address_of` tells a provider's base URL."""

    def __init__(self, to: Destination, address_of: Callable[[str], str | None]) -> None:
        self._address_of = address_of
        resource = Resource(
            {
                "service.name": to.service_name,
                "service.version": __version__,
                "service.instance.id": to.instance,
            }
        )
        shared: dict[str, Any] = {
            "headers": dict(to.headers),
            "timeout": to.timeout_s,
            "certificate_file": to.ca_file,
            "compression": Compression.Gzip,
        }
        base = to.endpoint.rstrip("/")
        self._kept = _Kept()
        self._spans = OTLPSpanExporter(endpoint=f"{base}/v1/traces", **shared) if to.traces else None
        provider = TracerProvider(
            sampler=ParentBasedTraceIdRatio(to.sample_ratio), resource=resource, shutdown_on_exit=False
        )
        provider.add_span_processor(self._kept)
        self._tracer = provider.get_tracer("inferway", __version__)
        readers: list[MetricReader] = []
        if to.metrics:
            exporter = OTLPMetricExporter(endpoint=f"{base}/v1/metrics", **shared)
            readers.append(
                PeriodicExportingMetricReader(exporter, export_interval_millis=to.metrics_every_s * 1000)
            )
        self._meters = MeterProvider(metric_readers=readers, resource=resource, shutdown_on_exit=False)
        self._measures = _Measures(self._meters, is_on=to.metrics)

    def send(self, calls: list[CallTrace]) -> bool:
        """See `Exporter`."""
        for call in calls:
            if self._spans is not None:
                self._tell(call)
            if call.record is not None:
                self._measures.take(call.record, self._address_of)
        spans = self._kept.take()
        if self._spans is None or not spans:
            return True
        return self._spans.export(spans) is SpanExportResult.SUCCESS

    def close(self) -> None:
        """See `Exporter`; the last metrics are sent."""
        self._meters.shutdown()
        if self._spans is not None:
            self._spans.shutdown()  # type: ignore[no-untyped-call] # the library leaves it out

    def _tell(self, call: CallTrace) -> None:
        """A server span for the request, and below it a client span for each attempt."""
        parent = _parent_of(call)
        if call.status is not None:
            server = self._tracer.start_span(
                f"POST {call.route}",
                context=parent,
                kind=SpanKind.SERVER,
                attributes=_server_attributes(call),
                start_time=call.started_ns,
            )
            if call.status >= 500:
                server.set_status(Status(StatusCode.ERROR))
            if server.is_recording():
                self._tell_attempts(call, api.set_span_in_context(server, parent))
            server.end(end_time=call.ended_ns)
        else:
            self._tell_attempts(call, parent)

    def _tell_attempts(self, call: CallTrace, parent: Context) -> None:
        record = call.record
        for attempt in record.itemized() if record is not None else ():
            assert record is not None  # noqa: S101 - there are no attempts without one
            began = call.started_ns + int(attempt.started_ms * _NS)
            attributes = _attempt_attributes(record, attempt, self._address_of) | _asked(
                call.parameters, record
            )
            name = f"{attributes['gen_ai.operation.name']} {attempt.model}"
            span = self._tracer.start_span(
                name, context=parent, kind=SpanKind.CLIENT, attributes=attributes, start_time=began
            )
            if attempt.outcome != "ok":
                span.set_status(Status(StatusCode.ERROR))
            span.end(end_time=began + int(attempt.duration_ms * _NS))


class _Kept(SpanProcessor):
    """Keeps the spans that ended until they are sent."""

    def __init__(self) -> None:
        self._spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        if span.context is not None and span.context.trace_flags.sampled:
            self._spans.append(span)

    def take(self) -> list[ReadableSpan]:
        spans, self._spans = self._spans, []
        return spans


class _Measures:
    """The conventions' metrics of a client of models. Labels are bounded: further models are `other`."""

    def __init__(self, meters: MeterProvider, *, is_on: bool) -> None:
        self._is_on = is_on
        self._known: set[tuple[str, str]] = set()
        meter = meters.get_meter("inferway", __version__)
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            unit="{token}",
            description="Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=TOKEN_BOUNDS,
        )
        self._duration_s = meter.create_histogram(
            "gen_ai.client.operation.duration",
            unit="s",
            description="GenAI operation duration.",
            explicit_bucket_boundaries_advisory=DURATION_BOUNDS_S,
        )

    def take(self, record: UsageRecord, address_of: Callable[[str], str | None]) -> None:
        for attempt in record.itemized() if self._is_on else ():
            attributes = _identity(record, attempt, address_of)
            if not self._is_known(attempt):
                attributes["gen_ai.request.model"] = "other"
                attributes.pop("gen_ai.response.model", None)
            failure = {} if attempt.outcome == "ok" else {"error.type": attempt.outcome}
            self._duration_s.record(attempt.duration_ms / 1000, attributes | failure)
            if attempt.usage is None or attempt.usage.source == "none":
                continue
            tokens = {"input": _input_of(attempt.usage), "output": _output_of(attempt.usage)}
            for kind, count in tokens.items():
                if count:
                    self._tokens.record(count, attributes | {"gen_ai.token.type": kind})

    def _is_known(self, attempt: AttemptRecord) -> bool:
        name = attempt.provider, attempt.model
        if name not in self._known and len(self._known) < _MODELS_MAX and attempt.outcome == "ok":
            self._known.add(name)
        return name in self._known


def _parent_of(call: CallTrace) -> Context:
    carrier = {"traceparent": call.traceparent or "", "tracestate": call.tracestate or ""}
    return TraceContextTextMapPropagator().extract(carrier, Context())


def _server_attributes(call: CallTrace) -> Attributes:
    attributes: Attributes = {
        "http.request.method": "POST",
        "http.route": call.route,
        "url.path": call.route,
        "http.response.status_code": call.status,
    }
    record = call.record
    if record is not None:
        attributes |= {
            "inferway.request_id": record.request_id,
            "inferway.operation": record.operation,
            "inferway.status": record.status,
        }
        if record.cost_microusd is not None:
            attributes["inferway.cost_microdollars"] = record.cost_microusd
    failure = None if record is None else record.error_code or record.error_type
    if failure is not None or (call.status or 0) >= 500:
        attributes["error.type"] = failure or str(call.status)
    return attributes


def _identity(
    record: UsageRecord, attempt: AttemptRecord, address_of: Callable[[str], str | None]
) -> Attributes:
    attributes: Attributes = {
        "gen_ai.operation.name": OPERATIONS.get(record.operation, record.operation),
        "gen_ai.provider.name": PROVIDERS.get(attempt.provider, attempt.provider),
        "gen_ai.request.model": attempt.model,
    }
    if attempt.model_version is not None:
        attributes["gen_ai.response.model"] = attempt.model_version
    address = urlsplit(address_of(attempt.provider) or "")
    if address.hostname is not None:
        attributes["server.address"] = address.hostname
        attributes["server.port"] = address.port or (80 if address.scheme == "http" else 443)
    return attributes


def _attempt_attributes(
    record: UsageRecord, attempt: AttemptRecord, address_of: Callable[[str], str | None]
) -> Attributes:
    attributes = _identity(record, attempt, address_of)
    if attempt.outcome != "ok":
        attributes["error.type"] = attempt.outcome
    usage = attempt.usage
    if usage is not None and usage.source != "none":
        attributes["gen_ai.usage.input_tokens"] = _input_of(usage)
        attributes["gen_ai.usage.output_tokens"] = _output_of(usage)
        details = {
            "gen_ai.usage.cache_read.input_tokens": usage.cached_read,
            "gen_ai.usage.cache_creation.input_tokens": usage.cache_write,
            "gen_ai.usage.reasoning.output_tokens": usage.reasoning,
        }
        attributes |= {name: count for name, count in details.items() if count}
    if record.first_event_ms is not None and attempt.outcome == "ok":
        waited_s = (record.first_event_ms - attempt.started_ms) / 1000
        attributes["gen_ai.response.time_to_first_chunk"] = round(max(0.0, waited_s), 6)
    return attributes


def _asked(parameters: Parameters | None, record: UsageRecord) -> Attributes:
    """What the caller asked for, of what says nothing about the content."""
    attributes: Attributes = {"gen_ai.request.stream": True} if record.streamed else {}
    if parameters is None:
        return attributes
    given = {
        "gen_ai.request.temperature": parameters.temperature,
        "gen_ai.request.max_tokens": parameters.max_tokens,
        "gen_ai.request.top_p": parameters.top_p,
        "gen_ai.request.seed": parameters.seed,
        "gen_ai.embeddings.dimension.count": parameters.dimensions,
        "gen_ai.output.type": "json" if parameters.schema else None,
    }
    return attributes | {
        name: value for name, value in given.items() if value is not None and _is_finite(value)
    }


def _is_finite(value: float | str) -> bool:
    return isinstance(value, str) or math.isfinite(value)


def _input_of(usage: Usage) -> int:
    """Input tokens as the conventions count them: with those from and to the cache."""
    return usage.input + usage.cached_read + usage.cache_write + usage.audio_input


def _output_of(usage: Usage) -> int:
    return usage.output + usage.reasoning
