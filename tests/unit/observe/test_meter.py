"""What the calls of a worker add to its board, and what a scrape makes of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from inferway.observe.board import Board
from inferway.observe.exposition import scrape
from inferway.observe.families import families
from inferway.observe.meter import CallMeter
from inferway.observe.vitals import Sources, Vitals
from inferway.types import Usage
from tests.unit.observe.kit import PARAMETERS, settled, tried

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
MODEL = {"provider": "openai", "model": "gpt-5.4-mini"}


class Scraped:
    """A page, read by the Prometheus client's own parsers."""

    def __init__(self, folder: Path) -> None:
        kind, body = scrape(folder, OPENMETRICS)
        assert kind.startswith("application/openmetrics-text; version=1.0.0")
        older, text = scrape(folder)
        assert older.startswith("text/plain; version=0.0.4")
        self.samples = _samples(parse_openmetrics(body.decode()))  # type: ignore[no-untyped-call] # the library leaves it out
        assert self.samples == _samples(parse(text.decode()))

    def value(self, name: str, **labels: str) -> float:
        return self.samples[name, tuple(sorted(labels.items()))]

    def labels(self, name: str, label: str) -> set[str]:
        return {dict(labels)[label] for found, labels in self.samples if found == name}


def _samples(metrics: object) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for metric in metrics  # type: ignore[attr-defined] # the library has no types for it
        for sample in metric.samples
    }


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    made = Board.open(tmp_path, families().all())
    yield made
    made.close()


def test_a_call_is_counted_with_its_time_tokens_and_cost(board: Board, tmp_path: Path) -> None:
    meter = CallMeter(board, families())
    meter.ended(settled(), PARAMETERS)
    meter.ended(settled(latency_ms=1320.0, first_event_ms=30.0), PARAMETERS)
    page = Scraped(tmp_path)
    assert page.value("inferway_calls_total", operation="chat", status="ok", error="", **MODEL) == 2
    assert page.value("inferway_call_duration_seconds_count", operation="chat", **MODEL) == 2
    assert page.value("inferway_call_duration_seconds_sum", operation="chat", **MODEL) == pytest.approx(1.64)
    assert page.value("inferway_call_duration_seconds_bucket", operation="chat", le="0.5", **MODEL) == 1
    assert page.value("inferway_gateway_duration_seconds_bucket", operation="chat", le="0.0025") == 1
    assert page.value("inferway_time_to_first_token_seconds_count", **MODEL) == 1
    assert page.value("inferway_attempts_total", outcome="ok", **MODEL) == 2
    assert page.value("inferway_attempt_duration_seconds_sum", **MODEL) == pytest.approx(0.636)
    meters = {"input": 20, "cached_read": 8, "cache_write": 0, "output": 40, "reasoning": 6, "audio_input": 0}
    assert {name: page.value("inferway_tokens_total", meter=name, **MODEL) for name in meters} == meters
    assert page.value("inferway_cost_microdollars_total", **MODEL) == 24
    assert page.value("inferway_unpriced_calls_total", **MODEL) == 0
    assert page.value("inferway_retries_total", **MODEL) == 0


def test_what_is_not_tokens_is_counted_too(board: Board, tmp_path: Path) -> None:
    usage = Usage(audio_ms=1500, images=2, vectors=3, characters=40, source="provider")
    CallMeter(board, families()).ended(settled(usage=usage), PARAMETERS)
    page = Scraped(tmp_path)
    assert page.value("inferway_audio_seconds_total", **MODEL) == 1.5
    assert page.value("inferway_images_total", **MODEL) == 2
    assert page.value("inferway_vectors_total", **MODEL) == 3
    assert page.value("inferway_characters_total", **MODEL) == 40


def test_an_unknown_price_is_counted_and_never_taken_for_nothing(board: Board, tmp_path: Path) -> None:
    meter = CallMeter(board, families())
    meter.ended(settled(cost_microusd=None), PARAMETERS)
    meter.ended(settled(cost_microusd=0), PARAMETERS)
    meter.ended(settled(cost_microusd=None, status="error", error_type="InferenceError"), PARAMETERS)
    assert Scraped(tmp_path).value("inferway_unpriced_calls_total", **MODEL) == 1


def test_a_fallback_shows_in_attempts_and_retries(board: Board, tmp_path: Path) -> None:
    used = {"usage": Usage(input=5, output=7, source="provider"), "cost_microusd": 9}
    attempts = (tried("provider_error"), tried("provider_error"), tried("ok", "anthropic", "claude", **used))
    CallMeter(board, families()).ended(
        settled(provider="anthropic", model="claude", attempts=attempts, retries=2), PARAMETERS
    )
    page = Scraped(tmp_path)
    assert page.value("inferway_attempts_total", outcome="provider_error", **MODEL) == 2
    assert page.value("inferway_attempts_total", outcome="ok", provider="anthropic", model="claude") == 1
    assert page.value("inferway_retries_total", provider="anthropic", model="claude") == 2
    assert page.value("inferway_tokens_total", provider="anthropic", model="claude", meter="output") == 7
    assert page.value("inferway_cost_microdollars_total", provider="anthropic", model="claude") == 9
    assert page.value("inferway_cost_microdollars_total", **MODEL) == 0


