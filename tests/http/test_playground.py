"""The playground's way to the inference endpoint: as the session, streamed through, and for nobody else."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.http.browsing import Browser
from tests.http.kit import Answered, Gateway, running

_TOKEN = re.compile(r'data-csrf="([0-9a-f]{64})"')


@pytest.fixture(scope="module")
def fake_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running(tmp_path_factory.mktemp("playground"), INFERWAY_PROVIDERS__FAKE__ENABLED="true") as started:
        yield started


@pytest.fixture
def browser(fake_gateway: Gateway) -> Browser:
    return Browser(fake_gateway).sign_in()


def _call(gateway: Gateway, browser: Browser, body: dict[str, Any], **headers: str) -> Answered:
    """What the page's script sends."""
    found = _TOKEN.search(browser.get("/playground").body.decode())
    assert found is not None
    sent = {
        "cookie": browser.cookie,
        "content-type": "application/json",
        "x-csrf-token": found[1],
        "x-namespace": "default",
        "sec-fetch-site": "same-origin",
    }
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    return gateway.request("POST", "/playground/call", json.dumps(body).encode(), sent)


def _chat(**fields: Any) -> dict[str, Any]:
    return {"provider": "fake", "model": "fake-chat", "inputs": {"prompts": ["hi"]}} | fields


def test_a_call_is_answered_as_by_the_api(fake_gateway: Gateway, browser: Browser) -> None:
    answer = _call(fake_gateway, browser, _chat())
    assert answer.status == 200
    by_key = fake_gateway.infer(**_chat()).json()
    assert answer.json()["data"] == by_key["data"]
    assert answer.headers["x-request-id"] == answer.json()["request_id"]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_stream_comes_through(fake_gateway: Gateway, browser: Browser) -> None:
    answer = _call(fake_gateway, browser, _chat(stream=True))
    assert answer.headers["content-type"].startswith("text/event-stream")
    names = re.findall(rb"^event: (\w+)", answer.body, re.MULTILINE)
    assert names[0] == b"start"
    assert names[-1] == b"done"
    assert names.count(b"delta") > 3


def test_a_body_may_be_as_large_as_the_api_takes(fake_gateway: Gateway, browser: Browser) -> None:
    picture = (
        "data:image/png;base64,"
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    )
    body = _chat(inputs={"prompts": ["x" * 3_000_000], "image_base64": picture})
    answer = _call(fake_gateway, browser, body)
    assert answer.status == 200, answer.body[:500]
    assert "and 1 media" in answer.json()["data"]["completions"][0]["text"]


def test_refusals_are_those_of_the_api(fake_gateway: Gateway, browser: Browser) -> None:
    wrong = _call(fake_gateway, browser, _chat(inputs={"prompt": "hi"}))
    assert (wrong.status, wrong.json()["error"]["type"]) == (422, "ValidationError")
    assert _call(fake_gateway, browser, _chat(), x_namespace="nowhere").status == 404
    assert _call(fake_gateway, browser, _chat(model="fake-chat?error=rate_limited")).status == 429


def test_only_a_session_with_its_token_may_call(fake_gateway: Gateway, browser: Browser) -> None:
    assert _call(fake_gateway, browser, _chat(), x_csrf_token="0" * 64).status == 403
    assert _call(fake_gateway, browser, _chat(), sec_fetch_site="cross-site").status == 403
    assert _call(fake_gateway, browser, _chat(), cookie="").status == 401
    # A key in the header of the page's own way counts for nothing.
    bearer = f"Bearer {fake_gateway.inference_key}"
    assert _call(fake_gateway, browser, _chat(), cookie="", authorization=bearer).status == 401


def test_a_key_that_may_only_read_is_told_so_and_cannot_call(fake_gateway: Gateway) -> None:
    made = fake_gateway.request(
        "POST",
        "/v1/organizations/users/admin@localhost/api-keys",
        json.dumps({"name": "reader", "permissions": ["read"]}).encode(),
        {"authorization": f"Bearer {fake_gateway.admin_key}", "content-type": "application/json"},
    )
    reader = Browser(fake_gateway)
    assert reader.post("/sign-in", {"key": made.json()["key"]}).status == 303
    page = reader.get("/playground").body.decode()
    assert "a key that may only read" in page
    assert 'data-may="no"' in page
    answer = _call(fake_gateway, reader, _chat())
    assert (answer.status, answer.json()["error"]["type"]) == (403, "ForbiddenError")


def test_what_a_model_takes_is_told_to_the_page(fake_gateway: Gateway, browser: Browser) -> None:
    answer = browser.get("/playground/models/openai?model=gpt-5-mini&operation=chat")
    (detail,) = answer.json()["results"][0]["models"][0]["detail"]
    taken = {each["name"]: each["taken"] for each in detail["parameters"]}
    assert (taken["temperature"], taken["max_tokens"]) == (False, True)
    assert browser.get("/playground/models/nobody?model=x").status == 400
    assert fake_gateway.request("GET", "/playground/models/openai").status == 401


@pytest.mark.parametrize("operation", ["chat", "embedding", "<script>"])
def test_the_address_names_the_operation(browser: Browser, operation: str) -> None:
    page = browser.get(f"/playground?operation={operation}").body.decode()
    shown = operation if operation != "<script>" else "chat"
    assert f'data-operation="{shown}"' in page
    assert "<script>" not in page
