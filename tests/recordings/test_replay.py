"""Every recorded exchange through the running server: the request that left, and the answer or error that came back."""

import base64
import json
from collections import Counter
from typing import Any

import jsonschema_rs
import pytest

from tests.recordings.answers import Expected, Said, expect, sse_data
from tests.recordings.book import CHECKS, Entry, Recording, file_names, load, manifest
from tests.recordings.calls_google import canonical
from tests.recordings.differences import ALLOWED_QUERY, unexplained
from tests.recordings.errors import expect_failure, leaks, names_sampling, retry_after
from tests.recordings.gateway import PROVIDER_KEY, Gateway, Reply
from tests.recordings.replaying import (
    ERROR_TIMEOUT_S,
    Exchange,
    check_headers,
    most_checks,
    replay,
    sent_body,
)
from tests.recordings.upstream import Asked, ReplayUpstream

pytestmark = pytest.mark.recordings

_FILES = file_names() or ["(no recordings here)"]


def test_every_recording_is_classified_and_every_entry_has_its_recording() -> None:
    classified, here = set(manifest()), set(file_names())
    assert here - classified == set(), "recordings that the manifest does not name"
    assert classified - here == set(), "entries of the manifest without a recording"


def test_every_entry_says_why_not_everything_is_checked() -> None:
    for name, entry in manifest().items():
        partly = entry.checks not in ("request+answer", "request+error")
        assert bool(entry.because) is partly, name


@pytest.mark.parametrize("name", _FILES)
def test_as_much_is_checked_as_can_be(name: str) -> None:
    recording = load(name)
    most, reason = most_checks(recording)
    entry = manifest().get(name, Entry(checks=most))
    assert entry.checks == most, f"{most} can be checked{': ' * bool(reason)}{reason}"


@pytest.mark.parametrize("name", _FILES)
def test_a_recording_replays(
    name: str, gateway: Gateway, upstream: ReplayUpstream, counts: Counter[str]
) -> None:
    recording = load(name)
    checks, _ = most_checks(recording)
    assert checks in CHECKS
    exchange = replay(recording, gateway, upstream)
    assert exchange.asked, f"nothing was asked of the provider: {exchange.reply.status} {exchange.reply.body}"
    if checks.startswith("request"):
        _check_request(recording, exchange, gateway.key)
        counts["requests compared"] += 1
    if checks.endswith("answer"):
        _check_answer(recording, exchange)
        counts["answers compared"] += 1
    elif checks.endswith("error"):
        _check_error(recording, exchange, gateway)
        counts["errors compared"] += 1
    else:
        _check_refused_answer(exchange.reply)
        counts["foreign answers refused"] += 1


def _check_request(recording: Recording, exchange: Exchange, caller_key: str) -> None:
    told = frozenset(item["field"] for item in (_body(exchange.reply).get("adaptations") or []))
    for asked in exchange.asked:
        _check_address(recording, asked)
        assert check_headers(recording, asked, caller_key) == []
        sent, recorded = sent_body(asked), recording.request.body
        if "multipart" in recorded:
            recorded = _form_fields(recorded["multipart"])
        if recording.provider == "google":
            sent, recorded = canonical(sent), canonical(recorded)
        assert unexplained(recording, recorded, sent, told) == []


def _check_address(recording: Recording, asked: Asked) -> None:
    assert (asked.method, asked.path) == (recording.request.method, recording.request.path)
    recorded = {name: value for name, value in recording.request.query.items() if name not in ALLOWED_QUERY}
    wanted = recorded | ({"alt": "sse"} if recording.method == "streamGenerateContent" else {})
    assert asked.query == wanted


