"""The pages of users, namespaces, credentials and limits, through a small browser."""

import html
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from inferway.http.dashboard.limits import LimitsPage
from tests.http.browsing import Browser
from tests.http.kit import Answered, Gateway, Reply, Upstream

HOSTILE = "<script>alert(1)</script>\"'"


@pytest.fixture
def browser(gateway: Gateway) -> Browser:
    return Browser(gateway).sign_in()


@pytest.fixture(scope="module", autouse=True)
def _left_as_found(gateway: Gateway) -> Iterator[None]:
    """The organization's own fields are as they were when other tests use the same server."""
    yield
    found = {"spend_limits": None, "default_llm_credentials": None}
    _api(gateway, "PATCH", "/v1/organizations", found)


def _text(answer: Answered) -> str:
    return html.unescape(answer.body.decode())


def _api(gateway: Gateway, method: str, path: str, body: object = None, key: str = "") -> Any:
    headers = {"authorization": f"Bearer {key or gateway.admin_key}", "content-type": "application/json"}
    sent = None if body is None else json.dumps(body).encode()
    answer = gateway.request(method, path, sent, headers)
    assert answer.status == 200, answer.body
    return answer.json()


def _sign_in_with(gateway: Gateway, name: str, **fields: object) -> Browser:
    """Somebody signed in with a new key."""
    path = "/v1/organizations/users/admin@localhost/api-keys"
    made = _api(gateway, "POST", path, {"name": name, **fields})
    browser = Browser(gateway)
    assert browser.post("/sign-in", {"key": made["key"]}).status == 303
    return browser


@pytest.fixture(scope="module")
def viewer(gateway: Gateway) -> Browser:
    return _sign_in_with(gateway, "of a viewer", permissions=["read"])


# Users


def _make_user(browser: Browser, email: str, role: str = "member") -> None:
    answer = browser.submit("/settings/users/new", email=email, user_name="Somebody", role=role)
    assert answer.headers["location"] == f"/settings/users/{email}?done=user-made"


def test_a_user_is_made_changed_and_deleted(browser: Browser, gateway: Gateway) -> None:
    email, path = "life@example.com", "/settings/users/life@example.com"
    _make_user(browser, email)
    assert email in _text(browser.get("/settings/users?role=member"))
    assert email not in _text(browser.get("/settings/users?role=viewer"))

    browser.submit(path, user_name="Another", role="viewer", status="suspended")
    user = _api(gateway, "GET", f"/v1/organizations/users/{email}")
    assert (user["user_name"], user["role"], user["status"]) == ("Another", "viewer", "suspended")

    unsure = browser.submit(f"{path}/delete", typed="life@example")
    assert unsure.status == 422
    assert "exactly as it is" in _text(unsure)
    assert browser.submit(f"{path}/delete", typed=email).headers["location"].endswith("done=user-deleted")
    assert browser.get(path).status == 404


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"email": "nobody"}, "email"),
        ({"email": ""}, "email"),
        ({"email": "admin@localhost"}, "email"),
        ({"user_name": "x"}, "user_name"),
        ({"role": "god"}, "role"),
    ],
)
def test_what_is_wrong_with_a_user_stands_beside_its_field(
    browser: Browser, fields: dict[str, str], place: str
) -> None:
    given = {"email": "new@example.com", "user_name": "Kept", "role": "member"} | fields
    answer = browser.submit("/settings/users/new", **given)
    assert 400 <= answer.status < 500
    assert f'id="f-{place}-error"' in answer.body.decode()


def test_a_password_is_set_signs_in_and_is_taken_away(browser: Browser, gateway: Gateway) -> None:
    email, path = "worded@example.com", "/settings/users/worded@example.com"
    _make_user(browser, email)
    short = browser.submit(f"{path}/password", password="short")
    assert short.status == 422
    assert 'id="f-password-error"' in short.body.decode()
    assert browser.submit(f"{path}/password", password="long enough one").status == 303
    assert "Password\nset" in re.sub(r"<[^>]+>\s*", "\n", _text(browser.get(path))).replace("\n\n", "\n")

    person = Browser(gateway)
    assert person.post("/sign-in", {"email": email, "password": "long enough one"}).status == 303
    assert email in _text(person.get("/"))

    # What was begun with the old one ends when it is taken away.
    assert browser.submit(f"{path}/password", remove="yes").headers["location"].endswith("password-removed")
    assert person.get("/").status == 303
    assert Browser(gateway).post("/sign-in", {"email": email, "password": "long enough one"}).status == 401
    actions = [each["action"] for each in _api(gateway, "GET", "/v1/organizations/audit/logs")["results"]]
    assert {"password_set", "password_removed"} <= set(actions)


