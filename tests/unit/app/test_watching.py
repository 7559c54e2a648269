"""What observes a worker follows from its settings, and what is off is not even read."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from inferway.app.watching import Later, Several, Watching
from inferway.observe.calls import CallLog
from inferway.observe.trace import Tracer
from inferway.settings import load
from inferway.types import NO_PARAMETERS, Parameters
from inferway.usage.records import UsageRecord
from tests.unit.observe.kit import RECORD


def watching(folder: Path, **environ: str) -> Watching:
    return Watching(load(environ={"INFERWAY_DATA_DIR": str(folder), **environ}), lambda _: None)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, Later),
        ({"INFERWAY_METRICS__ENABLED": "false"}, type(None)),
        ({"INFERWAY_METRICS__ENABLED": "false", "INFERWAY_LOG__FORMAT": "json"}, CallLog),
        ({"INFERWAY_METRICS__ENABLED": "false", "INFERWAY_LOG__CALLS": "true"}, CallLog),
        ({"INFERWAY_LOG__FORMAT": "json", "INFERWAY_LOG__CALLS": "false"}, Later),
        ({"INFERWAY_LOG__FORMAT": "json", "INFERWAY_LOG__LEVEL": "warning"}, Later),
        ({"INFERWAY_METRICS__ENABLED": "false", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, Tracer),
        ({"INFERWAY_OTEL__ENDPOINT": "http://127.0.0.1:9"}, Several),
    ],
)
async def test_who_is_told_how_calls_end(tmp_path: Path, environ: dict[str, str], expected: Any) -> None:
    made = watching(tmp_path, **environ)
    assert type(made.observer) is expected
    await made.aclose()


class Counting:
    """An observer that counts the calls that it was told of."""

    def __init__(self) -> None:
        self.count = 0
        self.told = asyncio.Event()

    def ended(self, record: UsageRecord, parameters: Parameters) -> None:
        del record, parameters
        self.count += 1
        self.told.set()


async def test_a_call_that_ends_alone_is_told_in_the_next_turn_of_the_loop() -> None:
    counting = Counting()
    later = Later(counting)
    later.ended(RECORD, NO_PARAMETERS)
    assert counting.count == 0
    await asyncio.sleep(0)
    assert counting.count == 1


async def test_beside_others_calls_are_told_together_and_soon() -> None:
    counting = Counting()
    later = Later(counting)
    later.running = lambda: 1
    later.ended(RECORD, NO_PARAMETERS)
    await asyncio.sleep(0)
    assert counting.count == 0
    async with asyncio.timeout(5):
        await counting.told.wait()
    for _ in range(64):
        later.ended(RECORD, NO_PARAMETERS)
    await asyncio.sleep(0)
    assert counting.count == 65


@pytest.mark.parametrize(
    "environ",
    [
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        {"OTEL_SDK_DISABLED": "true"},
    ],
)
def test_variables_that_mean_another_wire_or_nothing_are_passed_over(environ: dict[str, str]) -> None:
    assert load(environ={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:4317", **environ}).otel.endpoint is None


def test_the_standard_variables_are_weaker_than_our_own() -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://standard:4318",
        "OTEL_EXPORTER_OTLP_HEADERS": "a=1, b=two%20words",
        "OTEL_SERVICE_NAME": "gate",
    }
    otel = load(environ=environ).otel
    assert (otel.endpoint, otel.service_name) == ("http://standard:4318", "gate")
    assert {name: value.reveal() for name, value in otel.headers.items()} == {"a": "1", "b": "two words"}
    assert load(environ=environ | {"INFERWAY_OTEL__ENDPOINT": "http://own:1"}).otel.endpoint == "http://own:1"


def test_neither_library_is_read_before_it_is_needed() -> None:
    script = (
        "import sys, inferway.app.serving;"
        "print([name for name in ('opentelemetry', 'prometheus_client', 'requests') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=os.environ, capture_output=True, text=True, timeout=50, check=True
    )
    assert done.stdout.strip() == "[]"
