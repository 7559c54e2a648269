"""The machine's clock jumps by hours under a running server: keys, limits and records go on."""

import contextlib
import json
import os
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.e2e.process import Served, fake_call, run, serving, until

_LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


@pytest.mark.skipif(not _LIBRARIES, reason="needs libfaketime: install the package of that name")
@pytest.mark.parametrize(("hours", "expected"), [(1, 401), (-1, 200)])
def test_a_jump_of_an_hour_moves_expiry_and_nothing_else(tmp_path: Path, hours: int, expected: int) -> None:
    clock = tmp_path / "clock"
    clock.write_text("+0\n")
    faked = _faked(clock)
    limits = {
        "INFERWAY_LIMITS__PER_MINUTE": "12",
        "INFERWAY_LIMITS__BURST": "12",
        "INFERWAY_LIMITS__PER_SECOND": "0",
    }
    with serving(tmp_path / "data", **faked, **limits) as served:
        short = _mint(served, timedelta(minutes=30))
        assert _call(served, short) == 200
        before = [served.call(fake_call())[0] for _ in range(6)]
        _jump(clock, hours)
        after = [served.call(fake_call())[0] for _ in range(10)]
        until(lambda: _call(served, short) == expected, f"the key answers {expected}", 10)
        until(lambda: len(_moments(served)) >= 7 + after.count(200), "the records are in the ledger")
        moments = _moments(served)
        assert served.stop() == 0
    assert before == [200] * 6
    # Calls before and after count together: the jump neither fills the bucket again nor empties it for an hour.
    assert 5 <= after.count(200) <= 8
    assert set(after) <= {200, 429}
    assert max(moments) - min(moments) > timedelta(minutes=55)


@pytest.mark.skipif(not _LIBRARIES, reason="needs libfaketime: install the package of that name")
def test_a_jump_while_a_call_runs_does_not_let_its_twin_run_too(tmp_path: Path) -> None:
    clock = tmp_path / "clock"
    clock.write_text("+0\n")
    faked = _faked(clock)
    with serving(tmp_path / "data", "--workers", "2", **faked) as served:
        with ThreadPoolExecutor() as pool:
            first = pool.submit(_call_once, served)
            time.sleep(1.5)
            _jump(clock, 1)
            # Connections land on either worker.
            twins = [pool.submit(_call_once, served) for _ in range(6)]
        answers = {each.result() for each in (first, *twins)}
        until(lambda: len(_moments(served)) == 7, "the records are in the ledger")
        with contextlib.closing(sqlite3.connect(served.data_dir / "inferway.db")) as ledger:
            (paid,) = ledger.execute("SELECT COUNT(*) FROM usage WHERE cached = 0").fetchone()
        assert served.stop() == 0
    assert len(answers) == 1
    assert paid == 1


_PATIENT_SLEEP = """
import errno, time

def sleep(seconds, sleep=time.sleep):
    try:
        sleep(seconds)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise

time.sleep = sleep
"""
"""The library refuses to sleep to a moment that has passed, such as for 0 s, which the kernel does not."""


def _faked(clock: Path) -> dict[str, str]:
    """The environment of a program whose clock is set by a file."""
    patched = clock.parent / "patched"
    patched.mkdir()
    (patched / "sitecustomize.py").write_text(_PATIENT_SLEEP)
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, (str(patched), os.environ.get("PYTHONPATH")))),
        "LD_PRELOAD": str(_LIBRARIES[0]),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def _call_once(served: Served) -> bytes:
    """A slow call under one key."""
    connection = HTTPConnection("127.0.0.1", served.port, timeout=30)
    with contextlib.closing(connection):
        headers = served.headers() | {"Idempotency-Key": "one"}
        connection.request(
            "POST", "/v1/inference", json.dumps(fake_call("fake-chat?latency_ms=4000")), headers
        )
        answer = connection.getresponse()
        assert answer.status == 200
        return answer.read()


def _jump(file: Path, hours: int) -> None:
    """The library reads the file at every look at the clock."""
    new = file.with_suffix(".new")
    new.write_text(f"{hours * 3600:+d}\n")
    new.replace(file)


def _mint(served: Served, lives: timedelta) -> str:
    """A key that expires."""
    at = (datetime.now(UTC) + lives).isoformat()
    made = run("key", "create", "--name", "short", "--expires", at, "--json", data_dir=served.data_dir)
    assert made.returncode == 0, made.stderr
    return str(json.loads(made.stdout)["key"])


def _call(served: Served, key: str) -> int:
    connection = HTTPConnection("127.0.0.1", served.port, timeout=30)
    with contextlib.closing(connection):
        headers = served.headers() | {"Authorization": f"Bearer {key}"}
        connection.request("POST", "/v1/inference", json.dumps(fake_call()), headers)
        return connection.getresponse().status


def _moments(served: Served) -> list[datetime]:
    """When the recorded calls began, by the server's clock."""
    with contextlib.closing(sqlite3.connect(served.data_dir / "inferway.db")) as ledger:
        rows = ledger.execute("SELECT started_at FROM usage").fetchall()
    return [datetime.fromtimestamp(row[0] / 1e6, UTC) for row in rows]
