"""Traces and metrics of real calls, received over OTLP/HTTP and held against the semantic conventions."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics
from opentelemetry.semconv.attributes import (
    error_attributes,
    http_attributes,
    server_attributes,
    service_attributes,
    url_attributes,
)

from tests.http.kit import EVENT_STREAM, Gateway, Reply, Upstream, chunks, completion, running
from tests.upstreams.collector import Collector, attributes, collecting

CONVENTIONS = {
    value
    for module in (gen_ai_attributes, error_attributes, http_attributes, server_attributes, url_attributes)
    for value in vars(module).values()
    if isinstance(value, str)
}
SERVER, CLIENT, ERROR = 2, 3, 2
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
ANTHROPIC = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-haiku-4-5-20251001",
    "content": [{"type": "text", "text": "canary-answer"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 11, "output_tokens": 7},
}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as started:
        yield started


@pytest.fixture
def served(session_upstream: Upstream, collector: Collector, tmp_path: Path) -> Iterator[Gateway]:
    session_upstream.seen.clear()
    session_upstream.answer = _answer
    base = session_upstream.url
    with running(
        tmp_path,
        OPENAI_API_KEY="sk-upstream-canary",
        OPENAI_BASE_URL=f"{base}/v1",
        ANTHROPIC_API_KEY="anthropic-canary",
        ANTHROPIC_BASE_URL=base,
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_EXPORTER_OTLP_HEADERS="x-collector-token=token%20one",
        INFERWAY_OTEL__METRICS_EVERY_S="0.3",
        INFERWAY_CALLS__ATTEMPTS="2",
    ) as gateway:
        yield gateway


def _answer(seen: Any) -> Reply:
    if "chat/completions" in seen.path:
        return Reply(b'{"error":{"message":"canary-message"}}', status=500)
    return Reply(json.dumps(ANTHROPIC).encode())


def fall_back(gateway: Gateway, **headers: str) -> None:
    body = {
        "provider": "openai",
        "model": "gpt-5.4-mini",
        "fallbacks": [{"provider": "anthropic", "model": "claude-haiku-4-5"}],
        "inputs": {"prompts": ["canary-prompt"]},
        "parameters": {"temperature": 0.25, "max_tokens": 64},
    }
    answer = gateway.request("POST", "/v1/inference", json.dumps(body).encode(), gateway.headers(**headers))
    assert answer.status == 200, answer.body


def test_a_fallback_call_is_a_server_span_over_a_client_span_for_each_try(
    served: Gateway, collector: Collector, session_upstream: Upstream
) -> None:
    before_ns = time.time_ns()
    fall_back(served, traceparent=TRACEPARENT, tracestate="vendor=1")
    collector.wait(collector.spans, "spans came")
    spans = sorted(collector.spans(), key=lambda span: int(span.start_time_unix_nano))
    server, *tries = spans
    assert (server.name, server.kind) == ("POST /v1/inference", SERVER)
    assert {span.trace_id.hex() for span in spans} == {"4bf92f3577b34da6a3ce929d0e0e4736"}
    assert server.parent_span_id.hex() == "00f067aa0ba902b7"
    assert {span.parent_span_id for span in tries} == {server.span_id}
    assert {span.kind for span in tries} == {CLIENT}
    told = attributes(server)
    assert told["http.response.status_code"] == 200
    assert told["inferway.status"] == "ok"

    failed, answered = tries[0], tries[-1]
    assert failed.name == "chat gpt-5.4-mini"
    assert failed.status.code == ERROR
    assert attributes(failed)["error.type"] == "provider_error"
    assert answered.name == "chat claude-haiku-4-5"
    assert answered.status.code == 0
    assert attributes(answered) == {
        gen_ai_attributes.GEN_AI_OPERATION_NAME: "chat",
        gen_ai_attributes.GEN_AI_PROVIDER_NAME: "anthropic",
        gen_ai_attributes.GEN_AI_REQUEST_MODEL: "claude-haiku-4-5",
        gen_ai_attributes.GEN_AI_RESPONSE_MODEL: "claude-haiku-4-5-20251001",
        gen_ai_attributes.GEN_AI_REQUEST_TEMPERATURE: 0.25,
        gen_ai_attributes.GEN_AI_REQUEST_MAX_TOKENS: 64,
        gen_ai_attributes.GEN_AI_USAGE_INPUT_TOKENS: 11,
        gen_ai_attributes.GEN_AI_USAGE_OUTPUT_TOKENS: 7,
        server_attributes.SERVER_ADDRESS: "127.0.0.1",
        server_attributes.SERVER_PORT: int(session_upstream.url.rpartition(":")[2]),
    }
    for span in spans:
        assert before_ns - 1e9 < span.start_time_unix_nano <= span.end_time_unix_nano < time.time_ns() + 1e9
        names = {name for name in attributes(span) if not name.startswith("inferway.")}
        assert names <= CONVENTIONS, names - CONVENTIONS
    assert server.end_time_unix_nano >= answered.end_time_unix_nano


def test_the_metrics_have_the_names_units_and_buckets_of_the_conventions(
    served: Gateway, collector: Collector
) -> None:
    fall_back(served)
    names = {gen_ai_metrics.GEN_AI_CLIENT_TOKEN_USAGE, gen_ai_metrics.GEN_AI_CLIENT_OPERATION_DURATION}
    collector.wait(lambda: names <= collector.metrics().keys(), "metrics came")
    metrics = collector.metrics()
    tokens = metrics[gen_ai_metrics.GEN_AI_CLIENT_TOKEN_USAGE]
    assert tokens.unit == "{token}"
    sums = {attributes(point)["gen_ai.token.type"]: point.sum for point in tokens.histogram.data_points}
    assert sums == {"input": 11, "output": 7}
    assert list(tokens.histogram.data_points[0].explicit_bounds) == [4**power for power in range(14)]
    durations = metrics[gen_ai_metrics.GEN_AI_CLIENT_OPERATION_DURATION]
    assert durations.unit == "s"
    assert list(durations.histogram.data_points[0].explicit_bounds) == [
        *(0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
    ]
    failures = [attributes(point).get("error.type") for point in durations.histogram.data_points]
    assert sorted(map(str, failures)) == ["None", "provider_error"]
    for metric in (tokens, durations):
        for point in metric.histogram.data_points:
            assert set(attributes(point)) <= CONVENTIONS
            assert attributes(point)["gen_ai.operation.name"] == "chat"
    resource = attributes(collector.metric_exports[0].resource_metrics[0].resource)
    assert resource[service_attributes.SERVICE_NAME] == "inferway"


def test_no_content_and_no_secret_is_told_and_nothing_is_passed_on(
    served: Gateway, collector: Collector, session_upstream: Upstream
) -> None:
    fall_back(served, traceparent=TRACEPARENT)
    collector.wait(lambda: collector.spans() and collector.metrics(), "both came")
    said = b"".join(collector.bodies)
    for secret in (b"canary", served.inference_key.encode(), served.admin_key.encode()):
        assert secret not in said
    assert collector.headers["x-collector-token"] == "token one"
    assert all("traceparent" not in seen.headers for seen in session_upstream.seen)


def test_a_stream_tells_its_time_to_the_first_chunk(
    served: Gateway, collector: Collector, session_upstream: Upstream
) -> None:
    session_upstream.answer = lambda _: Reply(chunks("a", "b"), headers=EVENT_STREAM)
    assert served.infer(stream=True).status == 200
    collector.wait(lambda: len(collector.spans()) >= 2, "spans came")
    (client,) = (span for span in collector.spans() if span.kind == CLIENT)
    told = attributes(client)
    assert told[gen_ai_attributes.GEN_AI_REQUEST_STREAM] is True
    assert told[gen_ai_attributes.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK] >= 0


def test_a_caller_that_does_not_sample_is_not_traced_and_a_refused_call_is(
    served: Gateway, collector: Collector
) -> None:
    fall_back(served, traceparent=TRACEPARENT[:-1] + "0")
    assert served.infer(provider="nobody").status == 400
    collector.wait(collector.spans, "the refused call came")
    (span,) = collector.spans()
    assert attributes(span)["http.response.status_code"] == 400
    assert span.parent_span_id == b""


def test_a_collector_that_is_away_fails_and_delays_no_call(
    served: Gateway, collector: Collector, session_upstream: Upstream
) -> None:
    session_upstream.answer = lambda _: Reply(completion())
    collector.status = 400
    for _ in range(3):
        assert served.infer().status == 200
    collector.wait(lambda: served.app.watching.dropped >= 3, "the loss is counted")
    collector.status = 200
    assert served.infer().status == 200
    collector.wait(collector.spans, "it is told again")


def test_without_an_endpoint_nothing_is_imported_and_nothing_wraps_the_route(
    session_upstream: Upstream, tmp_path: Path
) -> None:
    with running(tmp_path) as gateway:
        assert type(gateway.app._front._inference).__name__ == "InferenceEndpoint"
