"""What a key is kept from: it gives nobody more than it has, and its scopes hold for each field of a body."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.http.browsing import Browser
from tests.http.kit import Gateway, running

USERS = "/v1/organizations/users"
EMAIL = "member@example.com"
RAISED = "raised@example.com"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("privilege")
    environ = {"INFERWAY_PROVIDERS__SERVER__BASE_URL": "http://127.0.0.1:9/v1"}
    with running(folder, INFERWAY_PROVIDERS__SERVER__API_KEY="none", **environ) as gateway:
        for path, body in (
            (USERS, {"email": EMAIL, "user_name": "member"}),
            (USERS, {"email": RAISED, "user_name": "raised"}),
            ("/v1/namespaces", {"namespace_name": "team-a", "llm_credentials": {}}),
            ("/v1/organizations/secrets", {"secret_name": "team-a.server", "secret_value": "a"}),
            ("/v1/organizations/secrets", {"secret_name": "team-b.server", "secret_value": "b"}),
        ):
            ask(gateway, "POST", path, body)
        yield gateway


def ask(house: Gateway, method: str, path: str, body: object, key: str = "") -> Any:
    headers = {"authorization": f"Bearer {key or house.admin_key}", "content-type": "application/json"}
    return house.request(method, path, json.dumps(body).encode(), headers)


def make_key(house: Gateway, name: str, **fields: object) -> str:
    body = {"name": name, "permissions": ["admin"]} | fields
    return str(ask(house, "POST", f"{USERS}/{EMAIL}/api-keys", body).json()["key"])


def told(answer: Any) -> tuple[int, str | None]:
    return answer.status, None if answer.status == 200 else answer.json()["error"]["code"]


def test_who_has_less_than_a_role_gives_raises_nobody_to_it(house: Gateway) -> None:
    ask(house, "PUT", f"{USERS}/{RAISED}/password", {"password": "correct horse"})
    browser = Browser(house)
    assert browser.post("/sign-in", {"email": RAISED, "password": "correct horse"}).status == 303
    scope = {"resource_type": "user", "resource_id": RAISED}
    key = make_key(house, "users", scopes=[scope])
    path = f"{USERS}/{RAISED}"
    assert told(ask(house, "PATCH", path, {"role": "admin"}, key)) == (403, "grant_denied")
    assert "may not see the audit log" in browser.get("/audit").body.decode()
    for role in ("member", "viewer"):
        assert told(ask(house, "PATCH", path, {"role": role, "user_name": "mm"}, key)) == (200, None)
    assert told(ask(house, "PATCH", path, {"role": "member"}, key)) == (403, "grant_denied")
    assert told(ask(house, "PATCH", path, {"role": "member"})) == (200, None)


@pytest.mark.parametrize(
    "change",
    [
        {"spend_budget": {"daily_usd": 99}},
        {"keep_content": {"days": 1}},
        {"llm_credentials": {"server": "team-a.server"}},
    ],
)
def test_what_administrators_say_of_a_namespace_needs_a_scope_to_administer_it(
    house: Gateway, change: dict[str, object]
) -> None:
    writes = {"resource_type": "namespace", "resource_id": "team-*", "operations": ["write_data"]}
    key = make_key(house, f"writes {next(iter(change))}", scopes=[writes])
    assert told(ask(house, "PATCH", "/v1/namespaces/team-a", {"description": "x"}, key)) == (200, None)
    assert told(ask(house, "PATCH", "/v1/namespaces/team-a", change, key)) == (403, "scope_denied")
    body = {"namespace_name": "team-made"} | change
    assert told(ask(house, "POST", "/v1/namespaces", body, key)) == (403, "scope_denied")
    taken_away = dict.fromkeys(change)
    assert told(ask(house, "PATCH", "/v1/namespaces/team-a", taken_away, key)) == (403, "scope_denied")


def test_a_secret_that_the_scopes_leave_out_is_not_lent(house: Gateway) -> None:
    path = "/v1/namespaces/team-a"
    scopes = [{"resource_type": kind, "resource_id": "team-a*"} for kind in ("namespace", "secret")]
    key = make_key(house, "team a", scopes=scopes)
    for name in ("team-b.server", "none.such"):
        lent = {"llm_credentials": {"server": name}}
        assert told(ask(house, "PATCH", path, lent, key)) == (403, "scope_denied")
        made = ask(house, "POST", "/v1/namespaces", {"namespace_name": "team-a2"} | lent, key)
        assert told(made) == (403, "scope_denied")
    assert told(ask(house, "PATCH", path, {"llm_credentials": {"server": "team-a.server"}}, key))[0] == 200
    # What is there may be left there.
    ask(house, "PATCH", path, {"llm_credentials": {"server": "team-b.server"}})
    kept = {"llm_credentials": {"server": "team-b.server"}, "description": "y"}
    assert told(ask(house, "PATCH", path, kept, key)) == (200, None)
