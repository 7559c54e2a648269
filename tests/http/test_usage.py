"""Usage and cost over HTTP: the published `mixpeek` client reads it, and a key sees what its scopes leave in."""

import asyncio
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import mixpeek
import pytest
from mixpeek.api.analytics_usage_api import AnalyticsUsageApi
from mixpeek.api.organization_usage_api import OrganizationUsageApi

from inferway.access.records import Permission
from inferway.access.scopes import Scope
from tests.http.kit import Gateway, Reply, Upstream, completion, running

ADMIN = "admin@localhost"
PERFORMANCE = "/v1/analytics/inference/performance"


class House:
    """A server in which three calls were made: two answered in two namespaces, by two keys, and one that failed."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.keys: dict[str, str] = {}
        self.ids: dict[str, str] = {}

    def get(self, path: str, key: str = "admin") -> Any:
        return self.gateway.request("GET", path, headers={"authorization": f"Bearer {self.keys[key]}"})

    def client(self, key: str = "admin") -> mixpeek.ApiClient:
        made = mixpeek.ApiClient(mixpeek.Configuration(host=self.gateway.url))
        made.default_headers["Authorization"] = f"Bearer {self.keys[key]}"
        return made

    def infer(self, key: str, namespace: str, **fields: Any) -> int:
        body = {"provider": "openai", "model": "gpt-4o", "inputs": {"prompts": ["hi"]}} | fields
        headers = self.gateway.headers(x_namespace=namespace) | {"authorization": f"Bearer {self.keys[key]}"}
        return self.gateway.request("POST", "/v1/inference", json.dumps(body).encode(), headers).status


@pytest.fixture(scope="module")
def house(session_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder: Path = tmp_path_factory.mktemp("usage")
    with running(
        folder,
        OPENAI_API_KEY="sk-x",
        OPENAI_BASE_URL=f"{session_upstream.url}/v1",
        INFERWAY_JOURNAL__DRAIN_S="0.05",
    ) as gateway:
        made = House(gateway)
        asyncio.run(_furnish(made))
        session_upstream.answer = lambda _: Reply(
            completion(prompt_tokens=1000, completion_tokens=100, total_tokens=1100).replace(
                b"gpt-5.4-mini", b"unheard-of"
            )
        )
        assert made.infer("one", "team-a") == 200
        assert made.infer("two", "team-b", model="nobody-knows-it") == 200
        session_upstream.answer = lambda _: Reply(b'{"error":{"message":"no"}}', status=400)
        assert made.infer("one", "team-a") == 400
        ends = time.monotonic() + 30
        while made.get("/v1/organizations/usage").json()["total"]["calls"] < 3:
            assert time.monotonic() < ends, "the calls did not reach the ledger"
            time.sleep(0.02)
        yield made


async def _furnish(house: House) -> None:
    office, directory = house.gateway.app.office, house.gateway.app.directory
    administration = office.administration
    (organization,) = await directory.list_organizations()
    user = await administration.require_user(organization.organization_id, ADMIN)
    house.keys["admin"] = house.gateway.admin_key
    for name in ("team-a", "team-b"):
        house.ids[name] = (
            await administration.create_namespace(organization.organization_id, name)
        ).namespace_id
    scope = (Scope(resource_type="namespace", resource_id="team-a"),)
    for name, scopes in (("one", ()), ("two", ()), ("scoped", scope)):
        record, text = await administration.create_key(user, name, Permission.WRITE, scopes=scopes)
        house.keys[name], house.ids[name] = text, record.key_id
    _, house.keys["stranger"] = await administration.create_tenant("Other", "other@other.example")


def test_the_organization_sees_all_that_was_used(house: House) -> None:
    told = OrganizationUsageApi(house.client()).get_org_usage_organizations()
    total: Any = told["total"]
    assert (total["calls"], total["errors"], total["unpriced_calls"]) == (3, 1, 1)
    assert total["tokens"] == {"prompt": 2000, "completion": 200, "total": 2200}
    assert total["cost_microusd"] == 2500 + 1000, "the other model has no known price, which is not 0"
    by_model: Any = told["by_model"]
    assert {each["model"]: each["unpriced_calls"] for each in by_model} == {"gpt-4o": 0, "nobody-knows-it": 1}
    by_key: Any = told["by_key"]
    assert {each["key_id"]: each["calls"] for each in by_key} == {house.ids["one"]: 2, house.ids["two"]: 1}
    by_day: Any = told["by_day"]
    assert sum(each["calls"] for each in by_day) == 3


def test_a_range_leaves_out_what_lies_outside(house: House) -> None:
    api = OrganizationUsageApi(house.client())
    future = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    past = (datetime.now(UTC) - timedelta(days=9)).isoformat()
    nothing: Any = api.get_org_usage_organizations(
        start=future, end=(datetime.now(UTC) + timedelta(days=2)).isoformat()
    )
    assert nothing["total"]["calls"] == 0
    assert nothing["by_model"] == []
    everything: Any = api.get_org_usage_organizations(start=past, end=future)
    assert everything["total"]["calls"] == 3
    refused = house.get("/v1/organizations/usage?start=2026-02-01T00:00:00Z&end=2026-01-01T00:00:00Z")
    assert refused.status == 422
    assert house.get("/v1/organizations/usage?start=yesterday").status == 422


@pytest.mark.parametrize("form", ["{id}", "{name}"])
def test_a_keys_own_usage_by_id_or_name(house: House, form: str) -> None:
    reference = form.format(id=house.ids["one"], name="one")
    api = OrganizationUsageApi(house.client())
    told: Any = api.get_key_usage_organizations(reference)
    assert (told["key_id"], told["total"]["calls"], told["total"]["cost_microusd"]) == (
        house.ids["one"],
        2,
        3500,
    )
    rows: Any = api.get_key_breakdown_organizations_id_usage_endpoints(reference)
    assert [(row["operation"], row["calls"], row["errors"]) for row in rows] == [("chat", 2, 1)]
    path = f"/v1/organizations/users/{ADMIN}/api-keys/{reference}/usage"
    assert house.get(path).json()["total"] == told["total"]
    assert house.get(path + "/endpoints").json() == rows


def test_scopes_bound_what_a_key_sees(house: House) -> None:
    told = house.get("/v1/organizations/usage", "scoped").json()
    assert told["total"]["calls"] == 2
    assert [each["namespace_id"] for each in told["by_namespace"]] == [house.ids["team-a"]]
    assert house.get(f"/v1/organizations/api-keys/{house.ids['one']}/usage", "scoped").status == 404
    own = house.get(f"/v1/organizations/api-keys/{house.ids['scoped']}/usage", "scoped").json()
    assert own["total"]["calls"] == 0
    assert [each["model"] for each in house.get(PERFORMANCE, "scoped").json()] == ["gpt-4o"]
    assert house.get("/v1/organizations/usage", "stranger").json()["total"]["calls"] == 0
    assert house.get(f"/v1/organizations/api-keys/{house.ids['one']}/usage", "stranger").status == 404


def test_performance_is_told_by_model(house: House) -> None:
    rows = house.get(f"{PERFORMANCE}?hours=2").json()
    assert [(row["model_name"], row["count"], row["errors"]) for row in rows] == [
        ("gpt-4o", 2, 1),
        ("nobody-knows-it", 1, 0),
    ]
    first = rows[0]
    assert first["error_rate"] == 0.5
    assert first["tokens"]["total"] == 1100
    assert 0 < first["p50_ms"] <= first["p95_ms"] <= first["p99_ms"]
    for name in ("gpt-4o", "openai/gpt-4o"):
        assert [row["model"] for row in house.get(f"{PERFORMANCE}?model_name={name}").json()] == ["gpt-4o"]
    assert house.get(f"{PERFORMANCE}?model_name=other").json() == []
    assert house.get(f"{PERFORMANCE}?hours=0").status == 422


def test_the_summary_tells_each_operations_cost(house: House) -> None:
    told: Any = AnalyticsUsageApi(house.client()).get_usage_summary_analytics()
    assert told["total_cost"] == 0.0035
    assert [(row["operation_type"], row["cost_usd"]) for row in told["usage"]] == [("chat", 0.0035)]


def told(house: House, query: str, key: str = "admin") -> Any:
    answer = house.get(f"/v1/organizations/usage?{query}", key)
    assert answer.status == 200, answer.json()
    return answer.json()


def test_usage_by_day_and_model_is_what_a_chart_needs(house: House) -> None:
    answer = told(house, "group_by=day,model")
    days = {each["day"] for each in answer["groups"]}
    assert all(datetime.fromisoformat(day).hour == 0 for day in days)
    assert [(each["model"], each["calls"], each["errors"]) for each in answer["groups"]] == [
        ("gpt-4o", 2, 1),
        ("nobody-knows-it", 1, 0),
    ]
    for group in (*answer["groups"], answer["total"]):
        latencies = group["latency_ms"]
        assert 0 < latencies["p50"] <= latencies["p95"] <= latencies["p99"]
    assert set(answer) == {"organization_id", "start", "end", "total", "groups"}


def test_usage_is_picked_by_each_of_its_dimensions(house: House) -> None:
    one, two = house.ids["one"], house.ids["team-b"]
    for query, calls in {
        "model=gpt-4o": 2,
        "provider=openai": 3,
        "provider=google": 0,
        "namespace=team-b": 1,
        "namespace=team-a,team-b": 3,
        f"namespace=team-a&namespace={two}": 3,
        "namespace=ns_gone": 0,
        f"key={one}": 2,
        "key=one&model=nobody-knows-it": 0,
        "operation=chat": 3,
        "operation=vision": 0,
        "status=error": 1,
        "status=ok&key=one": 1,
    }.items():
        assert told(house, query)["total"]["calls"] == calls, query
        by_status = told(house, f"{query}&group_by=status,namespace")["groups"]
        assert sum(each["calls"] for each in by_status) == calls, query
        assert all(each["statuses"] == {each["status"]: each["calls"]} for each in by_status)
        assert all("p50" not in each["latency_ms"] for each in by_status), "histograms know no status"


@pytest.mark.parametrize(
    "query",
    [
        "group_by=moon",
        "group_by=day,model,key,namespace",
        "group_by=hour&start=2026-01-01",
        "operation=singing",
        "status=fine",
    ],
)
def test_what_cannot_be_asked_of_usage_is_refused(house: House, query: str) -> None:
    answer = house.get(f"/v1/organizations/usage?{query}")
    assert answer.status == 422
    assert answer.json()["error"]["details"]["validation_errors"][0]["location"][0] == "query"


def test_a_name_out_of_scope_picks_nothing(house: House) -> None:
    assert told(house, "namespace=team-a", "scoped")["total"]["calls"] == 2
    for query in ("namespace=team-b", f"namespace={house.ids['team-b']}", "namespace=ns_gone", "key=one"):
        assert house.get(f"/v1/organizations/usage?{query}", "scoped").status == 404, query
    assert house.get("/v1/organizations/usage?namespace=team-a", "stranger").status == 404
    own = house.get(f"/v1/organizations/api-keys/{house.ids['one']}/usage?group_by=hour,operation")
    assert [each["operation"] for each in own.json()["groups"]] == ["chat"]
    assert "p50" not in own.json()["groups"][0]["latency_ms"], "there are no histograms by key and hour"
