"""Something to show: users, keys, namespaces, secrets and calls, made through the API as anybody would."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from inferway.access.credentials import FILE_NAME, find_credentials
from inferway.app.dashboard import sign_in_link
from inferway.settings import load
from tests.e2e.process import Served, serving

NAMESPACES = ("search", "support")
_CALLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("default", {"model": "fake-chat", "inputs": {"prompts": ["Why is the sky blue?"]}}),
    ("search", {"model": "fake-embedding", "inputs": {"texts": ["one", "two", "three"]}}),
    (
        "support",
        {"model": "fake-chat", "inputs": {"prompts": ["Hello", "Good evening"], "system": "Be brief."}},
    ),
    ("support", {"model": "fake-chat", "inputs": {"prompts": ["Tell a story"]}, "stream": True}),
    ("search", {"model": "fake-chat?error=failed", "inputs": {"prompts": ["no"]}}),
    ("default", {"model": "fake-unpriced", "inputs": {"prompts": ["unpriced"]}}),
)


_CONFIG = """
[providers.openai]
base_url = "http://127.0.0.1:9/v1"
[prices."fake/fake-chat"]
input = 1.0
output = 4.0
"""


@dataclass(frozen=True)
class Site:
    """A server with a dashboard."""

    served: Served
    config: Path

    @property
    def url(self) -> str:
        return str(self.served.ready["url"])

    def link(self, email: str | None = None) -> str:
        """A link that signs in once."""
        settings = load(environ={}, config=self.config, overrides={"data_dir": str(self.served.data_dir)})
        return sign_in_link(settings, self.url, email)


@contextlib.contextmanager
def site_in(folder: Path) -> Iterator[Site]:
    """A server whose data is in a folder, with prices for one model of the fake provider."""
    config = folder / "inferway.toml"
    config.write_text(_CONFIG)
    with serving(folder / "data", "--config", str(config)) as served:
        yield Site(served, config)


def fill(served: Served, *, rounds: int = 3) -> None:
    """Fills an empty server."""
    admin = Admin(served)
    admin.ask(
        "POST", "/v1/organizations/users", {"email": "ada@example.com", "user_name": "Ada", "role": "member"}
    )
    admin.ask(
        "POST", "/v1/organizations/users", {"email": "bo@example.com", "user_name": "Bo", "role": "viewer"}
    )
    for name in NAMESPACES:
        budget = {"daily_usd": 5, "monthly_usd": 100}
        admin.ask(
            "POST",
            "/v1/namespaces",
            {"namespace_name": name, "description": f"Calls of {name}", "spend_budget": budget},
        )
    admin.ask("PATCH", "/v1/namespaces/support", {"keep_content": {"days": 30}})
    admin.ask(
        "POST", "/v1/organizations/secrets", {"secret_name": "openai-team", "secret_value": "sk-of-the-team"}
    )
    keys = "/v1/organizations/users/admin@localhost/api-keys"
    scopes = [{"resource_type": "namespace", "resource_id": "support"}]
    admin.ask("POST", keys, {"name": "support bot", "scopes": scopes, "rate_limit_override": 600})
    admin.ask("POST", keys, {"name": "nightly batch", "permissions": ["read", "write"], "models": ["fake/*"]})
    admin.ask("POST", keys, {"name": "old"})
    admin.ask("DELETE", keys + "/old")
    for _ in range(rounds):
        for namespace, call in _CALLS:
            admin.ask("POST", "/v1/inference", {"provider": "fake", **call}, namespace=namespace, expect=None)


class Admin:
    """Asks with the administrator's key."""

    def __init__(self, served: Served) -> None:
        self._port = served.port
        found = find_credentials(served.data_dir / FILE_NAME)
        assert found is not None
        self._key = found.admin_key

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        namespace: str = "default",
        expect: int | None = 200,
    ) -> Any:
        """Decoded JSON, or the text of what is none; fails for another status than is expected."""
        connection = HTTPConnection("127.0.0.1", self._port, timeout=60)
        headers = {
            "authorization": f"Bearer {self._key}",
            "x-namespace": namespace,
            "content-type": "application/json",
        }
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        assert expect in (None, answer.status), (method, path, answer.status, text)
        return json.loads(text) if answer.getheader("content-type") == "application/json" else text
