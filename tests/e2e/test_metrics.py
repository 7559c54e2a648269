"""Metrics of several worker processes, on a port of their own, and of one that is killed."""

import os
import signal
import socket
from http.client import HTTPConnection
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families as parse

from tests.e2e.process import children_of, fake_call, serving, until


def scrape(port: int) -> dict[str, float]:
    """The page of the metrics' own port: each metric's sum over its labels."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/metrics")
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    assert answer.status == 200
    sums: dict[str, float] = {}
    for metric in parse(body):
        for sample in metric.samples:
            sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    return sums


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port: int = trial.getsockname()[1]
        return port


def test_the_workers_are_added_up_and_a_killed_one_takes_nothing_with_it(tmp_path: Path) -> None:
    port = free_port()
    with serving(tmp_path, "--workers", "2", INFERWAY_METRICS__PORT=str(port)) as served:
        for _ in range(20):
            assert served.call(fake_call())[0] == 200
        before = scrape(port)
        assert before["inferway_calls_total"] == 20
        assert before["inferway_workers"] == 2
        workers = [pid for pid, words in children_of(served.process.pid).items() if "http.worker" in words]
        os.kill(workers[0], signal.SIGKILL)
        until(lambda: served.call(fake_call())[0] == 200, "the other worker answers")
        until(lambda: scrape(port)["inferway_workers"] == 2, "the dead worker is replaced")
        after = scrape(port)
        assert after["inferway_calls_total"] >= 21
        assert after["process_cpu_seconds_total"] >= before["process_cpu_seconds_total"]


def test_one_process_has_a_port_for_its_metrics_too(tmp_path: Path) -> None:
    port = free_port()
    with serving(tmp_path, INFERWAY_METRICS__PORT=str(port)) as served:
        assert served.call(fake_call())[0] == 200
        until(lambda: scrape(port).get("inferway_calls_total") == 1, "the call is told")
        assert served.get("/metrics") == 401
        assert served.stop() == 0
