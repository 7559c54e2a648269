"""The pages of API keys: made, shown once, changed, rotated and revoked."""

import html
import json
import re

import pytest

from tests.http.browsing import Browser
from tests.http.kit import Answered, Gateway

HOSTILE = "<img/src=x/onerror=alert(1)>\"'{{7*7}}"


@pytest.fixture
def browser(gateway: Gateway) -> Browser:
    return Browser(gateway).sign_in()


def _text(answer: Answered) -> str:
    return answer.body.decode()


def _key_of(answer: Answered) -> str:
    (key,) = re.findall(r'<output id="key">(sk_[0-9A-Za-z_]+)</output>', _text(answer))
    return str(key)


def _id_of(answer: Answered) -> str:
    (found,) = set(re.findall(r"/settings/keys/(key_[0-9A-Za-z]+)", _text(answer)))
    return str(found)


def _stored(gateway: Gateway, key_id: str) -> dict[str, object]:
    headers = {"authorization": f"Bearer {gateway.admin_key}"}
    path = f"/v1/organizations/api-keys?include_revoked=true&search={key_id}"
    (found,) = gateway.request("GET", path, None, headers).json()["results"]
    return dict(found)


def _make(browser: Browser, *fields: tuple[str, str], **named: str) -> Answered:
    given = {"owner": "admin@localhost", "permission": "write", "expires": "never"} | named
    return browser.submit("/settings/keys/new", *fields, **given)


def test_a_key_is_made_shown_once_and_works(browser: Browser, gateway: Gateway) -> None:
    made = _make(browser, name="first of mine")
    assert made.status == 200
    assert made.headers["cache-control"] == "no-store"
    text = _key_of(made)
    answer = gateway.request("GET", "/v1/me", None, {"authorization": f"Bearer {text}"})
    assert answer.json()["key"]["name"] == "first of mine"
    for path in ("/settings/keys", f"/settings/keys/{_id_of(made)}"):
        assert text not in _text(browser.get(path))


def test_the_call_to_paste_names_this_server_the_key_and_a_namespace(
    browser: Browser, gateway: Gateway
) -> None:
    made = _make(browser, name="to paste")
    (call,) = re.findall(r'<pre id="call-1"[^>]*>(.*?)</pre>', _text(made), re.DOTALL)
    assert html.unescape(call).startswith(f"curl -sS {gateway.url}/v1/inference ")
    assert _key_of(made) in call
    assert "X-Namespace: default" in call


def test_every_field_of_the_form_reaches_the_key(browser: Browser, gateway: Gateway) -> None:
    made = _make(
        browser,
        ("scope_may_0", "execute_job"),
        ("scope_may_0", "read_data"),
        name="with everything",
        description="what for",
        permission="delete",
        models="openai/gpt-5*\nlocal/*",
        scope_kind_0="namespace",
        scope_id_0="team-*",
        allowed_origins="https://app.example.com",
        rate_limit_override="60",
        daily_usd="1.5",
        monthly_usd="20",
        expires_on="2031-01-31",
    )
    assert made.status == 200, _text(made)
    stored = _stored(gateway, _id_of(made))
    assert stored["description"] == "what for"
    assert stored["permissions"] == ["read", "write", "delete"]
    assert stored["models"] == ["openai/gpt-5*", "local/*"]
    assert stored["scopes"] == [
        {
            "resource_type": "namespace",
            "resource_id": "team-*",
            "operations": ["execute_job", "read_data"],
        }
    ]
    assert stored["allowed_origins"] == ["https://app.example.com"]
    assert stored["rate_limit_override"] == 60
    assert stored["spend_budget"] == {"daily_usd": 1.5, "monthly_usd": 20.0}
    assert str(stored["expires_at"]).startswith("2031-02-01T00:00:00")


