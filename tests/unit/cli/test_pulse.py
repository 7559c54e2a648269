"""What two scrapes say about the time between them."""

from pathlib import Path

import pytest

from inferway.cli.pulse import Scrape, pulse_of, read_series
from inferway.observe.board import Board
from inferway.observe.exposition import scrape
from inferway.observe.families import families
from inferway.observe.meter import CallMeter
from tests.unit.observe.kit import PARAMETERS, settled, tried


def look(folder: Path, at_s: float) -> Scrape:
    return Scrape(at_s=at_s, series=read_series(scrape(folder)[1].decode()))


def test_rates_latencies_and_errors_are_of_the_time_between_and_spend_since_the_start(tmp_path: Path) -> None:
    board = Board.open(tmp_path, families().all())
    meter = CallMeter(board, families())
    for _ in range(10):
        meter.ended(settled(latency_ms=40.0), PARAMETERS)
    before = look(tmp_path, 100.0)
    for _ in range(20):
        meter.ended(settled(latency_ms=200.0, first_event_ms=75.0), PARAMETERS)
    failed = {"status": "error", "error_type": "InferenceError", "error_code": "provider_error"}
    meter.ended(
        settled(provider="google", model="g", attempts=(tried("provider_error"),), **failed), PARAMETERS
    )
    pulse = pulse_of(before, look(tmp_path, 110.0))
    board.close()
    assert (pulse.window_s, pulse.workers) == (10.0, 1)
    assert [(row.provider, row.model) for row in pulse.rows] == [("openai", "gpt-5.4-mini"), ("google", "g")]
    busy, broken = pulse.rows
    assert (busy.calls_per_s, busy.calls, busy.errors) == (2.0, 30, 0)
    assert 100 < (busy.p50_ms or 0) <= (busy.p95_ms or 0) <= 250
    assert 50 < (busy.first_token_p50_ms or 0) <= 100
    assert busy.tokens_per_s == 74.0
    assert busy.spent_usd == pytest.approx(30 * 12e-6)
    assert (broken.errors_per_s, broken.errors) == (0.1, 1)
    assert pulse.total.calls == 31


def test_without_an_earlier_look_it_is_of_the_time_since_the_start() -> None:
    series = read_series(
        "# TYPE inferway_calls counter\n"
        'inferway_calls_total{operation="chat",provider="p",model="m",status="ok",error=""} 50\n'
        "# TYPE inferway_uptime_seconds gauge\n"
        "inferway_uptime_seconds 25\n"
    )
    pulse = pulse_of(None, Scrape(at_s=1.0, series=series))
    assert (pulse.total.calls_per_s, pulse.uptime_s) == (2.0, 25.0)
    assert pulse.total.p50_ms is None


def test_a_server_that_started_anew_counts_from_zero() -> None:
    def at(count: int, at_s: float) -> Scrape:
        text = (
            f'inferway_calls_total{{operation="chat",provider="p",model="m",status="ok",error=""}} {count}\n'
        )
        return Scrape(at_s=at_s, series=read_series(text))

    assert pulse_of(at(100, 0.0), at(10, 10.0)).total.calls_per_s == 1.0
