"""The key that secrets are encrypted under, given in the settings."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.process import run
from tests.http.kit import Gateway, Reply, Upstream, completion, running

_ONE, _OTHER = (base64.b64encode(letter * 32).decode() for letter in (b"1", b"2"))


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    upstream = Upstream()
    upstream.answer = lambda _: Reply(completion())
    yield upstream
    upstream.close()


def _running(data_dir: Path, upstream: Upstream, key: str) -> Any:
    return running(
        data_dir,
        OPENAI_API_KEY="sk-of-the-operator",
        OPENAI_BASE_URL=f"{upstream.url}/v1",
        INFERWAY_ACCESS__SECRETS_KEY=key,
    )


def _admin(gateway: Gateway, method: str, path: str, body: object) -> int:
    headers = {"authorization": f"Bearer {gateway.admin_key}", "content-type": "application/json"}
    return gateway.request(method, path, json.dumps(body).encode(), headers).status


def test_a_wrong_key_is_a_503_and_never_the_operator_s_own(tmp_path: Path, upstream: Upstream) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    with _running(data_dir, upstream, _ONE) as gateway:
        secret = {"secret_name": "ours", "secret_value": "sk-of-the-caller"}
        assert _admin(gateway, "POST", "/v1/organizations/secrets", secret) == 200
        lent = {"default_llm_credentials": {"openai": "ours"}}
        assert _admin(gateway, "PATCH", "/v1/organizations", lent) == 200
        assert gateway.infer().status == 200
        assert upstream.seen[-1].headers["authorization"] == "Bearer sk-of-the-caller"
    assert not (data_dir / "secrets.key").exists()
    upstream.seen.clear()
    with _running(data_dir, upstream, _OTHER) as gateway:
        refused = gateway.infer()
        assert (refused.status, refused.json()["error"]["code"]) == (503, "credential_unavailable")
        assert not upstream.seen
    given = {"INFERWAY_ACCESS__SECRETS_KEY": f"{_OTHER},{_ONE}"}
    rotated = run("secrets", "rotate-key", "--json", data_dir=data_dir, env=given)
    assert json.loads(rotated.stdout)["secrets"] == 1, rotated.stderr
    with _running(data_dir, upstream, _OTHER) as gateway:
        assert gateway.infer().status == 200
        assert upstream.seen[-1].headers["authorization"] == "Bearer sk-of-the-caller"


def test_a_key_that_is_none_keeps_the_server_from_starting(tmp_path: Path) -> None:
    ended = run("serve", data_dir=tmp_path, env={"INFERWAY_ACCESS__SECRETS_KEY": "canary"})
    assert ended.returncode == 1
    assert "access.secrets_key" in ended.stderr
    assert "canary" not in ended.stderr + ended.stdout