@pytest.mark.parametrize(
    ("named", "field", "says"),
    [
        ({"name": ""}, "name", "Give the key a name"),
        ({"name": "default"}, "name", ""),
        ({"permission": "god"}, "permission", "Choose what the key may do"),
        ({"rate_limit_override": "many"}, "rate_limit_override", "whole number"),
        ({"rate_limit_override": "0"}, "rate_limit_override", ""),
        ({"daily_usd": "-1"}, "daily_usd", "amount in US dollars"),
        ({"monthly_usd": "1e12"}, "monthly_usd", ""),
        ({"expires_on": "yesterday"}, "expires_on", "Write a day"),
        ({"expires": "day"}, "expires_on", "Choose a day"),
        ({"expires_on": "2020-01-01"}, "expires_on", "future"),
        ({"description": "x" * 600}, "description", ""),
        ({"owner": "nobody@example.com"}, "owner", "no such user"),
    ],
)
def test_what_is_wrong_stands_beside_its_field(
    browser: Browser, named: dict[str, str], field: str, says: str
) -> None:
    if named.get("name") == "default":
        _make(browser, name="default")
    answer = _make(browser, **({"name": "kept & filled", "models": "a/b"} | named))
    page = _text(answer)
    assert 400 <= answer.status < 500
    assert f'id="f-{field}-error"' in page
    assert re.search(
        rf'id="f-{field}"[^>]*aria-invalid="true"[^>]*aria-describedby="[^"]*f-{field}-error"', page
    )
    assert says in page
    assert "a/b</textarea>" in page
    if "name" not in named:
        assert 'value="kept &amp; filled"' in page


def test_a_scope_of_no_kind_is_told_at_the_scopes(browser: Browser) -> None:
    answer = _make(browser, name="scoped", scope_kind_1="galaxy", scope_id_1="x")
    assert answer.status == 422
    assert 'id="scopes-error"' in _text(answer)


def test_only_what_was_changed_is_changed(browser: Browser, gateway: Gateway) -> None:
    made = _make(browser, name="to change", rate_limit_override="5", expires="30")
    key_id = _id_of(made)
    before = _stored(gateway, key_id)
    answer = browser.submit(
        f"/settings/keys/{key_id}",
        name="changed",
        permission="write",
        rate_limit_override="5",
        expires="keep",
    )
    assert (answer.status, answer.headers["location"]) == (303, f"/settings/keys/{key_id}?done=saved")
    after = _stored(gateway, key_id)
    assert after == before | {"name": "changed"}
    assert "Saved." in _text(browser.get(answer.headers["location"]))


def test_restrictions_are_taken_away_by_empty_fields(browser: Browser, gateway: Gateway) -> None:
    key_id = _id_of(
        _make(
            browser, name="restricted", models="a/b", daily_usd="1", scope_kind_0="namespace", scope_id_0="x"
        )
    )
    browser.submit(f"/settings/keys/{key_id}", name="restricted", permission="read", expires="never")
    stored = _stored(gateway, key_id)
    assert (stored["models"], stored["scopes"]) == (None, [])
    assert stored["spend_budget"] == {"daily_usd": None, "monthly_usd": None}
    assert stored["permissions"] == ["read"]


def test_a_rotated_key_has_a_new_text_and_the_old_one_as_long_as_chosen(
    browser: Browser, gateway: Gateway
) -> None:
    made = _make(browser, name="to rotate")
    old = _key_of(made)
    rotated = browser.submit(f"/settings/keys/{_id_of(made)}/rotate", overlap_s="3600")
    new = _key_of(rotated)
    assert new != old
    assert "works for another hour" in _text(rotated)
    for text in (old, new):
        assert gateway.request("GET", "/v1/me", None, {"authorization": f"Bearer {text}"}).status == 200
    newest = _key_of(browser.submit(f"/settings/keys/{_id_of(made)}/rotate", overlap_s="0"))
    statuses = [
        gateway.request("GET", "/v1/me", None, {"authorization": f"Bearer {text}"}).status
        for text in (new, newest)
    ]
    assert statuses == [401, 200]


