"""Requests and answers are kept where a namespace asks for it: sealed, for an administrator alone, and nowhere else."""

import asyncio
import base64
import json
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import mixpeek
import pytest
from mixpeek.api.namespaces_api import NamespacesApi
from mixpeek.api.organization_audit_api import OrganizationAuditApi

from inferway.app.desk import rotate_secrets_key
from inferway.settings import load
from tests.http.kit import EVENT_STREAM, Answered, Gateway, Reply, Upstream, chunks, completion, running

CANARY = "canary-of-a-prompt-7c1d"
ANSWER = "canary-of-an-answer-90ab"
PATIENCE_S = 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("content")


@pytest.fixture(scope="module")
def house(session_upstream: Upstream, folder: Path) -> Iterator[Gateway]:
    with running(
        folder, OPENAI_API_KEY="sk-operators-own", OPENAI_BASE_URL=f"{session_upstream.url}/v1"
    ) as gateway:
        yield gateway


@pytest.fixture(autouse=True)
def _upstream(session_upstream: Upstream) -> None:
    session_upstream.answer = lambda _: Reply(completion(ANSWER))


def ask(house: Gateway, method: str, path: str, body: object = None, key: str | None = None) -> Answered:
    headers = {"authorization": f"Bearer {key or house.admin_key}", "content-type": "application/json"}
    sent = None if body is None else json.dumps(body).encode()
    return house.request(method, path, sent, headers)


def made(house: Gateway, name: str, **fields: Any) -> str:
    answer = ask(house, "POST", "/v1/namespaces", {"namespace_name": name} | fields)
    assert answer.status == 200, answer.body
    return str(answer.json()["namespace_id"])


def infer(house: Gateway, namespace: str, request_id: str, key: str = "", **fields: Any) -> Answered:
    headers = house.headers(x_namespace=namespace, x_request_id=request_id)
    if key:
        headers["idempotency-key"] = key
    body = {"provider": "openai", "model": "gpt-5.4-mini", "inputs": {"prompts": [CANARY]}} | fields
    return house.request("POST", "/v1/inference", json.dumps(body).encode(), headers)


def kept(house: Gateway, namespace: str, request_id: str) -> Any:
    """What is kept of a call, with its row of the ledger: both are written a moment after the answer."""
    ends = time.monotonic() + PATIENCE_S
    while time.monotonic() < ends:
        found = ask(house, "GET", f"/v1/namespaces/{namespace}/calls/{request_id}")
        if found.status == 200 and found.json()["record"] is not None:
            return found.json()
        time.sleep(0.05)
    raise AssertionError(f"nothing was kept of {request_id}")


def contents_of(folder: Path) -> bytes:
    return b"".join(each.read_bytes() for each in folder.rglob("*") if each.is_file())


def test_nothing_is_kept_unless_the_namespace_asks_for_it(
    house: Gateway, folder: Path, session_upstream: Upstream
) -> None:
    shown = ask(house, "GET", "/v1/namespaces/default").json()
    assert shown["keep_content"] is None
    # A marker that is kept, sealed, says that whatever was to be written has been written.
    asking = made(house, "marks-time", keep_content={"days": 1})
    assert infer(house, "default", "req_default").status == 200
    session_upstream.answer = lambda _: Reply(chunks(ANSWER), headers=EVENT_STREAM)
    assert ANSWER in infer(house, "default", "req_default_stream", stream=True).body.decode()
    session_upstream.answer = lambda _: Reply(b'{"error":{"message":"no"}}', status=400)
    assert infer(house, "default", "req_default_failed").status >= 400
    session_upstream.answer = lambda _: Reply(completion(ANSWER))
    assert infer(house, asking, "req_marker").status == 200
    kept(house, asking, "req_marker")
    for request_id in ("req_default", "req_default_stream", "req_default_failed"):
        assert ask(house, "GET", f"/v1/namespaces/default/calls/{request_id}").status == 404
    assert ask(house, "GET", "/v1/namespaces/default/calls").json()["results"] == []
    written = contents_of(folder)
    for canary in (CANARY, ANSWER):
        assert canary.encode() not in written
        assert base64.b64encode(canary.encode())[:-4] not in written


