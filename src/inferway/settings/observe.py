"""The sections of what is told about calls: logs, metrics and traces."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from inferway.settings.kinds import Port, Secret, check_base_url


class LogSettings(Struct, frozen=True, kw_only=True):
    """`[log]`: what is written to standard error."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="Least level that is written.")
    ] = "info"
    format: Annotated[Literal["text", "json"], Meta(description="Lines for people or for machines.")] = "text"
    calls: Annotated[
        bool | None,
        Meta(description="Whether each call gets a line (at level `info`); by default with `json` only."),
    ] = None


class MetricsSettings(Struct, frozen=True, kw_only=True):
    """`[metrics]`: what Prometheus reads at `/metrics`."""

    enabled: Annotated[
        bool, Meta(description="Whether calls are counted for `/metrics` and `inferway top`.")
    ] = True
    port: Annotated[
        Port | None,
        Meta(
            description="A port of its own that serves `/metrics` without a key; by default only the server's own, with an admin key.",
        ),
    ] = None
    bind: Annotated[str, Meta(min_length=1, description="Address that `metrics.port` listens on.")] = (
        "127.0.0.1"
    )
    models_max: Annotated[
        int,
        Meta(
            ge=1, le=500, description="Models that have a label of their own; all further ones are `other`."
        ),
    ] = 200


class OtelSettings(Struct, frozen=True, kw_only=True):
    """`[otel]`: traces and metrics for an OpenTelemetry collector (extra `otel`). Prompts and answers are never told."""

    endpoint: Annotated[
        str | None,
        Meta(
            description="Where it takes OTLP over HTTP (`http://host:4318`); nothing is sent without it (OTEL_EXPORTER_OTLP_ENDPOINT too)."
        ),
    ] = None
    headers: Annotated[
        dict[str, Secret],
        Meta(description="Headers added to each export (OTEL_EXPORTER_OTLP_HEADERS too)."),
    ] = {}
    service_name: Annotated[
        str, Meta(min_length=1, description="Name of this service there (OTEL_SERVICE_NAME too).")
    ] = "inferway"
    traces: Annotated[bool, Meta(description="Whether traces are sent.")] = True
    metrics: Annotated[bool, Meta(description="Whether metrics are sent.")] = True
    sample_ratio: Annotated[
        float,
        Meta(
            ge=0, le=1, description="Part of the calls that are traced; a caller's own decision goes first."
        ),
    ] = 1.0
    metrics_every_s: Annotated[
        float, Meta(ge=0.1, le=3600, description="Seconds between two exports of metrics.")
    ] = 60.0
    timeout_s: Annotated[float, Meta(ge=0.1, le=60, description="Seconds for one export.")] = 10.0
    ca_file: Annotated[
        str | None,
        Meta(
            description="Certificate authorities (PEM) of its address (OTEL_EXPORTER_OTLP_CERTIFICATE too)."
        ),
    ] = None

    def __post_init__(self) -> None:
        check_base_url("endpoint", self.endpoint)