def test_a_key_is_revoked_by_who_is_sure(browser: Browser, gateway: Gateway) -> None:
    made = _make(browser, name="to revoke")
    key_id = _id_of(made)
    unsure = browser.submit(f"/settings/keys/{key_id}/revoke")
    assert unsure.status == 422
    assert 'id="sure-error"' in _text(unsure)
    assert _stored(gateway, key_id)["status"] == "active"

    answer = browser.submit(f"/settings/keys/{key_id}/revoke", sure="yes")

    assert answer.headers["location"] == "/settings/keys?done=key-revoked"
    assert key_id not in _text(browser.get("/settings/keys"))
    assert key_id in _text(browser.get("/settings/keys?include_revoked=true"))
    assert "final" in _text(browser.get(f"/settings/keys/{key_id}"))


def test_keys_are_found_by_what_is_searched(browser: Browser) -> None:
    here, other = _id_of(_make(browser, name="needle one")), _id_of(_make(browser, name="haystack"))
    page = _text(browser.get("/settings/keys?search=NEEDLE"))
    assert here in page
    assert other not in page
    assert "No key matches" in _text(browser.get("/settings/keys?user_email=nobody@example.com"))


def test_hostile_names_are_text(browser: Browser) -> None:
    made = _make(
        browser,
        name=HOSTILE,
        description=HOSTILE,
        models=HOSTILE,
        scope_id_0=HOSTILE,
        scope_kind_0="namespace",
    )
    assert made.status == 200
    for path in ("/settings/keys", f"/settings/keys/{_id_of(made)}"):
        page = _text(browser.get(path))
        assert "<img/src=x" not in page
        assert html.escape(HOSTILE).replace("&quot;", "&#34;").replace("&#x27;", "&#39;") in page
    assert "<img/src=x" not in _text(made)
    assert "<img/src=x" not in _text(_make(browser, name="", description=HOSTILE, scope_id_0=HOSTILE))


def test_who_may_not_see_keys_is_told_so(gateway: Gateway, browser: Browser) -> None:
    key = _key_of(_make(browser, name="one who reads", permission="read"))
    reader = Browser(gateway)
    reader.post("/sign-in", {"key": key})
    page = _text(reader.get("/settings/keys"))
    assert "may not see the organization" in page
    assert "one who reads" in page
    assert "/settings/keys/new" not in page
    assert reader.get("/settings/keys/key_x").status == 403
    assert _make(reader, name="more").status == 403


def test_a_scoped_administrator_grants_no_more_than_it_has(gateway: Gateway, browser: Browser) -> None:
    key = _key_of(
        _make(browser, name="scoped admin", permission="admin", scope_kind_0="namespace", scope_id_0="team-*")
    )
    scoped = Browser(gateway)
    scoped.post("/sign-in", {"key": key})
    refused = _make(scoped, name="too much", permission="admin")
    assert refused.status == 403
    assert "cannot grant those scopes" in _text(refused)
    assert 'value="too much"' in _text(refused)
    assert _make(scoped, name="enough", scope_kind_0="namespace", scope_id_0="team-a").status == 200


def test_the_api_lists_the_keys_of_all_users_by_page(gateway: Gateway, browser: Browser) -> None:
    for number in range(3):
        _make(browser, name=f"paged {number}")
    headers = {"authorization": f"Bearer {gateway.admin_key}"}

    def listed(query: str) -> dict[str, object]:
        answer = gateway.request("GET", f"/v1/organizations/api-keys?{query}", None, headers)
        return dict(json.loads(answer.body))

    page = listed("search=paged&limit=2&skip=1")
    assert (page["total"], page["skip"], page["limit"]) == (3, 1, 2)
    assert [each["name"] for each in page["results"]] == ["paged 1", "paged 0"]  # type: ignore[attr-defined]
    assert listed("user_email=nobody@example.com")["total"] == 0