def test_a_call_is_kept_with_its_request_its_answer_and_what_it_cost(house: Gateway) -> None:
    namespace = made(house, "keeps-calls", keep_content={"days": 7})
    assert ask(house, "GET", f"/v1/namespaces/{namespace}").json()["keep_content"] == {"days": 7}
    answered = infer(house, namespace, "req_kept", parameters={"temperature": 0})
    found = kept(house, namespace, "req_kept")
    assert found["request"]["inputs"] == {"prompts": [CANARY]}
    assert found["request"]["parameters"]["temperature"] == 0
    assert found["answer"]["data"] == answered.json()["data"]
    assert found["error"] is None
    assert (found["status"], found["model"], found["operation"]) == ("ok", "gpt-5.4-mini", "chat")
    assert found["record"]["cost_microusd"] > 0
    assert found["record"]["usage"]["input"] == 3
    (attempt,) = found["record"]["attempts"]
    assert attempt["provider"] == "openai"
    assert attempt["outcome"] == "ok"


def test_of_a_stream_the_last_word_is_kept(house: Gateway, session_upstream: Upstream) -> None:
    namespace = made(house, "keeps-streams", keep_content={"days": 7})
    session_upstream.answer = lambda _: Reply(chunks("canary", "-in-", "pieces"), headers=EVENT_STREAM)
    assert infer(house, namespace, "req_stream", stream=True).status == 200
    found = kept(house, namespace, "req_stream")
    assert found["answer"]["data"]["completions"][0]["text"] == "canary-in-pieces"
    assert found["record"]["streamed"] is True


def test_of_a_failure_the_error_is_kept(house: Gateway, session_upstream: Upstream) -> None:
    namespace = made(house, "keeps-errors", keep_content={"days": 7})
    session_upstream.answer = lambda _: Reply(b'{"error":{"message":"no","type":"invalid"}}', status=400)
    answered = infer(house, namespace, "req_failed")
    assert answered.status >= 400
    found = kept(house, namespace, "req_failed")
    assert found["answer"] is None
    assert found["error"] == answered.json()["error"]
    assert found["status"] == "error"
    assert found["record"]["error_type"] == found["error"]["type"]


def test_of_a_replay_nothing_is_kept_a_second_time(house: Gateway) -> None:
    namespace = made(house, "keeps-once", keep_content={"days": 7})
    for request_id in ("req_first", "req_again"):
        assert infer(house, namespace, request_id, key="the same").status == 200
    assert infer(house, namespace, "req_after").status == 200
    kept(house, namespace, "req_after")
    listed = ask(house, "GET", f"/v1/namespaces/{namespace}/calls").json()["results"]
    assert [each["request_id"] for each in listed] == ["req_after", "req_first"]


def test_media_are_kept_by_their_hash(house: Gateway) -> None:
    namespace = made(house, "keeps-media", keep_content={"days": 7})
    picture = base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    )
    inputs = {"prompts": ["look"], "image_base64": base64.b64encode(picture).decode()}
    assert infer(house, namespace, "req_media", inputs=inputs).status == 200
    (media,) = kept(house, namespace, "req_media")["request"]["inputs"]["media"]
    assert media == {
        "type": "image",
        "mime": "image/png",
        "bytes": len(picture),
        "sha256": sha256(picture).hexdigest(),
    }


def test_calls_are_listed_page_by_page(house: Gateway) -> None:
    namespace = made(house, "keeps-pages", keep_content={"days": 7})
    for number in range(5):
        assert infer(house, namespace, f"req_page_{number}").status == 200
    kept(house, namespace, "req_page_4")
    path = f"/v1/namespaces/{namespace}/calls?limit=2"
    seen, page = [], ask(house, "GET", path).json()
    seen += page["results"]
    while page["next_cursor"]:
        page = ask(house, "GET", f"{path}&cursor={page['next_cursor']}").json()
        seen += page["results"]
    assert [each["request_id"] for each in seen] == [f"req_page_{number}" for number in (4, 3, 2, 1, 0)]
    assert "request" not in seen[0]
    assert ask(house, "GET", f"{path}&cursor=nonsense").status == 422