def test_who_knows_the_password_changes_it(browser: Browser, gateway: Gateway) -> None:
    email = "own@example.com"
    _make_user(browser, email)
    browser.submit(f"/settings/users/{email}/password", password="the first one")
    person, elsewhere = Browser(gateway), Browser(gateway)
    for each in (person, elsewhere):
        each.post("/sign-in", {"email": email, "password": "the first one"})

    for fields, place in (
        ({"current": "wrong one", "new": "the second one", "again": "the second one"}, "current"),
        ({"current": "the first one", "new": "the second one", "again": "another"}, "again"),
        ({"current": "the first one", "new": "short", "again": "short"}, "new"),
    ):
        answer = person.submit("/settings/password", **fields)
        assert f'id="f-{place}-error"' in answer.body.decode(), fields
        assert answer.status in (401, 422, 400)

    changed = person.submit(
        "/settings/password", current="the first one", new="the second one", again="the second one"
    )
    assert changed.status == 303
    assert person.get("/").status == 200
    assert elsewhere.get("/").status == 303


def test_a_link_signs_that_user_in_once(browser: Browser, gateway: Gateway) -> None:
    email = "linked@example.com"
    _make_user(browser, email, "viewer")
    page = browser.submit(f"/settings/users/{email}/link")
    (link,) = re.findall(r'<output id="link">([^<]+)</output>', _text(page))
    assert link.startswith(f"{gateway.url}/sign-in/")
    person = Browser(gateway)
    assert person.post(link.removeprefix(gateway.url), {}).status == 303
    assert email in _text(person.get("/"))
    assert Browser(gateway).post(link.removeprefix(gateway.url), {}).status == 401


def test_a_key_with_less_than_a_user_has_cannot_sign_in_as_that_user(gateway: Gateway) -> None:
    scopes = [{"resource_type": "user", "resource_id": "*"}]
    scoped = _sign_in_with(gateway, "users only", permissions=["admin"], scopes=scopes)
    path = "/settings/users/admin@localhost"
    refused = scoped.submit(f"{path}/password", password="mine from now on")
    assert refused.status == 403
    assert "beyond its own" in _text(refused)
    assert scoped.submit(f"{path}/link").status == 403
    assert _api(gateway, "GET", "/v1/organizations/users/admin@localhost")["has_password"] is False


def test_a_viewer_sees_users_and_no_forms(viewer: Browser) -> None:
    listed = _text(viewer.get("/settings/users"))
    assert "admin@localhost" in listed
    assert "/settings/users/new" not in listed
    page = _text(viewer.get("/settings/users/admin@localhost"))
    assert "Delete the user" not in page
    assert viewer.submit("/settings/users/admin@localhost", user_name="Mine", role="viewer").status == 403


# Namespaces


def _id_of(answer: Answered) -> str:
    (found,) = re.findall(r"/namespaces/(ns_[0-9A-Za-z]+)", answer.headers["location"])
    return str(found)


def test_a_namespace_is_made_changed_and_deleted(browser: Browser, gateway: Gateway) -> None:
    made = browser.submit(
        "/namespaces/new",
        namespace_name="of-a-team",
        description="what for",
        daily_usd="2.50",
        keep_days="7",
    )
    namespace_id = _id_of(made)
    stored = _api(gateway, "GET", f"/v1/namespaces/{namespace_id}")
    assert stored["description"] == "what for"
    assert stored["spend_budget"] == {"daily_usd": 2.5, "monthly_usd": None}
    assert stored["keep_content"] == {"days": 7}
    assert "of-a-team" in _text(browser.get("/namespaces?search=a-team"))
    assert "of-a-team" not in _text(browser.get("/namespaces?search=else"))

    path = f"/namespaces/{namespace_id}"
    browser.submit(path, namespace_name="of-a-team", monthly_usd="9")
    changed = _api(gateway, "GET", f"/v1/namespaces/{namespace_id}")
    assert (changed["description"], changed["keep_content"]) == (None, None)
    assert changed["spend_budget"] == {"daily_usd": None, "monthly_usd": 9.0}

    assert browser.submit(f"{path}/delete", typed="of-a-tea").status == 422
    assert browser.submit(f"{path}/delete", typed="of-a-team").headers["location"] == (
        "/namespaces?done=namespace-deleted"
    )
    assert browser.get(path).status == 404


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"namespace_name": "no"}, "namespace_name"),
        ({"namespace_name": "with space"}, "namespace_name"),
        ({"namespace_name": "default"}, "namespace_name"),
        ({"daily_usd": "much"}, "daily_usd"),
        ({"keep_days": "0"}, "keep_days"),
        ({"keep_days": "soon"}, "keep_days"),
        ({"credential_openai": "not-there"}, "credentials"),
    ],
)
def test_what_is_wrong_with_a_namespace_stands_beside_its_field(
    browser: Browser, fields: dict[str, str], place: str
) -> None:
    _api_secret(browser, "for-choices")
    answer = browser.submit(
        "/namespaces/new", **({"namespace_name": "kept-name", "description": "kept"} | fields)
    )
    page = answer.body.decode()
    assert 400 <= answer.status < 500
    assert f'{place}-error"' in page
    assert "kept</textarea>" in page


