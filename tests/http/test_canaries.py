"""Secrets sent through every route at the chattiest log level show up nowhere: not in answers, logs or files."""

import json
import logging
from pathlib import Path

import pytest

from tests.http.kit import Gateway, Upstream, running

SECRET = "canary-secret-value-8f2e"
KEYS = tuple(f"sk_{letter * 36}" for letter in "xyz")


def _send(gateway: Gateway, method: str, path: str, body: object, key: str) -> str:
    headers = {
        "authorization": f"Bearer {key}",
        "content-type": "application/json",
        "x-namespace": "default",
    }
    sent = None if method in ("GET", "DELETE") else json.dumps(body).encode()
    return gateway.request(method, path, sent, headers).body.decode()


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_no_secret_is_told_or_kept(
    session_upstream: Upstream, tmp_path: Path, caplog: pytest.LogCaptureFixture, level: str
) -> None:
    caplog.set_level(getattr(logging, level.upper()))
    said = []
    with running(
        tmp_path,
        OPENAI_API_KEY="sk-operators-canary",
        OPENAI_BASE_URL=f"{session_upstream.url}/v1",
        INFERWAY_LOG__LEVEL=level,
    ) as gateway:
        users = "/v1/organizations/users/admin@localhost/api-keys"
        made = _send(gateway, "POST", users, {"name": "canary"}, gateway.admin_key)
        fresh = str(json.loads(made)["key"])
        secret = {"secret_name": "canary", "secret_value": SECRET}
        said.append(_send(gateway, "POST", "/v1/organizations/secrets", secret, gateway.admin_key))
        chosen = {"default_llm_credentials": {"openai": "canary"}}
        said.append(_send(gateway, "PATCH", "/v1/organizations", chosen, gateway.admin_key))
        said.append(gateway.infer().body.decode())
        paths = {
            (method, route.path)
            for route in gateway.app._front._pages.routes
            for method in route.methods or ()
        }
        for method, path in sorted(paths):
            concrete = path.replace("{key:path}", "canary").replace("{email}", "admin@localhost")
            concrete = concrete.replace("{secret_name}", "canary2").replace("{namespace}", "nowhere")
            for key in (gateway.admin_key, fresh, *KEYS):
                if concrete.endswith("/rotate") or (method == "DELETE" and key == gateway.admin_key):
                    continue
                body = {"secret_value": SECRET, "password": SECRET, "unknown": [SECRET]}
                said.append(_send(gateway, method, concrete.replace("{audit_id}", SECRET[:6]), body, key))
                said.append(_send(gateway, method, concrete.replace("{audit_id}", "x"), SECRET, key))
        keys = (gateway.admin_key, gateway.inference_key)
    told = "".join(said) + caplog.text
    for canary in (SECRET, fresh, *keys, *KEYS, "sk-operators-canary"):
        assert canary not in told, canary
    for file in (each for each in tmp_path.rglob("*") if each.is_file()):
        content = file.read_bytes()
        hidden = (SECRET, fresh, "sk-operators-canary", *KEYS)
        if file.name != "credentials.toml":
            hidden += keys
        for canary in hidden:
            assert canary.encode() not in content, (file.name, canary)
