"""Every metric that is told: its name, what it counts, and by which labels."""

from typing import Literal

from msgspec import Struct

DURATIONS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Upper bounds of what waits for a model."""
SHORT_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
"""Upper bounds of what should never be felt."""

CALL = ("operation", "provider", "model")
MODEL = ("provider", "model")
WORKER = ("worker",)


class Family(Struct, frozen=True, kw_only=True):
    """One metric. A counter's name ends in `_total`; `bounds_s` are a histogram's upper bounds in seconds.

    Counters and histograms of all workers are added up, those of workers that ended included; gauges are those of living workers.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    about: str
    labels: tuple[str, ...] = ()
    bounds_s: tuple[float, ...] = ()

    @property
    def width(self) -> int:
        """How many numbers it takes: a histogram its sum and a count for each bound and above the last."""
        return len(self.bounds_s) + 2 if self.kind == "histogram" else 1


def _counter(name: str, about: str, *labels: str) -> Family:
    return Family(name=name, kind="counter", about=about, labels=labels)


def _gauge(name: str, about: str, *labels: str) -> Family:
    return Family(name=name, kind="gauge", about=about, labels=labels)


class Families(Struct, frozen=True, kw_only=True):
    """All of them, by what they are called in the code."""

    calls: Family
    call_s: Family
    gateway_s: Family
    first_token_s: Family
    attempts: Family
    attempt_s: Family
    retries: Family
    tokens: Family
    audio_s: Family
    images: Family
    vectors: Family
    characters: Family
    cost: Family
    unpriced: Family
    error_answers: Family
    http: Family
    http_s: Family
    tasks: Family
    running: Family
    backlog: Family
    lag_s: Family
    shed: Family
    breaker: Family
    memory: Family
    files: Family
    files_max: Family
    processor_s: Family
    started: Family
    spilled: Family
    undelivered: Family
    unkept: Family
    workers: Family
    uptime: Family
    build: Family

    def all(self) -> tuple[Family, ...]:
        """In the order in which they are told."""
        return tuple(getattr(self, name) for name in self.__struct_fields__)


def families() -> Families:
    """The metrics of this version."""
    return Families(
        calls=_counter(
            "inferway_calls_total",
            "Calls that were settled, by how they ended; `error` is the error's code, empty without one.",
            *CALL,
            "status",
            "error",
        ),
        call_s=_durations("inferway_call_duration_seconds", "From a request to its whole answer.", CALL),
        gateway_s=Family(
            name="inferway_gateway_duration_seconds",
            kind="histogram",
            about="The part of a call that was not spent waiting for a provider.",
            labels=("operation",),
            bounds_s=SHORT_S,
        ),
        first_token_s=_durations(
            "inferway_time_to_first_token_seconds", "From a request to the first event of its stream.", MODEL
        ),
        attempts=_counter(
            "inferway_attempts_total",
            "Tries at a provider; `outcome` is `ok`, `cancelled` or the error's code.",
            *MODEL,
            "outcome",
        ),
        attempt_s=_durations("inferway_attempt_duration_seconds", "One try at a provider.", MODEL),
        retries=_counter(
            "inferway_retries_total",
            "Tries that followed a failed one, here or elsewhere, by who answered in the end.",
            *MODEL,
        ),
        tokens=_counter(
            "inferway_tokens_total", "Tokens by meter; the meters are disjoint.", *MODEL, "meter"
        ),
        audio_s=_counter("inferway_audio_seconds_total", "Seconds of audio that are billed by time.", *MODEL),
        images=_counter("inferway_images_total", "Images that were billed.", *MODEL),
        vectors=_counter("inferway_vectors_total", "Vectors that were made.", *MODEL),
        characters=_counter("inferway_characters_total", "Characters that were billed.", *MODEL),
        cost=_counter(
            "inferway_cost_microdollars_total", "What the calls cost, in millionths of a US dollar.", *MODEL
        ),
        unpriced=_counter(
            "inferway_unpriced_calls_total", "Answered calls whose model has no known price.", *MODEL
        ),
        error_answers=_counter(
            "inferway_error_answers_total",
            "Errors that the inference route answered with, limits and refused keys among them.",
            "status",
            "type",
            "code",
        ),
        http=_counter(
            "inferway_http_requests_total",
            "Requests of the routes beside inference; unknown paths are `other`.",
            "route",
            "method",
            "status",
        ),
        http_s=_durations(
            "inferway_http_request_duration_seconds", "Requests of the routes beside inference.", ("route",)
        ),
        tasks=_gauge("inferway_tasks", "Tasks of the event loop, by worker process.", *WORKER),
        running=_gauge("inferway_inflight_calls", "Calls under way, by worker process.", *WORKER),
        backlog=_gauge("inferway_journal_backlog_bytes", "Usage that is not in the database yet.", *WORKER),
        lag_s=Family(
            name="inferway_loop_lag_seconds",
            kind="histogram",
            about="How late a worker's event loop wakes up, sampled four times a second.",
            bounds_s=SHORT_S,
        ),
        shed=_counter(
            "inferway_shed_calls_total", "Calls that were refused because a worker had too much to do."
        ),
        breaker=_gauge(
            "inferway_breaker_state",
            "Whether a provider is called under the operator's or a caller's credential: 0 yes, 1 on trial, 2 no.",
            "provider",
            "credential",
        ),
        memory=_gauge("process_resident_memory_bytes", "Memory of a worker process.", *WORKER),
        files=_gauge("process_open_fds", "Open files and sockets of a worker process.", *WORKER),
        files_max=_gauge("process_max_fds", "How many it may open.", *WORKER),
        processor_s=_counter(
            "process_cpu_seconds_total", "Processor time of a worker, its predecessors' included.", *WORKER
        ),
        started=_gauge("process_start_time_seconds", "When a worker process started, in unix time.", *WORKER),
        spilled=_counter("inferway_dropped_series_total", "Label sets for which there was no room any more."),
        undelivered=_counter("inferway_telemetry_dropped_total", "Calls that no trace could be sent for."),
        unkept=_counter(
            "inferway_kept_calls_dropped_total", "Calls whose content should have been kept and could not be."
        ),
        workers=_gauge("inferway_workers", "Worker processes that live."),
        uptime=_gauge("inferway_uptime_seconds", "Age of the oldest worker that lives."),
        build=_gauge("inferway_build_info", "What runs here; always 1.", "version", "python"),
    )


def _durations(name: str, about: str, labels: tuple[str, ...]) -> Family:
    return Family(name=name, kind="histogram", about=about, labels=labels, bounds_s=DURATIONS_S)
