"""A server that is killed under load loses no call: what was acknowledged is recorded, what was under way is unknown."""

import contextlib
import json
import sqlite3
import threading
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from itertools import count
from pathlib import Path

import pytest

from tests.e2e.process import Served, children_of, serving
from tests.http.kit import Reply, Seen, Upstream, completion

CLIENTS = 12
ROUNDS = 3
ACKNOWLEDGED = 60


class Load:
    """Clients that call without a pause; `acknowledged` are the request ids that got a 200."""

    def __init__(self, served: Served, name: str) -> None:
        keys = tomllib.loads((served.data_dir / "credentials.toml").read_text())
        self._port = served.port
        self._headers = {
            "authorization": f"Bearer {keys['inference_key']}",
            "x-namespace": "default",
            "content-type": "application/json",
        }
        self._name = name
        self._numbers = count()
        self._stopping = threading.Event()
        self.enough = threading.Event()
        self.acknowledged: list[str] = []
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self) -> None:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=10)
        with contextlib.closing(connection), contextlib.suppress(OSError, HTTPException):
            while not self._stopping.is_set():
                self._call(connection)

    def _call(self, connection: HTTPConnection) -> None:
        request_id = f"{self._name}-{next(self._numbers)}"
        body = {"provider": "openai", "model": "m", "inputs": {"prompts": [request_id]}}
        connection.request(
            "POST", "/v1/inference", json.dumps(body).encode(), self._headers | {"x-request-id": request_id}
        )
        answer = connection.getresponse()
        answer.read()
        if answer.status == 200:
            self.acknowledged.append(request_id)
            if len(self.acknowledged) >= ACKNOWLEDGED:
                self.enough.set()


@pytest.fixture
def slow_upstream() -> Iterator[Upstream]:
    upstream = Upstream()

    def answer(_: Seen) -> Reply:
        return Reply(completion(), pause_s=0.02)

    upstream.answer = answer
    yield upstream
    upstream.close()


def test_every_call_that_reached_the_provider_is_recorded_once(
    tmp_path: Path, slow_upstream: Upstream
) -> None:
    env = {"OPENAI_API_KEY": "sk-upstream-key", "OPENAI_BASE_URL": f"{slow_upstream.url}/v1"}
    acknowledged: list[str] = []
    for number in range(ROUNDS):
        with serving(tmp_path, **env) as served:
            load = Load(served, f"round{number}")
            assert load.enough.wait(30)
            children = children_of(served.process.pid)
            served.process.kill()
            assert not children, "one process serves"
            load.stop()
        acknowledged += load.acknowledged
    reached = {seen.json()["messages"][0]["content"] for seen in slow_upstream.seen}
    with serving(tmp_path, **env):
        recorded = records(tmp_path, at_least=reached)
    assert len(acknowledged) == len(set(acknowledged))
    statuses = dict(recorded)
    assert len(statuses) == len(recorded), "a call is recorded twice"
    assert {statuses.get(each) for each in acknowledged} == {"ok"}
    assert reached <= set(statuses)
    assert set(Counter(statuses.values())) <= {"ok", "unknown"}
    assert len(set(statuses) - reached) <= ROUNDS * CLIENTS


def records(data_dir: Path, at_least: set[str]) -> list[tuple[str, str]]:
    """Request ids and statuses in the ledger, once these are among them; a minute is the most it may take."""
    ends = time.monotonic() + 60
    while True:
        with contextlib.closing(sqlite3.connect(data_dir / "inferway.db")) as database:
            found = database.execute("SELECT request_id, status FROM usage").fetchall()
        if at_least <= {request_id for request_id, _ in found}:
            return found
        assert time.monotonic() < ends, "calls are missing"
        time.sleep(0.2)
