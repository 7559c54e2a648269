"""Every answer says where the time went: inference, streams, errors, administration, metrics."""

import json
import re

import pytest

from tests.http.kit import EVENT_STREAM, Gateway, Reply, Upstream, chunks

FORM = re.compile(r"gateway;dur=(\d+\.\d\d), upstream;dur=(\d+\.\d\d)")


def told(headers: dict[str, str]) -> tuple[float, float]:
    found = FORM.fullmatch(headers["server-timing"])
    assert found is not None, headers["server-timing"]
    return float(found[1]), float(found[2])


@pytest.mark.parametrize("fields", [{}, {"provider": "nobody"}, {"inputs": 7}])
def test_inference_and_its_errors(gateway: Gateway, upstream: Upstream, fields: dict[str, object]) -> None:
    own_ms, upstream_ms = told(gateway.infer(**fields).headers)
    assert own_ms > 0
    assert (upstream_ms > 0) == (not fields)


def test_a_stream(gateway: Gateway, upstream: Upstream) -> None:
    upstream.answer = lambda _: Reply(chunks("a"), headers=EVENT_STREAM)
    assert told(gateway.infer(stream=True).headers)[0] > 0


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/health", 200),
        ("GET", "/v1/organizations", 200),
        ("GET", "/metrics", 200),
        ("GET", "/v1/namespaces/nowhere", 404),
        ("GET", "/nowhere", 404),
        ("PATCH", "/v1/health", 405),
        ("POST", "/v1/namespaces", 422),
    ],
)
def test_other_routes_count_their_own_time(gateway: Gateway, method: str, path: str, status: int) -> None:
    headers = {"authorization": f"Bearer {gateway.admin_key}", "content-type": "application/json"}
    body = json.dumps({"unknown": 1}).encode() if method == "POST" else None
    answer = gateway.request(method, path, body, headers)
    assert answer.status == status
    own_ms, upstream_ms = told(answer.headers)
    assert own_ms > 0
    assert upstream_ms == 0


def test_a_request_without_a_key(gateway: Gateway) -> None:
    assert told(gateway.request("GET", "/v1/organizations").headers)[0] > 0
    assert told(gateway.request("POST", "/v1/inference", b"{}").headers)[0] >= 0
