"""What two scrapes of a server say about the time between them: rates, latencies, errors, spend."""

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

Labels = tuple[tuple[str, str], ...]
Series = Mapping[tuple[str, Labels], float]
"""Values by the name of a sample and its sorted labels."""

_ANSWERED = ("ok", "partial")


class Scrape(Struct, frozen=True, kw_only=True):
    """A page of metrics, and when it was read (monotonic seconds)."""

    at_s: float
    series: Series


class Row(Struct, frozen=True, kw_only=True):
    """One model, or all together (`*`). Rates and latencies are of the time between two scrapes, `calls` and the rest since the start."""

    provider: str
    model: str
    calls_per_s: float
    errors_per_s: float
    tokens_per_s: float
    p50_ms: float | None
    p95_ms: float | None
    first_token_p50_ms: float | None
    calls: int
    errors: int
    unpriced_calls: int
    spent_usd: float


class Pulse(Struct, frozen=True, kw_only=True):
    """How a server does. `rows` are the models, the busiest first."""

    window_s: float
    workers: int
    inflight_calls: int
    backlog_bytes: int
    uptime_s: float
    total: Row
    rows: tuple[Row, ...]


def read_series(text: str) -> Series:
    """A page in Prometheus's text format, by the Prometheus client's own parser; raises ValueError when it is none."""
    from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415 - takes a while to read

    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def pulse_of(before: Scrape | None, after: Scrape) -> Pulse:
    """What happened between two scrapes; without an earlier one, since the server started."""
    uptime_s = _sum(after.series, "inferway_uptime_seconds")
    window_s = max(0.001, uptime_s if before is None else after.at_s - before.at_s)
    since = {
        key: value - (before.series.get(key, 0.0) if before is not None else 0.0)
        for key, value in after.series.items()
    }
    # A server that started anew counts from zero.
    grown = {key: value if value >= 0 else after.series[key] for key, value in since.items()}
    models = sorted(
        {
            (_label(key, "provider"), _label(key, "model"))
            for key in after.series
            if key[0] == "inferway_calls_total"
        }
    )
    rows = [
        _row(after.series, grown, window_s, {"provider": provider, "model": model})
        for provider, model in models
    ]
    return Pulse(
        window_s=round(window_s, 3),
        workers=int(_sum(after.series, "inferway_workers")),
        inflight_calls=int(_sum(after.series, "inferway_inflight_calls")),
        backlog_bytes=int(_sum(after.series, "inferway_journal_backlog_bytes")),
        uptime_s=uptime_s,
        total=_row(after.series, grown, window_s, {}),
        rows=tuple(sorted(rows, key=lambda row: (-row.calls_per_s, -row.calls))),
    )


def _row(series: Series, grown: Series, window_s: float, labels: Mapping[str, str]) -> Row:
    def total(of: Series, name: str) -> float:
        return _sum(of, name, labels)

    return Row(
        provider=labels.get("provider", "*"),
        model=labels.get("model", "*"),
        calls_per_s=round(total(grown, "inferway_calls_total") / window_s, 3),
        errors_per_s=round(_errors(grown, labels) / window_s, 3),
        tokens_per_s=round(total(grown, "inferway_tokens_total") / window_s, 1),
        p50_ms=_quantile_ms(grown, "inferway_call_duration_seconds", labels, 0.5),
        p95_ms=_quantile_ms(grown, "inferway_call_duration_seconds", labels, 0.95),
        first_token_p50_ms=_quantile_ms(grown, "inferway_time_to_first_token_seconds", labels, 0.5),
        calls=int(total(series, "inferway_calls_total")),
        errors=int(_errors(series, labels)),
        unpriced_calls=int(total(series, "inferway_unpriced_calls_total")),
        spent_usd=total(series, "inferway_cost_microdollars_total") / 1e6,
    )


def _matching(series: Series, name: str, labels: Mapping[str, str]) -> Iterator[tuple[Labels, float]]:
    wanted = set(labels.items())
    for (found, of), value in series.items():
        if found == name and wanted <= set(of):
            yield of, value


def _sum(series: Series, name: str, labels: Mapping[str, str] | None = None) -> float:
    return sum(value for _, value in _matching(series, name, labels or {}))


def _errors(series: Series, labels: Mapping[str, str]) -> float:
    calls = _matching(series, "inferway_calls_total", labels)
    return sum(value for of, value in calls if dict(of)["status"] not in _ANSWERED)


def _label(key: tuple[str, Labels], name: str) -> str:
    return dict(key[1])[name]


def _quantile_ms(series: Series, name: str, labels: Mapping[str, str], share: float) -> float | None:
    """A quantile by the buckets, evenly spread within one; None without any call."""
    counts: dict[float, float] = {}
    for of, value in _matching(series, f"{name}_bucket", labels):
        bound_s = float(dict(of)["le"])
        counts[bound_s] = counts.get(bound_s, 0.0) + value
    found = _within(sorted(counts.items()), share)
    return None if found is None else round(found * 1000, 1)


def _within(buckets: Iterable[tuple[float, float]], share: float) -> float | None:
    cumulative = list(buckets)
    rank = share * cumulative[-1][1] if cumulative else 0.0
    lower_s, below = 0.0, 0.0
    for bound_s, count in cumulative:
        if count and count >= rank:
            if bound_s == float("inf"):
                return lower_s
            return lower_s + (bound_s - lower_s) * (
                (rank - below) / (count - below) if count > below else 1.0
            )
        lower_s, below = bound_s, count
    return None
