"""The limits of several processes on one machine."""

import signal
import subprocess
import sys
import time
from pathlib import Path

from inferway.limits.table import Held, Refused, Table
from inferway.limits.terms import Terms, rules_of

_RUSH = """
import sys, pathlib
from inferway.limits.table import Held, Table
from inferway.limits.terms import Terms, rules_of
table = Table.open(pathlib.Path(sys.argv[1]))
rules = rules_of(Terms(per_minute=int(sys.argv[2]), concurrent=100_000))
print("ready", flush=True)
sys.stdin.readline()
print(sum(isinstance(table.enter("key_1", "org_1", rules), Held) for _ in range(int(sys.argv[3]))), flush=True)
sys.stdin.readline()
"""


def _start(folder: Path, limit: int, calls: int) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _RUSH, str(folder), str(limit), str(calls)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert _read(process) == "ready"
    return process


def _read(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def _end(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        process.communicate("\n", timeout=20)


def test_four_processes_hold_one_limit_together(tmp_path: Path) -> None:
    began = time.monotonic()
    processes = [_start(tmp_path, 1_000, 3_000) for _ in range(4)]
    for process in processes:
        _go(process)
    let_in = sum(int(_read(process)) for process in processes)
    most = 1_000 + (time.monotonic() - began) * 1_000 / 60 + 1
    assert 1_000 <= let_in <= most
    _end(*processes)


def test_a_killed_process_gives_its_places_back(tmp_path: Path) -> None:
    process = _start(tmp_path, 0, 40)
    _go(process)
    assert _read(process) == "40"
    table = Table.open(tmp_path)
    rules = rules_of(Terms(concurrent=40))
    assert isinstance(table.enter("k", "org_1", rules), Refused)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=20)
    ends = time.monotonic() + 5
    while isinstance(table.enter("k", "org_1", rules), Refused):
        assert time.monotonic() < ends
        time.sleep(0.05)
    for _ in range(39):
        assert isinstance(table.enter("k", "org_1", rules), Held)
    assert isinstance(table.enter("k", "org_1", rules), Refused)
    table.close()


def test_a_process_stopped_in_the_middle_does_not_stop_the_others(tmp_path: Path) -> None:
    holder, table = Table.open(tmp_path), Table.open(tmp_path)
    assert holder._lock.acquire()
    began = time.monotonic()
    assert isinstance(table.enter("k", "o", rules_of(Terms(per_minute=5))), Held)
    assert time.monotonic() - began < 1
    holder._lock.release()
    holder.close()
    table.close()