def _api_secret(browser: Browser, name: str, value: str = "sk-value-of-secret") -> None:
    answer = browser.submit("/settings/credentials/secrets", secret_name=name, secret_value=value)
    assert answer.status in (303, 409)


def test_who_may_only_look_gets_no_forms(viewer: Browser) -> None:
    listed = _text(viewer.get("/namespaces"))
    assert "default" in listed
    assert "/namespaces/new" not in listed
    page = _text(viewer.get("/namespaces/default"))
    assert "Calls and cost" in page
    assert "Save" not in page
    assert viewer.submit("/namespaces/new", namespace_name="of-a-viewer").status == 403


def test_who_may_write_leaves_budgets_as_they_are(browser: Browser, gateway: Gateway) -> None:
    namespace_id = _id_of(
        browser.submit("/namespaces/new", namespace_name="budgeted", daily_usd="1", keep_days="3")
    )
    writer = _sign_in_with(gateway, "of a writer", permissions=["read", "write"])
    path = f"/namespaces/{namespace_id}"
    assert "for administrators to say" in _text(writer.get(path))
    assert writer.submit(path, namespace_name="budgeted", description="by a writer").status == 303
    stored = _api(gateway, "GET", f"/v1{path}")
    assert (stored["description"], stored["keep_content"]) == ("by a writer", {"days": 3})


# Credentials


def test_a_secret_is_kept_chosen_replaced_and_deleted(browser: Browser, gateway: Gateway) -> None:
    path = "/settings/credentials"
    assert browser.submit(f"{path}/secrets", secret_name="mine", secret_value="sk-canary-1").status == 303
    page = _text(browser.get(path))
    assert "mine" in page
    assert "sk-canary" not in page

    assert browser.submit(path, credential_anthropic="mine").status == 303
    organization = _api(gateway, "GET", "/v1/organizations")
    assert organization["default_llm_credentials"] == {"anthropic": "mine"}
    assert "the organization's secret" in _text(browser.get(path))
    told = {
        each["provider"]: each for each in _api(gateway, "GET", "/v1/organizations/credentials")["results"]
    }
    assert (told["anthropic"]["credential"], told["anthropic"]["secret_name"]) == ("organization", "mine")
    assert told["openai"]["credential"] == "operator"

    assert browser.submit(path).status == 303
    assert _api(gateway, "GET", "/v1/organizations")["default_llm_credentials"] == {}
    replaced = browser.submit(f"{path}/secrets/mine", secret_value="sk-canary-2")
    assert replaced.headers["location"] == f"{path}?done=secret-kept"
    assert browser.submit(f"{path}/secrets/mine/delete").status == 422
    assert browser.submit(f"{path}/secrets/mine/delete", sure="yes").status == 303
    assert "mine" not in _api(gateway, "GET", "/v1/organizations/secrets")["secrets"]
    assert "no such secret" in _text(browser.get(f"{path}/secrets/mine"))


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"secret_name": ""}, "secret_name"),
        ({"secret_name": "no spaces"}, "secret_name"),
        ({"secret_value": ""}, "secret_value"),
    ],
)
def test_what_is_wrong_with_a_secret_stands_beside_its_field(
    browser: Browser, fields: dict[str, str], place: str
) -> None:
    given = {"secret_name": "fine", "secret_value": "sk-canary-3"} | fields
    answer = browser.submit("/settings/credentials/secrets", **given)
    assert 400 <= answer.status < 500
    assert f'id="f-{place}-error"' in answer.body.decode()
    assert "sk-canary" not in _text(answer)


