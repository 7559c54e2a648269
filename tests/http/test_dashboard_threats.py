"""What is stored or sent by somebody else is text on every page, and passwords are not guessed, nor sessions foisted on anybody."""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from inferway.http.dashboard.view import PageRoute
from tests.http.browsing import Browser
from tests.http.kit import Gateway, running

HOSTILE = (
    "<script>alert(1)</script>",
    "</title><svg onload=alert(1)>",
    "\"><img src=x onerror='alert(1)'>",
    "' autofocus onfocus='alert(1)",
    "</textarea><script src=//evil.example/x.js></script>",
    "{{ 7 * 7 }}<b>${7*7}",
    "<a href='javascript:alert(1)'>click</a>",
    '<!--<iframe srcdoc="<script>alert(1)</script>">',
    "]]></script><script>alert`1`</script>",
    '\u202e<math><mi//xlink:href="data:x,<script>alert(1)</script>">',
)


def test_names_that_are_markup_are_text_on_every_page(gateway: Gateway) -> None:
    kept = [text for text in HOSTILE if _make_key(gateway, text) == 200]
    assert len(kept) >= 5
    browser = Browser(gateway).sign_in()
    assert [*_pages(gateway)]
    for path in _pages(gateway):
        page = browser.get(path).body.decode()
        assert not [text for text in HOSTILE if text in page], path


def test_what_an_address_says_is_text_on_every_page(gateway: Gateway) -> None:
    browser = Browser(gateway).sign_in()
    for path in _pages(gateway):
        for text in HOSTILE:
            given = quote(text)
            page = browser.get(f"{path}?q={given}&error={given}&done={given}&namespace={given}").body.decode()
            assert text not in page, (path, text)
            page = Browser(gateway).get(f"/{given}").body.decode()
            assert text not in page, text


def test_passwords_cannot_be_guessed_many_at_a_time(tmp_path: Path) -> None:
    # On a server of its own: this address is not let in by password for a while.
    with running(tmp_path) as gateway:
        browser = Browser(gateway)
        told = [
            browser.post("/sign-in", {"email": "admin@localhost", "password": f"guess {number}"}).status
            for number in range(30)
        ]
    assert 429 in told
    first = told.index(429)
    assert 1 <= first <= 12
    assert set(told[:first]) == {401}
    assert set(told[first:]) == {429}


def test_a_cookie_that_was_there_before_is_no_session_after_signing_in(gateway: Gateway) -> None:
    victim = Browser(gateway)
    first = Browser(gateway).sign_in()
    victim.cookie = first.cookie.partition("=")[0] + "=" + "A" * 43
    foisted = victim.cookie
    victim.sign_in()
    assert victim.cookie not in (foisted, first.cookie)
    victim.cookie = foisted
    assert victim.get("/").status == 303


def _pages(gateway: Gateway) -> Iterator[str]:
    """Every page that has a path of its own; what is exported is no page, and is saved as a file."""
    for route in gateway.app._front._pages.routes:
        is_page = isinstance(route, PageRoute) and "GET" in (route.methods or ())
        if is_page and "{" not in route.path and "/export" not in route.path:
            yield route.path


def _make_key(gateway: Gateway, name: str) -> int:
    body = json.dumps({"name": name, "permissions": ["admin"]}).encode()
    headers = {"authorization": f"Bearer {gateway.admin_key}", "content-type": "application/json"}
    made = gateway.request("POST", "/v1/organizations/users/admin@localhost/api-keys", body, headers)
    return made.status
