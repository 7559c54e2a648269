"""Single calls over HTTP and on the dashboard: answered, retried, fallen back, failed, streamed, without a price, and kept."""

import asyncio
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from inferway.access.records import Permission
from inferway.access.scopes import Scope
from tests.http.browsing import Browser
from tests.http.kit import EVENT_STREAM, Answered, Gateway, Reply, Upstream, chunks, completion, running

REQUESTS = "/v1/organizations/requests"
HOSTILE = 'fake-<img src=x onerror="alert(1)">'
SECRET = "the prompt that only <b>administrators</b> read"
MADE = (
    "answered",
    "unpriced",
    "failed",
    "retried",
    "fallen-back",
    "streamed",
    "adapted",
    "kept",
    "hostile",
    "twice",
)


class House:
    """A server in which each of `MADE` is the request id of a call, and an administrator at its dashboard."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway, self.browser = gateway, Browser(gateway).sign_in()
        self.keys = {"admin": gateway.admin_key}
        self.ids: dict[str, str] = {}

    def get(self, path: str, key: str = "admin") -> Answered:
        return self.gateway.request("GET", path, headers={"authorization": f"Bearer {self.keys[key]}"})

    def list(self, query: str = "", key: str = "admin") -> list[str]:
        answer = self.get(f"{REQUESTS}?{query}", key)
        assert answer.status == 200, answer.body
        return [each["request_id"] for each in answer.json()["results"]]

    def call(self, request_id: str, key: str = "admin") -> Any:
        return self.get(f"{REQUESTS}/{request_id}", key).json()

    def page(self, path: str) -> str:
        answer = self.browser.get(path)
        assert answer.status == 200, answer.body.decode()
        return answer.body.decode()

    def infer(self, request_id: str, namespace: str = "team-a", key: str = "backend", **fields: Any) -> int:
        body = {"provider": "fake", "model": "fake-chat", "inputs": {"prompts": ["hi"]}} | fields
        headers = self.gateway.headers(x_namespace=namespace, x_request_id=request_id)
        headers["authorization"] = f"Bearer {self.keys[key]}"
        return self.gateway.request("POST", "/v1/inference", json.dumps(body).encode(), headers).status


@pytest.fixture(scope="module")
def house(session_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder: Path = tmp_path_factory.mktemp("requests")
    with running(
        folder,
        OPENAI_API_KEY="sk-x",
        OPENAI_BASE_URL=f"{session_upstream.url}/v1",
        INFERWAY_PROVIDERS__FAKE__ENABLED="true",
        INFERWAY_JOURNAL__DRAIN_S="0.05",
    ) as gateway:
        made = House(gateway)
        asyncio.run(_furnish(made))
        _call(made, session_upstream)
        yield made


async def _furnish(house: House) -> None:
    office, directory = house.gateway.app.office, house.gateway.app.directory
    (organization,) = await directory.list_organizations()
    tenant = organization.organization_id
    user = await office.administration.require_user(tenant, "admin@localhost")
    for name, days in (("team-a", None), ("team-b", None), ("audited", 7)):
        made = await office.administration.create_namespace(tenant, name, keep_days=days)
        house.ids[name] = made.namespace_id
    only_b = (Scope(resource_type="namespace", resource_id="team-b"),)
    other = (Scope(resource_type="api_key", resource_id="backend"),)
    for name, scopes in (("backend", ()), ("batch", ()), ("only-b", only_b), ("of-backend", other)):
        record, text = await office.administration.create_key(user, name, Permission.WRITE, scopes=scopes)
        house.keys[name], house.ids[name] = text, record.key_id
    _, house.keys["stranger"] = await office.administration.create_tenant("Other", "other@other.example")


def _call(house: House, upstream: Upstream) -> None:
    upstream.answer = lambda _: Reply(
        completion(prompt_tokens=1000, completion_tokens=100, total_tokens=1100)
    )
    openai = {"provider": "openai", "model": "gpt-4o"}
    assert house.infer("answered", **openai) == 200
    upstream.answer = lambda _: Reply(completion().replace(b"gpt-5.4-mini", b"unheard-of"))
    assert house.infer("unpriced", **openai | {"model": "nobody-knows-it"}) == 200
    upstream.answer = lambda _: Reply(b'{"error":{"message":"no"}}', status=400)
    assert house.infer("failed", "team-b", "batch", **openai) == 400
    again = {"error": "failed", "error_attempts": 1}
    assert house.infer("retried", parameters={"extra": again}) == 200
    fallbacks = [{"provider": "fake", "model": "fake-other"}]
    assert house.infer("fallen-back", model="fake-chat?error=failed", fallbacks=fallbacks) == 200
    upstream.answer = lambda _: Reply(chunks("a", "b"), headers=EVENT_STREAM)
    assert house.infer("streamed", stream=True, **openai) == 200
    upstream.answer = lambda _: Reply(completion())
    assert house.infer("adapted", parameters={"top_k": 3}, **openai) == 200
    assert house.infer("kept", "audited", inputs={"prompts": [SECRET]}) == 200
    assert house.infer("hostile", model=HOSTILE) == 200
    assert house.infer("twice", inputs={"prompts": ["first"]}) == 200
    assert house.infer("twice", "team-b", "batch", inputs={"prompts": ["second"]}) == 200
    ends = time.monotonic() + 30
    while len(house.list()) < len(MADE) + 1 or house.get("/v1/namespaces/audited/calls/kept").status != 200:
        assert time.monotonic() < ends, "the calls did not reach the ledger"
        time.sleep(0.05)


def test_the_newest_come_first_and_pages_hold_each_once(house: House) -> None:
    whole = house.list()
    assert whole == ["twice", *reversed(MADE)]
    seen: list[str] = []
    cursor = ""
    for _ in range(20):
        told = house.get(f"{REQUESTS}?limit=3&cursor={cursor}" if cursor else f"{REQUESTS}?limit=3").json()
        seen += [each["request_id"] for each in told["results"]]
        cursor = told["next_cursor"]
        if cursor is None:
            break
    assert seen == whole


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("status=error", ["failed"]),
        ("error_code=provider_error", None),
        ("model=nobody-knows-it", ["unpriced"]),
        ("namespace=audited", ["kept"]),
        ("key=batch", ["twice", "failed"]),
        ("provider=openai&namespace=team-a", ["adapted", "streamed", "unpriced", "answered"]),
        ("request_id=twice", ["twice", "twice"]),
        ("request_id=twice&key=batch", ["twice"]),
        ("request_id=nobody-sent-it", []),
        ("operation=text_embedding", []),
        ("start=2020-01-01&end=2020-01-02", []),
    ],
)
def test_calls_are_picked(house: House, query: str, expected: list[str] | None) -> None:
    if expected is None:
        code = house.call("failed")["error_code"]
        assert code
        query, expected = f"error_code={code}", ["failed"]
    assert house.list(query) == expected


@pytest.mark.parametrize(
    "query",
    ["cursor=x", "cursor=999999999999999999_a", "limit=0", "limit=501", "status=what", "start=yesterday"],
)
def test_what_cannot_be_asked_is_refused(house: House, query: str) -> None:
    assert house.get(f"{REQUESTS}?{query}").status == 422


def test_one_call_tells_all_that_is_known_of_it(house: House) -> None:
    told = house.call("answered")
    assert (told["key_name"], told["namespace_name"], told["status"]) == ("backend", "team-a", "ok")
    assert told["tokens"] == {"prompt": 1000, "completion": 100, "total": 1100}
    assert told["cost_usd"] == 0.0035
    assert told["price_version"]
    assert told["usage"]["input"] == 1000
    (attempt,) = told["attempts"]
    assert attempt["outcome"] == "ok"
    assert 0 <= attempt["started_ms"] <= told["latency_ms"]
    assert attempt["cost_microusd"] == 3500
    assert house.call(told["record_id"]) == told


def test_attempts_tell_of_retries_and_fallbacks(house: House) -> None:
    told = house.call("retried")
    assert told["retries"] == 1
    assert [each["outcome"] == "ok" for each in told["attempts"]] == [False, True]
    told = house.call("fallen-back")
    assert [each["model"] for each in told["attempts"]][-1] == "fake-other"
    assert told["attempts"][0]["outcome"] != "ok"
    assert house.call("streamed")["first_event_ms"] > 0
    assert house.call("failed")["error_type"]


def test_what_was_adapted_is_told_by_name_alone(house: House) -> None:
    assert house.call("adapted")["adaptations"] == ["parameters.top_k: dropped"]
    assert house.call("answered")["adaptations"] == []


def test_a_call_without_a_price_is_not_free(house: House) -> None:
    told = house.call("unpriced")
    assert (told["cost_usd"], told["cost_microusd"]) == (None, None)


def test_of_several_calls_with_one_id_the_newest_is_told(house: House) -> None:
    assert house.call("twice")["namespace_name"] == "team-b"


def test_prompts_and_answers_are_in_none_of_it(house: House) -> None:
    assert b"only" not in house.get(f"{REQUESTS}/kept").body.replace(b"only-b", b"")
    assert house.call("kept")["keep_content"] == {"days": 7}
    assert house.call("answered")["keep_content"] is None


def test_a_key_sees_what_its_scopes_leave_in(house: House) -> None:
    assert house.list(key="only-b") == ["twice", "failed"]
    assert house.get(f"{REQUESTS}/answered", "only-b").json()["error"]["code"] == "request_not_found"
    assert house.call("twice", "only-b")["namespace_name"] == "team-b"
    assert house.get(f"{REQUESTS}?namespace=team-a", "only-b").status == 404
    assert house.list("key=backend", key="of-backend")[0] == "twice"
    assert house.call("answered", "of-backend")["key_name"] == "backend"
    assert house.get(f"{REQUESTS}/failed", "of-backend").status == 404
    assert house.list(key="stranger") == []
    assert house.get(f"{REQUESTS}/answered", "stranger").status == 404


def test_the_page_lists_calls_and_leads_to_each(house: House) -> None:
    page = house.page("/requests")
    links = re.findall(r'<a class="id" href="(/requests/[0-9a-f]+)">([^<]+)</a>', page)
    assert [name for _, name in links] == ["twice", *reversed(MADE)]
    assert "no price" in page
    for path, name in links:
        assert f"Request <code>{name}</code>" in house.page(path)


def test_the_pages_filters_pick_calls(house: House) -> None:
    assert "failed</a>" in house.page("/requests?status=error")
    assert ">answered</a>" not in house.page("/requests?status=error")
    assert ">answered</a>" in house.page("/requests?request_id=+answered+")
    assert "No calls in the last 7 days with these filters" in house.page(
        "/requests?period=7d&request_id=none"
    )
    assert 'role="alert">There is no such key' in house.page("/requests?key=none")
    assert 'role="alert"' in house.page("/requests?cursor=none")


def test_the_page_of_a_call_draws_its_time(house: House) -> None:
    page = house.page("/requests/retried")
    assert 'class="bad"' in page
    assert 'class="good"' in page
    assert "Attempt 2: fake/fake-chat" in page
    assert 'class="mark"' in house.page("/requests/streamed")
    assert "parameters.top_k: dropped" in house.page("/requests/adapted")
    assert "Failed: " in house.page("/requests/failed")


def test_a_name_of_a_model_is_text(house: House) -> None:
    for path in ("/requests", "/requests/hostile"):
        page = house.page(path)
        assert "<img src=x" not in page
        assert "&lt;img src=x" in page


def test_what_was_asked_is_shown_on_demand_and_that_is_in_the_audit_log(house: House) -> None:
    page = house.page("/requests/kept")
    assert "only &lt;b&gt;administrators" not in page
    assert "written to the audit log" in page
    before = _readings(house)
    opened = house.browser.submit("/requests/kept")
    assert opened.status == 200
    assert "that only &lt;b&gt;administrators&lt;/b&gt; read" in opened.body.decode()
    assert _readings(house) == before + 1
    assert "keeps nothing" in house.page("/requests/answered")


def test_who_is_no_administrator_does_not_read_what_was_asked(house: House) -> None:
    browser = Browser(house.gateway)
    assert browser.post("/sign-in", {"key": house.keys["backend"]}).status == 303
    page = browser.get("/requests/kept").body.decode()
    assert "only administrators may read it" in page
    assert 'name="csrf"' not in page.partition("<main")[2]
    assert browser.submit("/requests/kept").status == 403


def test_a_call_that_is_not_there_says_so(house: House) -> None:
    answer = house.browser.get("/requests/nobody-made-it")
    assert answer.status == 404
    assert "There is no such call" in answer.body.decode()


def test_ids_that_the_server_makes_begin_with_the_time(house: House) -> None:
    # Dry runs: calls would be in the lists that other tests look at.
    asked = {"provider": "fake", "model": "fake-chat", "dry_run": True}
    ids = [house.gateway.infer(**asked).json()["request_id"] for _ in range(3)]
    assert all(re.fullmatch("req_[0-9a-f]{24}", each) for each in ids)
    assert abs(int(ids[0][4:15], 16) / 1000 - time.time()) < 60
    assert [each[:15] for each in ids] == sorted(each[:15] for each in ids)


def _readings(house: House) -> int:
    told = house.get("/v1/organizations/audit/logs?action=namespace_accessed").json()
    return int(told["total"])
