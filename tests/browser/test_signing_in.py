"""Signing in and out in a real browser."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.showing import Admin, Site

pytestmark = pytest.mark.chromium


def test_a_link_signs_in_and_signing_out_ends_it(stranger: Page, site: Site) -> None:
    stranger.goto("/")
    expect(stranger).to_have_url(re.compile("/sign-in$"))
    stranger.goto(site.link())
    stranger.get_by_role("button", name="Sign in").click()
    expect(stranger.get_by_role("heading", level=1)).to_have_text("Overview")
    stranger.get_by_role("button", name="Sign out").click()
    expect(stranger.get_by_role("status")).to_have_text("You are signed out.")
    stranger.go_back()
    stranger.reload()
    expect(stranger).to_have_url(re.compile("/sign-in"))


def test_an_api_key_signs_in(stranger: Page, site: Site) -> None:
    admin = Admin(site.served)
    made = admin.ask(
        "POST",
        "/v1/organizations/users/admin@localhost/api-keys",
        {"name": "browser", "permissions": ["admin"]},
    )
    stranger.goto("/")
    stranger.get_by_label("API key").fill(made["key"])
    stranger.get_by_role("button", name="Sign in with the key").click()
    expect(stranger.get_by_text("admin@localhost")).to_be_visible()
    assert made["key"] not in stranger.evaluate("document.cookie")
    assert stranger.evaluate("document.cookie") == ""


@pytest.mark.parametrize("given", ["sk_wrong", "<img src=x onerror=alert(1)>", "sk_" + "0" * 36])
def test_a_wrong_key_is_told_so_and_is_text(
    site: Site, stranger_expecting_refusals: Page, given: str
) -> None:
    page = stranger_expecting_refusals
    page.goto("/sign-in")
    page.get_by_label("API key").fill(given)
    page.get_by_role("button", name="Sign in with the key").click()
    expect(page.get_by_role("alert")).to_be_visible()
