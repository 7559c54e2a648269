"""Words that mean something to a database, a shell, a page or a terminal mean nothing here, wherever they are put."""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.http.kit import Gateway, running

QUERIES = (
    "' OR '1'='1",
    "' OR 1=1 --",
    '" OR ""="',
    "'; DROP TABLE api_keys; --",
    "1; DELETE FROM usage",
    "' UNION SELECT digest, key_id FROM api_keys --",
    "' UNION ALL SELECT NULL,NULL,NULL,NULL --",
    "') OR ('a'='a",
    "admin'/*",
    "' AND SLEEP(5) --",
    "' AND 1=(SELECT COUNT(*) FROM sqlite_master) --",
    "'; ATTACH DATABASE '/tmp/x' AS x; --",
    "'||(SELECT load_extension('x'))||'",
    "$1; SELECT pg_sleep(5)",
    "%' ESCAPE '!' --",
    "sk_' OR key LIKE 'sk_%",
    "x' AND randomblob(100000000) --",
    "\\'; --",
    "`; SELECT 1",
    "{{7*7}}${7*7}#{7*7}",
)
NAUGHTY = (
    "undefined",
    "null",
    "NaN",
    "-0",
    "1e400",
    "\u0000",
    "a\u0000b",
    "\u0007\u001b[31mred\u001b[0m",
    "\r\nSet-Cookie: a=b",
    "\u202egnp.exe",
    "\u200b\u200d\ufeff",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "Z\u0351\u036b\u0343\u036aalgo",
    "\uffff\ufffe",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "javascript:alert(1)",
    "../../../../etc/passwd",
    "$(touch /tmp/owned)",
    "`id`",
    "%s%n%x%d",
    "{0}{0.__class__}",
    "__proto__",
    "\u0130\u0131\u00df\ufb00",
    "a" * 10_000,
    " ",
    "\t\n",
)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    chosen = {"INFERWAY_PROVIDERS__FAKE__ENABLED": "true", "INFERWAY_ACCESS__BAD_KEYS_PER_MINUTE": "0"}
    with running(tmp_path_factory.mktemp("words"), **chosen) as each:
        yield each


def _is_ours(body: bytes) -> bool:
    """An envelope of ours that tells nothing of a database."""
    answer = json.loads(body)
    assert answer["success"] is False
    text = str(answer["error"]["message"]).lower()
    return not any(word in text for word in ("sqlite", "syntax error", "traceback", "operationalerror"))


@pytest.mark.parametrize("words", [*QUERIES, "sk_" + "'" * 36, "sk_" + "a" * 35 + "'"])
def test_a_key_that_is_a_query_is_a_401(gateway: Gateway, words: str) -> None:
    for path, body in (("/v1/inference", b"{}"), ("/v1/organizations", None)):
        headers = gateway.headers() | {"authorization": f"Bearer {words}"}
        answer = gateway.request("POST" if body else "GET", path, body, headers)
        assert answer.status == 401
        assert _is_ours(answer.body)
    assert gateway.infer(provider="fake", model="fake-chat").status == 200


@pytest.mark.parametrize("words", QUERIES)
def test_a_namespace_that_is_a_query_is_not_there(gateway: Gateway, words: str) -> None:
    headers = gateway.headers() | {"x-namespace": words}
    body = {"provider": "fake", "model": "fake-chat", "inputs": {"prompts": ["a"]}}
    answer = gateway.request("POST", "/v1/inference", json.dumps(body).encode(), headers)
    assert answer.status == 404
    assert _is_ours(answer.body)
    path = f"/v1/namespaces/{quote(words, safe='')}"
    assert gateway.request("GET", path, None, gateway.headers()).status in (404, 422)


@pytest.mark.parametrize("words", [*QUERIES, *NAUGHTY])
def test_any_words_are_a_prompt_and_get_into_no_header(gateway: Gateway, words: str) -> None:
    answer = gateway.infer(provider="fake", model="fake-chat", inputs={"prompts": [words]})
    assert answer.status in (200, 400, 422)
    for name, value in answer.headers.items():
        assert "\n" not in value, name
        assert words.strip() not in value or len(words.strip()) < 5, name


@pytest.mark.parametrize("words", [*QUERIES, *NAUGHTY])
def test_any_words_as_a_name_are_kept_exactly_or_refused(gateway: Gateway, words: str) -> None:
    headers = gateway.headers() | {"authorization": f"Bearer {gateway.admin_key}"}
    sent = json.dumps({"name": words}).encode()
    path = "/v1/organizations/users/admin@localhost/api-keys"
    made = gateway.request("POST", path, sent, headers)
    assert made.status in (200, 201, 400, 409, 422)
    if made.status in (200, 201):
        listed = json.loads(gateway.request("GET", path, None, headers).body)
        assert words in _names(listed)


def _names(value: object) -> list[str]:
    """Every text in a JSON value."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for each in value.values() for text in _names(each)]
    if isinstance(value, list):
        return [text for each in value for text in _names(each)]
    return []


def test_nothing_was_run(gateway: Gateway) -> None:
    assert gateway.infer(provider="fake", model="fake-chat").status == 200
    assert not Path("/tmp/owned").exists()
