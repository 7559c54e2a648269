"""One line's call, as often as it takes."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from inferway.cli.batching.calling import Caller, GoingOnIsUseless
from inferway.cli.batching.lines import Job
from inferway.client.errors import ConnectionFailed, InferwayError, error_of
from inferway.client.requests import Patience

JOB = Job(number=7, sum="0123456789abcdef", id="mine", body={"inputs": {"prompts": ["hi"]}})
GOOD = {"data": {"completions": []}, "provider": "p", "model": "m"}


def refusal(
    status: int, code: str, *, retryable: bool = False, hint_s: float | None = None, **details: Any
) -> InferwayError:
    error = {"message": "said", "type": "", "code": code, "details": {"retryable": retryable, **details}}
    return error_of(status, {"success": False, "error": error, "request_id": "r"}, hint_s)


class Server:
    """Says these, one after the other; keeps the keys that it was sent, and how long it was left alone."""

    def __init__(self, *sayings: InferwayError | dict[str, Any]) -> None:
        self.sayings = list(sayings)
        self.keys: list[str | None] = []
        self.pauses: list[float] = []

    async def infer(self, body: Mapping[str, Any], *, idempotency_key: str | None = None) -> dict[str, Any]:
        assert body == JOB.body
        self.keys.append(idempotency_key)
        saying = self.sayings.pop(0)
        if isinstance(saying, InferwayError):
            raise saying
        return saying

    async def sleep(self, pause_s: float) -> None:
        self.pauses.append(pause_s)


async def call(server: Server, *, retries: int = 3, wait_s: float = 100.0) -> dict[str, Any]:
    patience = Patience(retries=retries, longest_hint_s=60.0)
    caller = Caller(server, "run", patience, wait_s, sleep=server.sleep)
    told: dict[str, Any] = json.loads(await caller.call(JOB))
    return told | {"without_key": caller.without_key}


async def test_an_answer_can_be_joined_to_its_line() -> None:
    told = await call(Server(GOOD))
    assert told == {
        "line": 7,
        "line_sha256": "0123456789abcdef",
        "id": "mine",
        "status": 200,
        "body": GOOD,
        "without_key": 0,
    }


async def test_what_may_pass_is_sent_again_with_the_same_key_after_the_pause_that_was_asked_for() -> None:
    broken = ConnectionFailed("broke", sent=True)
    server = Server(refusal(429, "rate_limited", retryable=True, hint_s=45.0), broken, GOOD)
    assert (await call(server))["status"] == 200
    assert len(server.keys) == 3
    assert set(server.keys) == {"batch-run-7-0123456789abcdef"}
    assert server.pauses[0] == 45.0


async def test_what_the_server_calls_of_no_use_is_told_at_once() -> None:
    server = Server(refusal(400, "unknown_model"))
    told = await call(server)
    assert (told["status"], told["error"]["code"], told["error"]["request_id"]) == (400, "unknown_model", "r")
    assert server.pauses == []


async def test_after_so_many_retries_the_failure_is_told() -> None:
    server = Server(*[refusal(500, "provider_error", retryable=True)] * 3)
    assert (await call(server, retries=2))["status"] == 500
    assert (await call(Server(*[ConnectionFailed("late", sent=True)] * 3), retries=2))["status"] is None


async def test_a_model_that_is_coming_is_waited_for_whatever_the_retries() -> None:
    server = Server(*[refusal(503, "model_warming", retryable=True, hint_s=2.0)] * 5, GOOD)
    assert (await call(server, retries=0))["status"] == 200
    assert server.pauses == [2.0] * 5
    assert (await call(Server(refusal(503, "model_warming")), retries=0, wait_s=0))["status"] == 503


async def test_a_server_that_can_keep_no_more_answers_is_called_without_a_key() -> None:
    server = Server(refusal(429, "idempotency_keys_exhausted", retryable=True, hint_s=60.0), GOOD)
    told = await call(server)
    assert (told["status"], told["without_key"]) == (200, 1)
    assert server.keys[1] is None
    assert server.pauses == []


@pytest.mark.parametrize(
    ("saying", "advice"),
    [
        (refusal(401, "key_revoked"), "Use the key"),
        (error_of(403, {"error": {"message": "cap", "type": "QuotaExceededError"}}), "Raise the budget"),
        (refusal(404, "namespace_not_found", resource="namespace"), "--namespace"),
        (ConnectionFailed("no server answers", sent=False), "Start it"),
        ({"hello": "world"}, "not Inferway"),
    ],
)
async def test_what_every_further_call_would_meet_ends_the_run(saying: Any, advice: str) -> None:
    with pytest.raises(GoingOnIsUseless, match=advice):
        await call(Server(saying), retries=0)


async def test_a_plugin_that_is_not_there_fails_its_own_line() -> None:
    assert (await call(Server(refusal(404, "plugin_not_found", resource="plugin"))))["status"] == 404
