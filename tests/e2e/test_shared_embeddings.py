"""The same embedding call, at once in several worker processes: one call of the provider, whatever becomes of the worker that makes it."""

import contextlib
import json
import os
import signal
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.e2e.process import Served, children_of, serving, until
from tests.e2e.test_metrics import free_port, scrape
from tests.http.kit import Reply, Seen, Upstream

SAME = {"model": "text-embedding-3-small", "provider": "openai", "inputs": {"text": "same"}}
VECTOR = [0.25, 0.5]
LEAST, MOST = 3, 60
"""Callers that each worker must have, and callers in all: the kernel chooses which worker a connection goes to."""

Call = Future[tuple[int, dict[str, Any]]]


class Provider:
    """Answers embeddings once it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.upstream = Upstream()
        self.upstream.answer = self._answer

    @property
    def asked(self) -> int:
        return len(self.upstream.seen)

    def _answer(self, _: Seen) -> Reply:
        assert self.go.wait(120)
        vector = {"object": "embedding", "index": 0, "embedding": VECTOR}
        usage = {"prompt_tokens": 3_000, "total_tokens": 3_000}
        body = {"object": "list", "data": [vector], "model": SAME["model"], "usage": usage}
        return Reply(json.dumps(body).encode())


@contextlib.contextmanager
def two_workers(folder: Path, **env: str) -> Iterator[tuple[Provider, Served, ThreadPoolExecutor]]:
    provider = Provider()
    env = {
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_BASE_URL": f"{provider.upstream.url}/v1",
        "INFERWAY_LIMITS__PER_MINUTE": "0",
        "INFERWAY_METRICS__PORT": str(free_port()),
        "INFERWAY_LOCAL__ENABLED": "false",
    } | env
    with contextlib.ExitStack() as stack:
        stack.callback(provider.upstream.close)
        stack.callback(provider.go.set)
        pool = stack.enter_context(ThreadPoolExecutor(MOST))
        stack.callback(provider.go.set)
        yield provider, stack.enter_context(serving(folder, "--workers", "2", **env)), pool


def workers_of(served: Served) -> list[int]:
    return [pid for pid, line in children_of(served.process.pid).items() if "inferway.http.worker" in line]


def connections_of(pid: int, *, to: int | None = None, at: int | None = None) -> int:
    """Established connections that a process holds to a port, or at its own."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    found = {
        f"socket:[{row[9]}]"
        for row in rows
        if row[3] == "01"
        and (to is None or int(row[2].partition(":")[2], 16) == to)
        and (at is None or int(row[1].partition(":")[2], 16) == at)
    }
    held = 0
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            held += str(each.readlink()) in found
    return held


def crowd(provider: Provider, served: Served, pool: ThreadPoolExecutor) -> list[Call]:
    """Callers of the same vectors, until every worker has some of them and all of them wait for the provider."""
    calls: list[Call] = []
    workers = workers_of(served)
    assert len(workers) == 2

    def held() -> list[int]:
        return [connections_of(pid, at=served.port) for pid in workers]

    while min(held()) < LEAST:
        assert len(calls) < MOST, f"the kernel gave one worker everything: {held()}"
        calls.append(pool.submit(served.call, dict(SAME), 120.0))
        until(lambda: sum(held()) == len(calls), "the caller is connected")
    port = int(served.env["INFERWAY_METRICS__PORT"])
    until(lambda: scrape(port)["inferway_inflight_calls"] == len(calls), "all calls are under way")
    until(lambda: provider.asked, "the provider is asked")
    return calls


def rows(folder: Path) -> list[tuple[Any, ...]]:
    """Cost and kind of cache of every call, the dear ones first."""
    with contextlib.closing(sqlite3.connect(folder / "inferway.db")) as database:
        asked = "SELECT cost_microusd, cache_kind FROM usage ORDER BY cost_microusd DESC"
        return database.execute(asked).fetchall()


def test_the_same_calls_in_all_workers_are_one_call_of_the_provider(tmp_path: Path) -> None:
    with two_workers(tmp_path) as (provider, served, pool):
        calls = crowd(provider, served, pool)
        provider.go.set()
        answers = [call.result() for call in calls]
        assert served.stop() == 0
    assert provider.asked == 1
    assert {status for status, _ in answers} == {200}
    assert all(answer["data"] == {"embedding": VECTOR} for _, answer in answers)
    assert sorted(answer["cached"] for _, answer in answers) == [False, *[True] * (len(calls) - 1)]
    billed, *others = rows(tmp_path)
    assert billed == (60, None)
    assert others == [(0, "coalesced")] * (len(calls) - 1)


def test_when_the_worker_that_makes_the_call_is_killed_the_other_makes_it(tmp_path: Path) -> None:
    with two_workers(tmp_path) as (provider, served, pool):
        calls = crowd(provider, served, pool)
        port = int(provider.upstream.url.rpartition(":")[2])
        [leader] = [pid for pid in workers_of(served) if connections_of(pid, to=port)]
        lost = connections_of(leader, at=served.port)
        os.kill(leader, signal.SIGKILL)
        until(lambda: provider.asked == 2, "the other worker asks the provider")
        provider.go.set()
        failures = [call.exception() for call in calls]
        answers = [call.result()[1] for call in calls if call.exception() is None]
        assert provider.asked == 2
        until(lambda: len(workers_of(served)) == 2, "the dead worker is replaced")
        assert served.stop() == 0
    assert sum(isinstance(each, OSError) for each in failures) == lost
    assert len(answers) == len(calls) - lost >= LEAST
    assert all(answer["data"] == {"embedding": VECTOR} for answer in answers)
    assert sorted(answer["cached"] for answer in answers) == [False, *[True] * (len(answers) - 1)]
    assert [cost for cost, _ in rows(tmp_path) if cost] == [60]


def test_workers_share_nothing_when_the_setting_is_off(tmp_path: Path) -> None:
    with two_workers(tmp_path, INFERWAY_CALLS__COALESCE="false") as (provider, served, pool):
        calls = [pool.submit(served.call, dict(SAME), 120.0) for _ in range(4)]
        until(lambda: provider.asked == 4, "each asks for itself")
        provider.go.set()
        assert [call.result()[0] for call in calls] == [200] * 4
        assert not (tmp_path / "flights").exists()
