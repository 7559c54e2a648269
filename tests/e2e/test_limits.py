"""Limits of a server with several workers."""

import os
import signal
import threading
import time
from pathlib import Path

from tests.e2e.process import Served, children_of, fake_call, serving, until


def _workers(served: Served) -> list[int]:
    return [pid for pid, words in children_of(served.process.pid).items() if "http.worker" in words]


def test_workers_hold_one_limit_together(tmp_path: Path) -> None:
    limits = {"INFERWAY_LIMITS__PER_MINUTE": "20", "INFERWAY_LIMITS__PER_SECOND": "0"}
    with serving(tmp_path / "data", "--workers", "3", **limits) as served:
        began = time.monotonic()
        statuses = [served.call(fake_call())[0] for _ in range(60)]
        refilled = (time.monotonic() - began) * 20 / 60
    assert set(statuses) == {200, 429}
    assert 20 <= statuses.count(200) <= 20 + refilled + 1


def test_a_killed_worker_s_running_calls_do_not_count_for_ever(tmp_path: Path) -> None:
    limits = {"INFERWAY_LIMITS__CONCURRENT": "2"}
    with serving(tmp_path / "data", "--workers", "2", **limits) as served:
        slow = fake_call("fake-chat?latency_ms=20000")
        for _ in range(2):
            threading.Thread(target=_call_quietly, args=(served, slow), daemon=True).start()
        until(lambda: served.call(fake_call())[0] == 429, "both places are taken")
        for worker in _workers(served):
            os.kill(worker, signal.SIGKILL)
        until(lambda: _answers(served), "the places are free again")


def _call_quietly(served: Served, body: dict[str, object]) -> None:
    try:
        served.call(body)
    except OSError:
        return


def _answers(served: Served) -> bool:
    try:
        return served.call(fake_call())[0] == 200
    except OSError:
        return False
