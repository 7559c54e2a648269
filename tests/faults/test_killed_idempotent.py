"""A server is killed under clients that send their calls again: each key has one answer, and is paid for once it was given."""

import contextlib
import json
import queue
import threading
from collections import Counter
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from itertools import count
from pathlib import Path

import pytest

from tests.e2e.process import Served, serving
from tests.http.kit import Reply, Seen, Upstream, completion

CLIENTS = 6
ROUNDS = 4
ANSWERS = 30


class Clients:
    """Clients that send each call with a key of its own, until it is answered, through however many servers that takes."""

    def __init__(self) -> None:
        self.open: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.answers: dict[str, set[bytes]] = {}
        self.paid_when_answered: dict[str, int] = {}
        self._numbers = count()

    def run(self, served: Served, asked: Counter[str]) -> None:
        """Until so many calls were answered; then the server is killed under the rest."""
        stopping, enough = threading.Event(), threading.Semaphore(0)

        def work() -> None:
            while not stopping.is_set():
                key = self._next()
                try:
                    status, body = send(served, key)
                except (OSError, HTTPException):
                    self.open.put(key)
                    return
                if status != 200:
                    self.open.put(key)
                    continue
                self.answers.setdefault(key, set()).add(body)
                self.paid_when_answered.setdefault(key, asked[key])
                enough.release()

        threads = [threading.Thread(target=work, daemon=True) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for _ in range(ANSWERS):
            assert enough.acquire(timeout=60), "too few calls were answered"
        served.process.kill()
        stopping.set()
        for thread in threads:
            thread.join(60)

    def _next(self) -> str:
        with contextlib.suppress(queue.Empty):
            return self.open.get_nowait()
        return f"call-{next(self._numbers)}"


def send(served: Served, key: str) -> tuple[int, bytes]:
    connection = HTTPConnection("127.0.0.1", served.port, timeout=30)
    with contextlib.closing(connection):
        body = {"provider": "openai", "model": "m", "inputs": {"prompts": [key]}}
        headers = served.headers() | {"Idempotency-Key": key}
        connection.request("POST", "/v1/inference", json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, response.read()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """Answers each call with a number of its own, slowly enough to be killed while it does."""
    upstream = Upstream()
    numbers = count()

    def answer(_: Seen) -> Reply:
        return Reply(completion(f"answer {next(numbers)}"), pause_s=0.03)

    upstream.answer = answer
    yield upstream
    upstream.close()


class Asked(Counter[str]):
    """How often the provider was asked for each key."""

    def __init__(self, upstream: Upstream) -> None:
        super().__init__()
        self._upstream = upstream

    def __getitem__(self, key: str) -> int:
        return sum(seen.json()["messages"][0]["content"] == key for seen in list(self._upstream.seen))


def test_each_key_has_one_answer_and_is_not_paid_for_again(tmp_path: Path, upstream: Upstream) -> None:
    env = {
        "OPENAI_API_KEY": "sk-upstream-key",
        "OPENAI_BASE_URL": f"{upstream.url}/v1",
        "INFERWAY_IDEMPOTENCY__LEASE_S": "1",
    }
    clients, asked = Clients(), Asked(upstream)
    for _ in range(ROUNDS):
        with serving(tmp_path, **env) as served:
            clients.run(served, asked)
    assert len(clients.answers) >= ROUNDS * ANSWERS
    with serving(tmp_path, **env) as served:
        for key in clients.answers:
            status, body = send(served, key)
            assert status == 200
            clients.answers[key].add(body)
    assert {len(bodies) for bodies in clients.answers.values()} == {1}, "a key has two answers"
    again = {key for key, paid in clients.paid_when_answered.items() if asked[key] != paid}
    assert not again, "calls were made though their answer had been given"
    twice = [key for key, paid in clients.paid_when_answered.items() if paid > 1]
    assert len(twice) <= ROUNDS * CLIENTS, "only what was under way when a server died may be asked for again"