def _answering(upstream: Upstream, status: int) -> None:
    body = (
        b'{"object": "list", "data": []}'
        if status == 200
        else b'{"error": {"message": "sk-no", "code": "x"}}'
    )
    upstream.answer = lambda _: Reply(body, status=status)


@pytest.mark.parametrize(
    ("status", "state"),
    [(200, "ok"), (401, "refused"), (403, "refused"), (429, "unclear"), (500, "unclear"), (302, "unclear")],
)
def test_a_check_asks_the_provider_for_its_models(
    gateway: Gateway, upstream: Upstream, status: int, state: str
) -> None:
    _answering(upstream, status)
    checked = _api(gateway, "POST", "/v1/organizations/credentials/check", {"provider": "openai"})
    assert (checked["state"], checked["secret_name"]) == (state, None)
    (seen,) = upstream.seen
    assert seen.path == "/v1/models"
    assert seen.headers["authorization"] == "Bearer sk-upstream-secret-key"
    assert "sk-no" not in json.dumps(checked)


@pytest.mark.parametrize(
    ("provider", "path", "header"),
    [
        ("openai", "/v1/models", "authorization"),
        ("anthropic", "/v1/models", "x-api-key"),
        ("google", "/v1beta/models", "x-goog-api-key"),
    ],
)
def test_a_check_shows_a_secret_to_its_provider_only(
    browser: Browser, upstream: Upstream, provider: str, path: str, header: str
) -> None:
    _api_secret(browser, "to-check")
    _answering(upstream, 200)
    page = browser.submit("/settings/credentials/check", provider=provider, secret="to-check")
    assert "It takes the credential." in _text(page)
    (seen,) = upstream.seen
    assert (seen.path, seen.headers[header].removeprefix("Bearer ")) == (path, "sk-value-of-secret")
    assert seen.headers.get("anthropic-version") == ("2023-06-01" if provider == "anthropic" else None)


def test_a_check_of_what_is_not_there_says_so(browser: Browser, gateway: Gateway) -> None:
    path = "/settings/credentials/check"
    assert browser.submit(path, provider="https://evil.example").status == 400
    assert browser.submit(path, provider="openai", secret="not-there").status == 404
    scopes = [{"resource_type": "organization", "resource_id": "*"}]
    reader = _sign_in_with(gateway, "org reader", permissions=["read"], scopes=scopes)
    assert reader.submit(path, provider="openai").status == 403


def test_a_viewer_sees_whose_credential_is_used_and_no_secret(viewer: Browser) -> None:
    page = _text(viewer.get("/settings/credentials"))
    assert "the operator's key" in page
    assert "for administrators" in page
    assert "Add a secret" not in page
    assert "Check openai" not in page


# Limits and budgets


def test_budgets_are_set_shown_and_taken_away(browser: Browser, gateway: Gateway) -> None:
    path = "/settings/limits"
    assert browser.submit(path, daily_usd="12.5", namespace_default_monthly_usd="100").status == 303
    limits = _api(gateway, "GET", "/v1/organizations")["spend_limits"]
    assert (limits["daily_usd"], limits["monthly_usd"]) == (12.5, None)
    assert limits["namespace_default_monthly_usd"] == 100
    page = _text(browser.get(path))
    assert "of $12.50" in page
    assert 'value="12.5"' in page
    spend = _api(gateway, "GET", "/v1/organizations/spend")
    assert spend["organization"]["daily_usd"] == 12.5
    assert {"default"} <= {each["name"] for each in spend["namespaces"]}
    browser.submit(path)
    assert set(_api(gateway, "GET", "/v1/organizations")["spend_limits"].values()) == {None}
    wrong = browser.submit(path, daily_usd="lots")
    assert wrong.status == 422
    assert 'id="f-daily_usd-error"' in wrong.body.decode()


def test_a_cap_that_is_reached_is_told_in_words(browser: Browser) -> None:
    browser.submit("/settings/limits", daily_usd="0")
    assert ">used up<" in _text(browser.get("/settings/limits"))
    browser.submit("/settings/limits", daily_usd="0.5")
    page = _text(browser.get("/settings/limits"))
    assert ">used up<" not in page
    assert "of $0.50" in page


def test_the_limits_of_the_server_stand_there_with_their_names(browser: Browser) -> None:
    page = _text(browser.get("/settings/limits"))
    for name in ("limits.tier", "limits.per_minute", "server.calls_max", "calls.timeout_s"):
        assert name in page
    assert LimitsPage().views()


