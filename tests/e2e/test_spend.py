"""Spend caps of a server with several workers, and budgets on the command line."""

import contextlib
import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from tests.e2e.process import Served, children_of, fake_call, run, serving, until

_PRICES = '[prices."fake/fake-chat"]\ninput = 1000.0\noutput = 0.0\nrequest = 0.001\n'
"""A call costs a tenth of a cent for being made, and a tenth of a cent for each token in."""


def _environ(folder: Path) -> dict[str, str]:
    file = folder / "own.toml"
    file.write_text(_PRICES)
    off = {f"INFERWAY_LIMITS__{name}": "0" for name in ("PER_MINUTE", "PER_SECOND", "CONCURRENT")}
    return {"INFERWAY_CONFIG": str(file), **off}


def _key(data_dir: Path, name: str, *options: str) -> str:
    made = run("key", "create", "--name", name, "--json", *options, data_dir=data_dir)
    assert made.returncode == 0, made.stderr
    return str(json.loads(made.stdout)["key"])


def _call(served: Served, key: str) -> tuple[int, dict[str, Any]]:
    body = fake_call() | {"parameters": {"max_tokens": 5}}
    headers = served.headers() | {"Authorization": f"Bearer {key}"}
    with contextlib.closing(HTTPConnection("127.0.0.1", served.port, timeout=60)) as connection:
        connection.request("POST", "/v1/inference", json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def test_workers_hold_one_cap_together_and_a_restart_does_not_forget_it(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    environ = _environ(tmp_path)
    with serving(data_dir, "--workers", "3", **environ) as served:
        key = _key(data_dir, "capped", "--daily-usd", "1", "--monthly-usd", "5")
        with ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(lambda _: _call(served, key), range(600)))
        spent = [body["cost_usd"] for status, body in answers if status == 200]
        assert {status for status, _ in answers} == {200, 403}
        # Each call reserves (64 + 16 + 5 + 1) tokens and the call: 0.087 dollars.
        assert 1.0 - 0.087 * 12 <= sum(spent) <= 1.0 + 0.087
        while _call(served, key)[0] == 200:
            pass
        assert served.call(fake_call())[0] == 200, "another key goes on"
        shown = json.loads(run("key", "list", "--json", data_dir=data_dir).stdout)["results"]
        (row,) = [each for each in shown if each["name"] == "capped"]
        assert row["spend_budget"] == {"daily_usd": 1.0, "monthly_usd": 5.0}
        served.stop(signal.SIGKILL)
    with serving(data_dir, "--workers", "2", **environ) as served:
        status, body = _call(served, key)
        assert (status, body["error"]["code"]) == (403, "spend_cap_reached")
        details = body["error"]["details"]
        assert 1.0 <= details["current"] <= 1.0 + 0.087
        assert details["limit"] == 1.0


def test_what_was_spent_survives_the_loss_of_the_book(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    environ = _environ(tmp_path)
    with serving(data_dir, **environ) as served:
        key = _key(data_dir, "capped", "--daily-usd", "0.002")
        assert _call(served, key)[0] == 200
        assert _call(served, key)[0] == 403
        served.stop()
    (data_dir / "limits" / "spend-1").unlink()
    with serving(data_dir, **environ) as served:
        assert _call(served, key)[0] == 403


def test_what_a_killed_worker_had_reserved_stays_counted(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    environ = _environ(tmp_path)
    with serving(data_dir, "--workers", "2", **environ) as served:
        key = _key(data_dir, "capped", "--daily-usd", "0.08")
        slow = fake_call("fake-chat") | {"parameters": {"max_tokens": 5, "extra": {"latency_ms": 20_000}}}

        def hang() -> None:
            headers = served.headers() | {"Authorization": f"Bearer {key}"}
            with (
                contextlib.closing(HTTPConnection("127.0.0.1", served.port, timeout=60)) as connection,
                contextlib.suppress(OSError),
            ):
                connection.request("POST", "/v1/inference", json.dumps(slow), headers)
                connection.getresponse()

        with ThreadPoolExecutor(1) as pool:
            pool.submit(hang)
            until(lambda: _call(served, key)[0] == 403, "the slow call's reservation counts")
            for worker, words in children_of(served.process.pid).items():
                if "http.worker" in words:
                    os.kill(worker, signal.SIGKILL)

        def refused() -> bool:
            try:
                return _call(served, key)[0] == 403
            except OSError:
                return False

        until(refused, "the new workers know what the old ones had reserved")


def test_budgets_are_set_and_shown_on_the_command_line(tmp_path: Path) -> None:
    made = run("namespace", "create", "team", "--monthly-usd", "12.5", "--json", data_dir=tmp_path)
    assert json.loads(made.stdout)["spend_budget"] == {"daily_usd": None, "monthly_usd": 12.5}
    changed = run("namespace", "budget", "team", "--daily-usd", "2", "--json", data_dir=tmp_path)
    assert json.loads(changed.stdout)["spend_budget"] == {"daily_usd": 2.0, "monthly_usd": 12.5}
    cleared = run("namespace", "budget", "team", "--monthly-usd", "none", "--json", data_dir=tmp_path)
    assert json.loads(cleared.stdout)["spend_budget"] == {"daily_usd": 2.0, "monthly_usd": None}
    _key(tmp_path, "k", "--daily-usd", "1")
    changed = run("key", "budget", "k", "--daily-usd", "0", "--json", data_dir=tmp_path)
    assert json.loads(changed.stdout)["spend_budget"] == {"daily_usd": 0.0, "monthly_usd": None}
    names = json.loads(run("organization", "list", "--json", data_dir=tmp_path).stdout)["results"]
    name = names[0]["organization_name"]
    house = run("organization", "budget", name, "--monthly-usd", "100", "--json", data_dir=tmp_path)
    assert json.loads(house.stdout)["spend_budget"] == {"daily_usd": None, "monthly_usd": 100.0}
    wrong = run("key", "budget", "k", "--daily-usd", "-1", data_dir=tmp_path)
    assert wrong.returncode != 0
