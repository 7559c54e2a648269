"""Who comes in to the dashboard, and what nobody can make a signed-in browser do."""

import json
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser

import pytest
from starlette.routing import Route

from inferway.app.dashboard import sign_in_link
from inferway.http.dashboard.view import PageRoute
from tests.http.browsing import Browser
from tests.http.kit import Gateway

_PLACE = re.compile(r"\{[a-z_]+(?::path)?\}")


@pytest.fixture
def browser(gateway: Gateway) -> Browser:
    return Browser(gateway)


class _Inline(HTMLParser):
    """What stands in a page itself and would be run or styled: nothing may."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "style" or (tag == "script" and not (given.get("src") or "").startswith("/static/")):
            self.found.append(tag)
        self.found += [name for name in given if name == "style" or name.startswith("on")]
        self.found += [value for value in given.values() if value and value.lower().startswith("javascript:")]


def _pages(gateway: Gateway) -> Iterator[tuple[str, PageRoute]]:
    for route in gateway.app._front._pages.routes:
        if isinstance(route, PageRoute):
            yield from ((method, route) for method in sorted(route.methods or ()) if method != "HEAD")


def _paths(gateway: Gateway, method: str, *, public: bool = False) -> list[str]:
    return [
        _PLACE.sub("x", route.path)
        for each, route in _pages(gateway)
        if each == method and (public or not route.is_public)
    ]


def test_a_link_signs_in_once(browser: Browser, gateway: Gateway) -> None:
    link = _link(gateway)
    assert "signs you in once" in browser.get(link).body.decode()
    assert browser.post(link, {}).status == 303
    assert "admin@localhost" in browser.get("/").body.decode()

    # The same bits, and the last ones, which say nothing, otherwise.
    for text in (
        link,
        *(link[:-1] + last for last in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
    ):
        again = Browser(gateway).post(text, {})
        assert again.status == 401
        assert "used already" in again.body.decode()


@pytest.mark.parametrize(
    "change", [lambda text: text[:-1], lambda text: "Z" + text[1:], lambda _: "x", lambda _: "%C3%A9.%FF"]
)
def test_what_is_no_link_does_not_sign_in(
    browser: Browser, gateway: Gateway, change: Callable[[str], str]
) -> None:
    link = _link(gateway).rpartition("/")
    answer = browser.post(f"{link[0]}/{change(link[2])}", {})
    assert answer.status in (400, 401)
    assert not browser.cookie


def test_an_api_key_is_exchanged_for_a_cookie_that_scripts_cannot_read(
    browser: Browser, gateway: Gateway
) -> None:
    answer = browser.post("/sign-in", {"key": gateway.admin_key})
    cookie = answer.headers["set-cookie"]
    assert answer.status == 303
    assert "HttpOnly" in cookie
    assert "samesite=lax" in cookie.lower()
    assert gateway.admin_key not in cookie
    assert "admin@localhost" in browser.get("/").body.decode()


def test_a_wrong_key_says_so(browser: Browser) -> None:
    answer = browser.post("/sign-in", {"key": "sk_wrong"})
    assert answer.status == 401
    assert 'role="alert"' in answer.body.decode()
    assert not browser.cookie


def test_a_session_ends_with_the_key_that_it_came_from(browser: Browser, gateway: Gateway) -> None:
    made = _make_key(gateway, "of a session")
    assert browser.post("/sign-in", {"key": made}).status == 303
    assert browser.get("/").status == 200
    path = "/v1/organizations/users/admin@localhost/api-keys/of a session".replace(" ", "%20")
    gateway.request("DELETE", path, None, {"authorization": f"Bearer {gateway.admin_key}"})

    answer = browser.get("/")

    assert answer.status == 303
    assert answer.headers["location"].startswith("/sign-in")


def test_signing_out_ends_the_session_and_not_only_the_cookie(browser: Browser) -> None:
    browser.sign_in()
    kept = browser.cookie
    assert browser.submit("/sign-out").status == 303
    assert not browser.cookie
    browser.cookie = kept
    assert browser.get("/").headers.get("location") == "/sign-in"


def test_strangers_see_no_page(gateway: Gateway) -> None:
    paths = _paths(gateway, "GET")
    assert paths
    for path in paths:
        answer = Browser(gateway).get(path)
        assert (answer.status, answer.headers["location"]) == (303, "/sign-in"), path


def test_a_form_needs_the_token_of_its_own_session(gateway: Gateway) -> None:
    signed_in, other = Browser(gateway).sign_in(), Browser(gateway).sign_in()
    paths = _paths(gateway, "POST")
    assert paths
    for path in paths:
        for fields in ({}, {"csrf": "0" * 64}, {"csrf": other.token()}):
            assert signed_in.post(path, fields).status == 403, path
        assert Browser(gateway).post(path, {"csrf": signed_in.token()}).status == 401, path


def test_a_form_of_another_site_changes_nothing(gateway: Gateway) -> None:
    signed_in = Browser(gateway).sign_in()
    token = signed_in.token()
    for path in _paths(gateway, "POST", public=True):
        for site in ("cross-site", "same-site"):
            assert signed_in.post(path, {"csrf": token}, sec_fetch_site=site).status == 403, path
    strange = {"origin": "https://evil.example"}
    answer = gateway.request(
        "POST",
        "/sign-out",
        f"csrf={token}".encode(),
        {"cookie": signed_in.cookie, "content-type": "application/x-www-form-urlencoded"} | strange,
    )
    assert answer.status == 403
    assert signed_in.get("/").status == 200


def test_every_page_forbids_what_the_policy_does_not_name(gateway: Gateway) -> None:
    signed_in = Browser(gateway).sign_in()
    for path in _paths(gateway, "GET", public=True):
        answer = signed_in.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy, path
        assert "unsafe" not in policy
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cross-origin-opener-policy"] == "same-origin", path
        if "attachment" in answer.headers.get("content-disposition", ""):
            # A file is saved and not shown: what stands in it is data.
            assert answer.headers["x-content-type-options"] == "nosniff", path
            assert not answer.headers["content-type"].startswith("text/html"), path
            continue
        assert not _Inline(answer.body.decode()).found, path


def test_programs_get_the_index_at_the_first_page(gateway: Gateway) -> None:
    answer = gateway.request("GET", "/", None, {"accept": "*/*"})
    assert answer.json()["name"] == "inferway"


def test_static_files_are_kept_by_their_version(gateway: Gateway, browser: Browser) -> None:
    page = browser.get("/sign-in").body.decode()
    (style,) = re.findall(r'href="(/static/[0-9a-f]{12}/base.css)"', page)
    assert "immutable" in gateway.request("GET", style).headers["cache-control"]
    assert gateway.request("GET", "/static/older/base.css").headers["cache-control"] == "no-cache"
    assert gateway.request("GET", "/static/older/nothing.js").status == 404
    assert gateway.request("GET", "/static/older/..%2Fview.py").status == 404


def test_every_page_has_a_route_and_every_static_file_a_kind(gateway: Gateway) -> None:
    routes = gateway.app._front._pages.routes
    assert any(isinstance(route, Route) and route.path == "/static/{version}/{name}" for route in routes)
    assert len(list(_pages(gateway))) >= 6


def _link(gateway: Gateway) -> str:
    return sign_in_link(gateway.app.settings, "")


def _make_key(gateway: Gateway, name: str) -> str:
    body = json.dumps({"name": name, "permissions": ["admin"]}).encode()
    headers = {"authorization": f"Bearer {gateway.admin_key}", "content-type": "application/json"}
    made = gateway.request("POST", "/v1/organizations/users/admin@localhost/api-keys", body, headers)
    return str(made.json()["key"])