def test_spent_money_stands_beside_its_cap(browser: Browser, gateway: Gateway) -> None:
    path = "/v1/organizations/users/admin@localhost/api-keys"
    budget = {"daily_usd": 5, "monthly_usd": None}
    made = _api(gateway, "POST", path, {"name": "capped", "spend_budget": budget})
    (line,) = [
        each
        for each in _api(gateway, "GET", "/v1/organizations/spend")["keys"]
        if each["id"] == made["key_id"]
    ]
    assert line == {
        "resource": "key",
        "id": made["key_id"],
        "name": "capped",
        "daily_usd": 5.0,
        "monthly_usd": None,
        "today_usd": 0.0,
        "month_usd": 0.0,
    }
    assert f"/settings/keys/{made['key_id']}" in _text(browser.get("/settings/limits"))


def test_a_viewer_sees_budgets_and_cannot_change_them(viewer: Browser) -> None:
    page = _text(viewer.get("/settings/limits"))
    assert "for administrators to change" in page
    assert viewer.submit("/settings/limits", daily_usd="1").status == 403


# Audit and health


def test_the_audit_log_says_what_was_and_what_is(browser: Browser, gateway: Gateway) -> None:
    namespace_id = _id_of(
        browser.submit("/namespaces/new", namespace_name="watched-one", description="before")
    )
    browser.submit(f"/namespaces/{namespace_id}", namespace_name="watched-one", description=HOSTILE)
    answer = browser.get(f"/audit?resource_id={namespace_id}")
    page = answer.body.decode()
    assert "<del>before</del>" in page
    assert "namespace updated" in page
    assert "<script>alert" not in page
    assert HOSTILE in _text(answer)
    assert "127.0.0.1" in page
    assert "No event matches" in _text(browser.get("/audit?action=never_done"))
    assert browser.get("/audit?first_day=yesterday").status == 422

    exported = browser.get(f"/audit/export?resource_id={namespace_id}")
    assert exported.headers["content-type"].startswith("text/csv")
    assert "attachment" in exported.headers["content-disposition"]
    rows = exported.body.decode().splitlines()
    assert len(rows) == 3
    assert all(namespace_id in row for row in rows[1:])
    assert _api(gateway, "GET", "/v1/organizations/audit/logs?limit=1")["total"] > 1


def test_the_audit_log_tells_money_in_dollars(browser: Browser) -> None:
    browser.submit("/settings/limits", daily_usd="1234.5")
    page = _text(browser.get("/audit?action=organization_updated"))
    assert "daily: $1,234.50; monthly: nothing" in page
    assert "microusd" not in page


def test_the_audit_log_has_pages(browser: Browser) -> None:
    for number in range(51):
        browser.submit("/settings/limits", daily_usd=str(number + 1))
    first = _text(browser.get("/audit?action=organization_updated"))
    assert 'rel="next"' in first
    second = _text(browser.get("/audit?action=organization_updated&skip=50"))
    assert 'rel="prev"' in second


def test_who_may_not_see_the_audit_log_is_told_so(viewer: Browser) -> None:
    assert "may not see the audit log" in _text(viewer.get("/audit"))
    assert viewer.get("/audit/export").status == 403


def test_health_tells_of_every_part(viewer: Browser) -> None:
    page = _text(viewer.get("/health"))
    for part in ("cache", "metadata", "vector_store", "object_storage", "task_queue", "inference"):
        assert f"<code>{part}</code>" in page
    assert "openai" in page
    assert "well" in page


def test_every_hostile_text_is_text_on_every_page(browser: Browser, gateway: Gateway) -> None:
    _api(
        gateway,
        "POST",
        "/v1/organizations/users",
        {"email": "<b>@x.example", "user_name": HOSTILE},
    )
    namespace_id = _id_of(
        browser.submit("/namespaces/new", namespace_name="hostile-one", description=HOSTILE)
    )
    for path in (
        "/settings/users",
        "/settings/users/%3Cb%3E@x.example",
        f"/namespaces/{namespace_id}",
        "/namespaces",
        "/settings/keys/new",
        "/audit",
        f"/audit?resource_id={HOSTILE}",
        f"/namespaces?search={HOSTILE}",
        f"/settings/keys?search={HOSTILE}&user_email={HOSTILE}",
    ):
        answer = browser.get(
            path.replace(" ", "%20").replace("<", "%3C").replace(">", "%3E").replace('"', "%22")
        )
        assert answer.status == 200, path
        assert b"<script>alert" not in answer.body, path
        assert b"<b>@" not in answer.body, path