def test_only_an_administrator_decides_it_and_only_one_reads_it(house: Gateway) -> None:
    namespace = made(house, "keeps-secrets", keep_content={"days": 7})
    assert infer(house, namespace, "req_guarded").status == 200
    kept(house, namespace, "req_guarded")
    plain = house.inference_key
    for path in ("calls", "calls/req_guarded"):
        refused = ask(house, "GET", f"/v1/namespaces/{namespace}/{path}", key=plain)
        assert refused.status == 403
        assert CANARY not in refused.body.decode()
    change = {"keep_content": None}
    assert ask(house, "PATCH", f"/v1/namespaces/{namespace}", change, key=plain).status == 403
    body = {"namespace_name": "never-made", "keep_content": {"days": 1}}
    assert ask(house, "POST", "/v1/namespaces", body, key=plain).status == 403
    for days in (0, 4000, "7"):
        wrong = {"keep_content": {"days": days}}
        assert ask(house, "PATCH", f"/v1/namespaces/{namespace}", wrong).status == 422


@pytest.mark.parametrize("how", ["switched off", "deleted"])
def test_what_was_kept_goes_at_once_with_the_setting_and_with_the_namespace(house: Gateway, how: str) -> None:
    name = f"forgets-{how[:3]}"
    namespace = made(house, name, keep_content={"days": 7})
    assert infer(house, namespace, "req_gone").status == 200
    kept(house, namespace, "req_gone")
    if how == "deleted":
        assert ask(house, "DELETE", f"/v1/namespaces/{namespace}").status == 200
    else:
        off = ask(house, "PATCH", f"/v1/namespaces/{namespace}", {"keep_content": None})
        assert off.json()["keep_content"] is None
    assert ask(house, "GET", f"/v1/namespaces/{namespace}/calls/req_gone").status == 404
    rows = asyncio.run(house.app.store.contents.list_heads(namespace, since_us=0, before=None, limit=9))
    assert rows == ()


def test_the_audit_log_tells_who_switched_it_on_and_who_read(house: Gateway) -> None:
    namespace = made(house, "keeps-watch")
    change = {"keep_content": {"days": 3}}
    assert ask(house, "PATCH", f"/v1/namespaces/{namespace}", change).status == 200
    assert infer(house, namespace, "req_read").status == 200
    kept(house, namespace, "req_read")
    api = OrganizationAuditApi(_client(house))
    events = api.list_audit_logs_organizations(resource_id=namespace).results
    told: dict[str, Any] = {str(event.action): event.changes for event in events}
    assert told["namespace_updated"]["keep_days"] == {"old": None, "new": 3}
    assert told["namespace_accessed"]["request_id"] == "req_read"
    assert CANARY not in str(told)


def test_the_reference_client_reads_such_a_namespace(house: Gateway) -> None:
    namespace = made(house, "keeps-peace", keep_content={"days": 7})
    api = NamespacesApi(_client(house))
    found = api.get_namespace(namespace)
    assert found.namespace_name == "keeps-peace"


def test_what_was_kept_is_still_read_after_the_key_was_rotated(house: Gateway, folder: Path) -> None:
    namespace = made(house, "keeps-turning", keep_content={"days": 7})
    assert infer(house, namespace, "req_before").status == 200
    kept(house, namespace, "req_before")
    before = (folder / "secrets.key").read_bytes()
    asyncio.run(rotate_secrets_key(load(environ={"INFERWAY_DATA_DIR": str(folder), "HOME": str(folder)})))
    assert (folder / "secrets.key").read_bytes() != before
    assert kept(house, namespace, "req_before")["request"]["inputs"] == {"prompts": [CANARY]}


def test_what_is_kept_is_unreadable_in_the_data_folder(house: Gateway, folder: Path) -> None:
    namespace = made(house, "keeps-sealed", keep_content={"days": 7})
    assert infer(house, namespace, "req_sealed").status == 200
    kept(house, namespace, "req_sealed")
    written = contents_of(folder)
    assert b"req_sealed" in written
    assert CANARY.encode() not in written
    assert ANSWER.encode() not in written


def _client(house: Gateway) -> mixpeek.ApiClient:
    api_client = mixpeek.ApiClient(mixpeek.Configuration(host=house.url))
    api_client.default_headers["Authorization"] = f"Bearer {house.admin_key}"
    return api_client
