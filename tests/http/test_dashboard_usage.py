"""The pages of usage and the overview, over a ledger of real calls: answered, failed, streamed, and one without a price."""

import asyncio
import csv
import io
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from inferway.access.records import Permission
from inferway.access.scopes import Scope
from tests.http.browsing import Browser
from tests.http.kit import EVENT_STREAM, Gateway, Reply, Upstream, chunks, completion, running

HOSTILE = 'fake-<img src=x onerror="alert(1)">'
FORMULA = "=HYPERLINK(1)"


class House:
    """A server in which six calls were made, and an administrator at its dashboard."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway, self.browser = gateway, Browser(gateway).sign_in()
        self.keys: dict[str, str] = {}
        self.ids: dict[str, str] = {}

    def page(self, path: str) -> str:
        answer = self.browser.get(path)
        assert answer.status == 200, answer.body.decode()
        return answer.body.decode()

    def infer(self, key: str, namespace: str, **fields: object) -> int:
        body = {"provider": "openai", "model": "gpt-4o", "inputs": {"prompts": ["hi"]}} | fields
        headers = self.gateway.headers(x_namespace=namespace) | {"authorization": f"Bearer {self.keys[key]}"}
        return self.gateway.request("POST", "/v1/inference", json.dumps(body).encode(), headers).status


@pytest.fixture(scope="module")
def house(session_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder: Path = tmp_path_factory.mktemp("usage-pages")
    with running(
        folder,
        OPENAI_API_KEY="sk-x",
        OPENAI_BASE_URL=f"{session_upstream.url}/v1",
        INFERWAY_PROVIDERS__FAKE__ENABLED="true",
        INFERWAY_JOURNAL__DRAIN_S="0.05",
    ) as gateway:
        made = House(gateway)
        assert "Nothing was called yet" in made.page("/")
        assert "No calls in the last 30 days" in made.page("/usage")
        asyncio.run(_furnish(made))
        _call(made, session_upstream)
        yield made


async def _furnish(house: House) -> None:
    office, directory = house.gateway.app.office, house.gateway.app.directory
    (organization,) = await directory.list_organizations()
    tenant = organization.organization_id
    user = await office.administration.require_user(tenant, "admin@localhost")
    for name in ("team-a", "team-b"):
        house.ids[name] = (await office.administration.create_namespace(tenant, name)).namespace_id
    scope = (Scope(resource_type="namespace", resource_id="team-b"),)
    for name, scopes in (("backend", ()), ("<b>batch</b>", ()), ("scoped", scope)):
        record, text = await office.administration.create_key(user, name, Permission.WRITE, scopes=scopes)
        house.keys[name], house.ids[name] = text, record.key_id


def _call(house: House, upstream: Upstream) -> None:
    told = completion(prompt_tokens=1000, completion_tokens=100, total_tokens=1100)
    upstream.answer = lambda _: Reply(told.replace(b"gpt-5.4-mini", b"unheard-of"))
    assert house.infer("backend", "team-a") == 200
    assert house.infer("backend", "team-a", model="nobody-knows-it") == 200
    upstream.answer = lambda _: Reply(b'{"error":{"message":"no"}}', status=400)
    assert house.infer("<b>batch</b>", "team-b") == 400
    upstream.answer = lambda _: Reply(chunks("a", "b"), headers=EVENT_STREAM)
    assert house.infer("backend", "team-a", stream=True) == 200
    assert house.infer("backend", "team-a", provider="fake", model=HOSTILE) == 200
    upstream.answer = lambda _: Reply(told)
    assert house.infer("backend", "team-a", model=FORMULA) == 200
    ends = time.monotonic() + 30
    while _calls(house) < 6:
        assert time.monotonic() < ends, "the calls did not reach the ledger"
        time.sleep(0.02)


def _calls(house: House) -> int:
    headers = {"authorization": f"Bearer {house.gateway.admin_key}"}
    told = house.gateway.request("GET", "/v1/organizations/usage", None, headers).json()
    return int(told["total"]["calls"])


def _figure(page: str, name: str) -> str:
    found = re.search(rf"<dt>{name}</dt><dd[^>]*>([^<]*)</dd>", page)
    assert found is not None, name
    return found[1]


def test_the_page_tells_what_the_ledger_knows(house: House) -> None:
    page = house.page("/usage")
    assert _figure(page, "Calls") == "6"
    assert _figure(page, "Errors") == "16.7 %"
    assert _figure(page, "p95 latency") != "–"
    assert page.count('<rect class="s1"') >= 1
    assert page.count("<polyline") + page.count("<circle") >= 3, "p50, p95 and p99"


def test_calls_without_a_price_are_told_loudly_and_with_what_to_do(house: House) -> None:
    page = house.page("/usage")
    assert "call has no price" in page or "calls have no price" in page
    assert "nobody-knows-it" in page
    assert "inferway usage reprice --apply" in page


@pytest.mark.parametrize("by", ["model", "key", "namespace", "provider", "operation"])
@pytest.mark.parametrize("measure", ["cost", "calls", "tokens", "errors"])
def test_it_groups_and_draws_by_everything(house: House, by: str, measure: str) -> None:
    page = house.page(f"/usage?by={by}&measure={measure}&period=24h")
    assert f"By {by}" in page
    assert "<figure" in page


def test_names_stand_for_ids(house: House) -> None:
    page = house.page("/usage?by=namespace")
    assert f'title="{house.ids["team-a"]}">team-a</a>' in page
    page = house.page("/usage?by=key")
    assert f'title="{house.ids["backend"]}">backend</a>' in page


def test_filters_pick_calls_and_can_be_taken_back(house: House) -> None:
    assert _figure(house.page("/usage?namespace=" + house.ids["team-b"]), "Calls") == "1"
    assert _figure(house.page("/usage?key=" + house.ids["backend"] + "&by=key&period=24h"), "Calls") == "5"
    assert _figure(house.page("/usage?provider=fake"), "Calls") == "1"
    page = house.page("/usage?status=error&model=gpt-4o&provider=openai")
    assert _figure(page, "Calls") == "1"
    assert "All calls</a>" in page
    assert '<option value="error" selected>' in page
    assert "There are no percentiles by status" in page


def test_what_cannot_be_picked_is_said_and_shows_everything(house: House) -> None:
    page = house.page("/usage?key=nobody-has-it")
    assert 'role="alert">There is no such key' in page
    assert _figure(page, "Calls") == "6"
    page = house.page("/usage?period=custom&start=x")
    assert "A date is written as" in page


def test_hostile_names_are_text(house: House) -> None:
    for path in (
        "/usage?by=model",
        "/usage?by=key",
        "/usage?model=%22%3E%3Cscript%3E",
        "/usage?by=key&period=24h",
    ):
        page = house.page(path)
        assert "<img src=x" not in page
        assert "<b>batch" not in page
        assert "<script>" not in page
        assert " style=" not in page
    assert "&lt;img src=x onerror=" in house.page("/usage?by=model")


def test_what_is_shown_can_be_exported(house: House) -> None:
    answer = house.browser.get("/usage/export/csv?by=model")
    assert answer.headers["content-disposition"].startswith('attachment; filename="usage-by-model-')
    rows = list(csv.DictReader(io.StringIO(answer.body.decode())))
    assert sum(int(row["calls"]) for row in rows) == 6
    assert "'" + FORMULA in {row["model"] for row in rows}
    assert {row["unpriced_calls"] for row in rows if row["model"] == "nobody-knows-it"} == {"1"}
    answer = house.browser.get("/usage/export/csv?by=key&rows=time")
    rows = list(csv.DictReader(io.StringIO(answer.body.decode())))
    assert {row["key_name"] for row in rows} == {"backend", "<b>batch</b>"}
    assert all(row["day"].endswith("T00:00:00Z") for row in rows)
    told = house.browser.get("/usage/export/json?by=namespace&namespace=" + house.ids["team-b"]).json()
    assert [group["namespace_name"] for group in told["groups"]] == ["team-b"]


def test_the_overview_tells_of_today_and_of_what_wants_attention(house: House) -> None:
    page = house.page("/")
    assert _figure(page, "Calls") == "6"
    assert "Nothing was called yet" not in page
    assert "no price: the cost is in none of these figures" in page
    assert page.count("<figure") == 2


def test_a_budget_that_is_nearly_spent_is_told(house: House) -> None:
    headers = {"authorization": f"Bearer {house.gateway.admin_key}", "content-type": "application/json"}

    def limit(usd: float | None) -> None:
        body = json.dumps({"spend_limits": {"daily_usd": usd, "monthly_usd": usd}}).encode()
        assert house.gateway.request("PATCH", "/v1/organizations", body, headers).status == 200

    limit(0.003)
    page = house.page("/")
    limit(None)
    assert "daily budget of" in page
    assert "monthly budget of" in page


def test_a_key_with_scopes_sees_what_lies_within_them(house: House) -> None:
    browser = Browser(house.gateway)
    assert browser.post("/sign-in", {"key": house.keys["scoped"]}).status == 303
    page = browser.get("/usage").body.decode()
    assert _figure(page, "Calls") == "1"
    assert "team-a" not in page
    assert browser.get("/").status == 200
    assert browser.get("/usage/export/json?by=namespace").json()["total"]["calls"] == 1
