"""Embedding calls in flight at once, through a real server."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from tests.http.kit import Answered, Gateway, Reply, Seen, Upstream


def embed(gateway: Gateway, text: str) -> Answered:
    return gateway.infer(model="text-embedding-3-small", inputs={"text": text})


def test_the_same_embedding_calls_share_one_call_of_the_provider(
    gateway: Gateway, upstream: Upstream
) -> None:
    go = threading.Event()

    def answer(_: Seen) -> Reply:
        assert go.wait(30)
        vector = {"object": "embedding", "index": 0, "embedding": [0.25, 0.5]}
        usage = {"prompt_tokens": 3_000, "total_tokens": 3_000}
        body = {"object": "list", "data": [vector], "model": "text-embedding-3-small", "usage": usage}
        return Reply(json.dumps(body).encode())

    upstream.answer = answer
    with ThreadPoolExecutor(7) as pool:
        calls = [pool.submit(embed, gateway, "same") for _ in range(6)]
        calls.append(pool.submit(embed, gateway, "other"))
        ends = time.monotonic() + 30
        while len(upstream.seen) < 2:
            assert time.monotonic() < ends
            time.sleep(0.01)
        time.sleep(0.5)
        go.set()
        answers = [call.result() for call in calls]
    assert [each.status for each in answers] == [200] * 7
    assert all(each.json()["data"] == {"embedding": [0.25, 0.5]} for each in answers)
    same = sorted((each.json()["cached"], each.json()["cost_usd"] == 0) for each in answers[:6])
    assert same == [(False, False), *[(True, True)] * 5]
    assert answers[6].json()["cached"] is False
    assert len(upstream.seen) == 2