def test_a_failed_call_tells_its_code_and_retries(board: Board, tmp_path: Path) -> None:
    attempts = (tried("provider_error"), tried("provider_error"))
    failed = settled(
        status="error", error_type="InferenceError", error_code="provider_error", attempts=attempts, retries=1
    )
    CallMeter(board, families()).ended(failed, PARAMETERS)
    page = Scraped(tmp_path)
    assert page.value("inferway_retries_total", **MODEL) == 1
    assert (
        page.value("inferway_calls_total", operation="chat", status="error", error="provider_error", **MODEL)
        == 1
    )


def test_names_that_callers_make_up_are_no_labels(board: Board, tmp_path: Path) -> None:
    meter = CallMeter(board, families())
    for number in range(50):
        name = f"made-up-{number}"
        attempts = (tried("provider_refused", model=name),)
        refused = {"status": "error", "error_type": "BadRequestError", "error_code": "provider_refused"}
        meter.ended(settled(model=name, attempts=attempts, **refused), PARAMETERS)
    meter.ended(settled(model="x" * 500), PARAMETERS)
    page = Scraped(tmp_path)
    assert page.labels("inferway_calls_total", "model") == {"other"}
    assert page.labels("inferway_attempts_total", "model") == {"other", "gpt-5.4-mini"}


def test_models_beyond_the_bound_are_other_and_stay_within_the_totals(board: Board, tmp_path: Path) -> None:
    meter = CallMeter(board, families(), models_max=3)
    for number in range(20):
        meter.ended(settled(model=f"m{number}", attempts=(tried(model=f"m{number}"),)), PARAMETERS)
    page = Scraped(tmp_path)
    assert len(page.labels("inferway_tokens_total", "model")) == 4
    assert page.value("inferway_attempts_total", provider="openai", model="other", outcome="ok") == 17
    kinds = {"operation": "chat", "status": "ok", "error": "", "provider": "openai"}
    assert page.value("inferway_calls_total", model="other", **kinds) == 17
    meter.ended(settled(model="m0", attempts=(tried(model="m0"),)), PARAMETERS)
    assert Scraped(tmp_path).value("inferway_calls_total", model="m0", **kinds) == 2


def test_the_scrape_adds_up_the_workers_and_keeps_what_a_dead_one_counted(
    board: Board, tmp_path: Path
) -> None:
    other = Board.open(tmp_path, families().all())
    CallMeter(board, families()).ended(settled(), PARAMETERS)
    CallMeter(other, families()).ended(settled(), PARAMETERS)
    for each in (board, other):
        each.cells[each.place(families().running, (str(each.seat),))] = 7
    kinds = {"operation": "chat", "status": "ok", "error": ""}
    page = Scraped(tmp_path)
    assert page.value("inferway_calls_total", **kinds, **MODEL) == 2
    assert page.value("inferway_inflight_calls", worker="1") == 7
    assert page.value("inferway_workers") == 2
    other.close()
    page = Scraped(tmp_path)
    assert page.value("inferway_calls_total", **kinds, **MODEL) == 2
    assert page.labels("inferway_inflight_calls", "worker") == {"0"}
    assert page.value("inferway_workers") == 1


def test_a_defect_in_counting_fails_no_call_and_is_said_once(
    board: Board, caplog: pytest.LogCaptureFixture
) -> None:
    meter = CallMeter(board, families())
    for _ in range(3):
        meter.ended(None, PARAMETERS)  # type: ignore[arg-type] # the defect
    assert len(caplog.records) == 1


def test_every_metric_has_a_unit_in_its_name_and_a_sentence() -> None:
    for family in families().all():
        assert (family.kind == "counter") == family.name.endswith("_total"), family.name
        assert (family.kind != "histogram") or family.name.endswith("_seconds"), family.name
        assert family.about.endswith("."), family.name
        assert not {"key", "key_id", "namespace", "request_id", "organization"} & set(family.labels)


def test_what_was_dropped_is_counted_as_often_as_it_happened(board: Board) -> None:
    dropped = {"traces": 2, "contents": 3}
    sources = Sources(undelivered=lambda: dropped["traces"], unkept=lambda: dropped["contents"])
    vitals = Vitals(board, families(), sources)
    dropped["contents"] = 5
    vitals.look()
    vitals.look()
    assert board.cells[board.place(families().unkept, ())] == 5
    assert board.cells[board.place(families().undelivered, ())] == 2
