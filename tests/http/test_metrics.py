"""`/metrics` of a server in this process, read by the Prometheus client's own parser."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from tests.http.kit import Answered, Gateway, Reply, Upstream, chunks, completion, running

MODEL = {"provider": "openai", "model": "gpt-5.4-mini"}


@pytest.fixture
def served(session_upstream: Upstream, tmp_path: Path) -> Iterator[Gateway]:
    session_upstream.answer = lambda _: Reply(completion())
    environ = {"OPENAI_API_KEY": "sk-upstream-canary", "OPENAI_BASE_URL": f"{session_upstream.url}/v1"}
    with running(tmp_path, **environ) as gateway:
        yield gateway


def scrape(gateway: Gateway, key: str | None = None, accept: str = "") -> Answered:
    headers = {"authorization": f"Bearer {gateway.admin_key if key is None else key}", "accept": accept}
    return gateway.request("GET", "/metrics", headers=headers)


def samples(gateway: Gateway) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    page = scrape(gateway)
    assert page.status == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for metric in parse(page.body.decode())
        for sample in metric.samples
    }


def value(gateway: Gateway, name: str, **labels: str) -> float:
    return samples(gateway)[name, tuple(sorted(labels.items()))]


def test_a_call_shows_at_once_with_its_tokens_cost_and_attempt(served: Gateway) -> None:
    assert served.infer().status == 200
    found = samples(served)

    def told(name: str, **labels: str) -> float:
        return found[name, tuple(sorted((MODEL | labels).items()))]

    assert told("inferway_calls_total", operation="chat", status="ok", error="") == 1
    assert told("inferway_tokens_total", meter="input") == 3
    assert told("inferway_tokens_total", meter="output") == 2
    assert told("inferway_attempts_total", outcome="ok") == 1
    assert told("inferway_cost_microdollars_total") > 0
    assert found["inferway_workers", ()] == 1
    assert found["process_resident_memory_bytes", (("worker", "0"),)] > 1e6
    assert found["process_open_fds", (("worker", "0"),)] > 3
    assert found["inferway_uptime_seconds", ()] >= 0
    assert any(name == "inferway_build_info" for name, _ in found)


def test_an_answer_that_is_given_again_is_a_call_that_used_nothing(served: Gateway) -> None:
    body = json.dumps({**MODEL, "inputs": {"prompts": ["hello"]}}).encode()
    for _ in range(2):
        headers = served.headers(**{"idempotency-key": "once"})
        assert served.request("POST", "/v1/inference", body, headers).status == 200
    found = samples(served)
    labels = tuple(sorted({**MODEL, "operation": "chat", "status": "ok", "error": ""}.items()))
    assert found["inferway_calls_total", labels] == 2
    assert found["inferway_tokens_total", tuple(sorted({**MODEL, "meter": "input"}.items()))] == 3


def test_a_stream_shows_its_time_to_the_first_token(served: Gateway, session_upstream: Upstream) -> None:
    session_upstream.answer = lambda _: Reply(chunks("a", "b"), headers={"content-type": "text/event-stream"})
    assert served.infer(stream=True).status == 200
    assert value(served, "inferway_time_to_first_token_seconds_count", **MODEL) == 1


def test_failures_and_refusals_are_counted_by_their_code(served: Gateway, session_upstream: Upstream) -> None:
    session_upstream.answer = lambda _: Reply(b'{"error":{"message":"no"}}', status=400)
    assert served.infer(model="made-up-model").status == 400
    assert served.request("POST", "/v1/inference", b"{}", {"content-type": "application/json"}).status == 401
    assert served.infer(provider="nobody").status == 400
    found = samples(served)
    refused = [labels for name, labels in found if name == "inferway_error_answers_total"]
    codes = {dict(labels)["code"] for labels in refused}
    assert {"provider_refused", "unknown_provider"} <= codes
    assert "401" in {dict(labels)["status"] for labels in refused}
    models = {dict(labels)["model"] for name, labels in found if name == "inferway_calls_total"}
    assert models == {"other"}


def test_other_routes_are_counted_by_pattern_and_never_by_path(served: Gateway) -> None:
    served.request("GET", "/v1/health")
    served.request(
        "GET", "/v1/namespaces/canary-path", headers={"authorization": f"Bearer {served.admin_key}"}
    )
    served.request("PROPFIND", "/canary-path")
    labels = {"route": "/v1/health", "method": "GET", "status": "200"}
    assert value(served, "inferway_http_requests_total", **labels) == 1
    unknown = {"route": "other", "method": "other", "status": "404"}
    assert value(served, "inferway_http_requests_total", **unknown) == 1
    assert "canary-path" not in scrape(served).body.decode()


def test_it_speaks_openmetrics_to_who_asks_for_it(served: Gateway) -> None:
    page = scrape(served, accept="application/openmetrics-text; version=1.0.0")
    assert page.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert page.body.endswith(b"# EOF\n")
    assert scrape(served).headers["content-type"].startswith("text/plain; version=0.0.4")


def test_only_an_admin_key_without_scopes_of_the_first_organization_gets_in(served: Gateway) -> None:
    assert served.request("GET", "/metrics").status == 401
    assert scrape(served, served.inference_key).status == 403
    path = "/v1/organizations/users/admin@localhost/api-keys"
    scopes = [{"resource_type": "namespace", "resource_id": "default"}]
    body = {"name": "scoped", "permissions": ["admin"], "scopes": scopes}
    headers = {"authorization": f"Bearer {served.admin_key}", "content-type": "application/json"}
    scoped = served.request("POST", path, json.dumps(body).encode(), headers).json()["key"]
    answer = scrape(served, scoped)
    assert (answer.status, answer.json()["error"]["code"]) == (403, "scope_denied")


def test_no_key_id_namespace_or_text_of_a_call_is_told(served: Gateway, session_upstream: Upstream) -> None:
    session_upstream.answer = lambda _: Reply(completion("canary-answer"))
    served.infer(inputs={"prompts": ["canary-prompt"]})
    page = scrape(served).body.decode()
    assert "canary" not in page
    assert not re.search(r"\b(?:sk|key|ns|org|user|req|rec)_\w{8}", page)


def test_switched_off_there_is_no_page_and_no_file(session_upstream: Upstream, tmp_path: Path) -> None:
    with running(tmp_path, INFERWAY_METRICS__ENABLED="false") as gateway:
        assert scrape(gateway).status == 404
        assert gateway.app.watching.observer is None
        assert not (tmp_path / "metrics").exists()