def _form_fields(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Recorded parts in the shape of `sent_body`: their order says nothing."""
    fields: dict[str, Any] = {}
    for part in parts:
        if "base64" in part:
            content = base64.b64decode(part["base64"])
            fields[part["name"]] = {
                "filename": part.get("filename"),
                "content_type": part.get("content_type"),
                "content": content,
            }
        else:
            fields.setdefault(part["name"], []).append(part["value"])
    return fields


def _body(reply: Reply) -> dict[str, Any]:
    """The answer or the error, streamed or not."""
    found: dict[str, Any] = reply.events[-1][1] if reply.events else reply.body
    return found


def _check_answer(recording: Recording, exchange: Exchange) -> None:
    reply, expected = exchange.reply, expect(recording)
    answer = _body(reply)
    assert reply.status == 200, answer
    if exchange.call.stream:
        _check_stream(reply)
    assert len(exchange.asked) == 1
    assert (answer["provider"], answer["model"]) == (recording.row.name, recording.model)
    assert answer["model_version"] == _other_model(recording)
    assert answer["cached"] is False
    assert answer["latency_ms"] > 0
    _check_tokens(answer["tokens_used"], expected)
    if expected.vectors is not None:
        _check_vectors(answer["data"], expected.vectors, exchange.call.inputs)
    elif expected.transcript is not None:
        assert answer["data"] == expected.transcript
    else:
        _check_completion(answer["data"], expected.choices, exchange)


def _other_model(recording: Recording) -> str | None:
    """The model that the provider says it ran, if it is not the one asked for by name."""
    body, found = recording.response.body, None
    chunks = (
        sse_data(body)
        if recording.response.body_type == "sse"
        else body
        if isinstance(body, list)
        else [body]
    )
    for chunk in filter(lambda chunk: isinstance(chunk, dict), chunks):
        found = (
            chunk.get("model")
            or chunk.get("modelVersion")
            or (chunk.get("message") or {}).get("model")
            or found
        )
    return None if found == recording.model else found


def _check_tokens(used: dict[str, int] | None, expected: Expected) -> None:
    """The provider's counts; without them none, or an estimate that adds up."""
    if expected.counted:
        assert used == expected.tokens
    elif used is not None:
        assert all(type(count) is int and count >= 0 for count in used.values())
        assert used["prompt"] + used["completion"] == used["total"]


def _check_vectors(data: dict[str, Any], vectors: list[list[float]], inputs: dict[str, Any]) -> None:
    if "texts" in inputs:
        assert data == {"embeddings": vectors}
    else:
        assert data == {"embedding": vectors[0]}


def _check_completion(data: dict[str, Any], choices: list[Said], exchange: Exchange) -> None:
    (completion,) = data["completions"]
    made = [completion, *completion.get("alternatives", ())]
    assert len(made) == len(choices)
    for one, said in zip(made, choices, strict=True):
        assert one["text"] == said.text
        assert one["finish_reason"] == said.finish
        assert one.get("refusal") == said.refusal
        _check_calls(one.get("tool_calls") or [], said.calls)
        _check_reasoning(one.get("reasoning") or [], said)
        assert "error" not in one
    schema = exchange.call.parameters.get("schema")
    if schema is None:
        assert "parsed" not in completion
    else:
        _check_parsed(completion, choices[0], schema)


def _check_calls(made: list[dict[str, Any]], said: list[dict[str, Any]]) -> None:
    """Gemini's older models give calls no id; then it is ours, and each its own."""
    assert len(made) == len(said)
    assert len({call["id"] for call in made}) == len(made)
    for one, other in zip(made, said, strict=True):
        assert one == {**other, "id": other["id"] or one["id"]}


def _check_reasoning(made: list[dict[str, Any]], said: Said) -> None:
    """The thoughts as they were said, and every signature whole, whatever ours adds in front of it."""
    assert "".join(step.get("text") or "" for step in made) == said.thoughts
    signatures = [step["signature"] for step in made if step.get("signature")]
    assert len(signatures) == len(said.signatures)
    assert all(one.endswith(other) for one, other in zip(signatures, said.signatures, strict=True))


def _check_parsed(completion: dict[str, Any], said: Said, schema: Any) -> None:
    structured = completion["structured"]
    assert structured["repairs"] == 0
    if said.finish != "stop":
        assert structured["valid"] is False
        assert "parsed" not in completion
        return
    value = json.loads(said.text)
    assert completion["parsed"] == value
    assert structured["valid"] is jsonschema_rs.validator_for(schema).is_valid(value)


def _check_stream(reply: Reply) -> None:
    """Begins with `start`, ends with `done`, and the pieces in between are the whole of what `done` tells."""
    names = [name for name, _ in reply.events]
    assert names[0] == "start"
    assert names[-2:] == ["item", "done"]
    assert set(names[1:-2]) <= {"delta", "reasoning_delta", "tool_call_delta"}
    (completion,) = reply.events[-1][1]["data"]["completions"]
    texts = "".join(data["text"] for name, data in reply.events if name == "delta")
    assert texts == completion["text"]
    thoughts = "".join(data["text"] for name, data in reply.events if name == "reasoning_delta")
    assert thoughts == "".join(step.get("text") or "" for step in completion.get("reasoning") or [])
    calls: dict[int, dict[str, Any]] = {}
    for name, data in reply.events:
        if name == "tool_call_delta":
            call = calls.setdefault(data["call"], {"id": None, "name": None, "arguments": ""})
            call |= {key: data[key] for key in ("id", "name") if data.get(key)}
            call["arguments"] += data["arguments"]
    made = [{**call, "arguments": json.loads(call["arguments"] or "{}")} for _, call in sorted(calls.items())]
    assert made == (completion.get("tool_calls") or [])
    item = reply.events[-2][1]
    assert item == {"index": 0, "finish_reason": completion["finish_reason"]}
    assert all(data["index"] == 0 for name, data in reply.events if name.endswith("delta"))


def _check_error(recording: Recording, exchange: Exchange, gateway: Gateway) -> None:
    reply, failure = exchange.reply, expect_failure(recording)
    assert reply.events == [], "an error before the first event has a plain status"
    error = reply.body["error"]
    assert (reply.status, reply.body["status"], reply.body["success"]) == (
        failure.status,
        failure.status,
        False,
    )
    assert (error["type"], error["code"]) == (failure.type, failure.code)
    waits = failure.hint_s is not None and failure.hint_s >= ERROR_TIMEOUT_S
    tries = 2 if failure.is_retried and not waits else 1
    assert len(exchange.asked) in ((tries, tries + 1) if names_sampling(recording) else (tries,))
    if failure.status == 429:
        assert int(reply.headers["retry-after"]) >= retry_after(failure)
    if failure.status == 400:
        assert error["details"]["provider_error"]["status"] == recording.response.status
    private = [PROVIDER_KEY, gateway.key, *_texts(exchange.call.inputs)]
    assert leaks(recording, reply.body, private) == []


def _texts(value: Any) -> list[str]:
    """The texts of a request that are long enough not to stand in a message by chance."""
    if isinstance(value, str):
        return [value[:60]] if len(value) >= 12 else []
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for item in items for text in _texts(item)]


def _check_refused_answer(reply: Reply) -> None:
    """The answer of a method that is never called is none of the method that was."""
    assert reply.status == 500
    assert _body(reply)["error"]["code"] == "provider_bad_answer"
