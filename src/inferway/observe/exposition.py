"""Writes what all boards of a machine say in the formats that Prometheus reads."""

import platform
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

from inferway import __version__
from inferway.observe.board import Reading, read_boards
from inferway.observe.families import Families, Family, families


def scrape(folder: Path, accept: str = "") -> tuple[str, bytes]:
    """What the boards of a folder say now, in OpenMetrics if it is asked for, else in the older text format: content type and body."""
    told = _Told(tuple(read_boards(folder, families().all())))
    if "application/openmetrics-text" in accept:
        body = generate_openmetrics(told)  # type: ignore[no-untyped-call] # the library leaves it out
        return CONTENT_TYPE_LATEST, body
    return CONTENT_TYPE_PLAIN_0_0_4, generate_latest(told)


class _Told(Collector):
    """What the library's writers take for a registry."""

    def __init__(self, readings: tuple[Reading, ...]) -> None:
        self._readings = readings

    def collect(self) -> Iterable[Metric]:
        known = families()
        totals = _added_up(self._readings, known)
        for family in known.all():
            yield _metric(family, totals.get(family.name, {}))


Totals = dict[str, dict[tuple[str, ...], tuple[float, ...]]]


def _added_up(readings: tuple[Reading, ...], known: Families) -> Totals:
    """Counters and histograms of all, gauges of the living; a breaker is as bad as the worst of them."""
    by_name = {family.name: family for family in known.all()}
    totals: Totals = {}
    for reading in readings:
        for (name, labels), numbers in reading.numbers.items():
            family = by_name[name]
            if family.kind == "gauge" and not reading.is_live:
                continue
            have = totals.setdefault(name, {}).get(labels)
            if have is not None:
                together = max if family is known.breaker else float.__add__
                numbers = tuple(together(*pair) for pair in zip(have, numbers, strict=True))  # noqa: PLW2901 - the sum so far
            totals[name][labels] = numbers
    totals[known.build.name] = {(__version__, platform.python_version()): (1.0,)}
    totals[known.workers.name] = {(): (float(sum(reading.is_live for reading in readings)),)}
    began = [numbers[0] for numbers in totals.get(known.started.name, {}).values()]
    totals[known.uptime.name] = {(): (max(0.0, time.time() - min(began)) if began else 0.0,)}
    return totals


def _metric(family: Family, series: dict[tuple[str, ...], tuple[float, ...]]) -> Metric:
    if family.kind == "histogram":
        return _histogram(family, series)
    if family.kind == "counter":
        counter = CounterMetricFamily(family.name.removesuffix("_total"), family.about, labels=family.labels)
        for labels, numbers in sorted(series.items()):
            counter.add_metric(labels, numbers[0])
        return counter
    gauge = GaugeMetricFamily(family.name, family.about, labels=family.labels)
    for labels, numbers in sorted(series.items()):
        gauge.add_metric(labels, numbers[0])
    return gauge


def _histogram(family: Family, series: dict[tuple[str, ...], tuple[float, ...]]) -> Metric:
    metric = HistogramMetricFamily(family.name, family.about, labels=family.labels)
    for labels, numbers in sorted(series.items()):
        metric.add_metric(labels, buckets=list(_buckets(family, numbers[1:])), sum_value=numbers[0])
    return metric


def _buckets(family: Family, counts: tuple[float, ...]) -> Iterator[tuple[str, float]]:
    """The counts up to each bound, as the format wants them."""
    running = 0.0
    for bound, count in zip((*map(str, family.bounds_s), "+Inf"), counts, strict=True):
        running += count
        yield bound, running
