"""The main path of each page of Organization Settings, of the namespaces, the audit log and health."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.chromium import sign_in
from tests.browser.showing import Admin, Site

pytestmark = [pytest.mark.chromium, pytest.mark.timeout(240)]

_PASSWORD = "correct horse battery"


def test_a_user_is_made_and_signs_in_by_password_and_by_link(page: Page, site: Site) -> None:
    page.get_by_role("link", name="Users", exact=True).click()
    page.get_by_role("link", name="New user").click()
    page.get_by_label("Email").fill("cy@example.com")
    page.get_by_label("Name").fill("Cy")
    page.get_by_label("Role").select_option("viewer")
    page.get_by_role("button", name="Add the user").click()
    page.goto("/settings/users/cy@example.com")
    page.get_by_label("Password", exact=True).fill(_PASSWORD)
    page.get_by_role("button", name="Set the password").click()
    page.goto("/settings/users/cy@example.com")
    page.get_by_role("button", name="Make a link").click()
    page.get_by_role("button", name="Copy the link").click()
    link = page.evaluate("navigator.clipboard.readText()")
    page.get_by_role("button", name="Sign out").click()

    page.get_by_text("With an email and a password").click()
    page.get_by_label("Email").fill("cy@example.com")
    page.get_by_label("Password").fill(_PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()

    expect(page.get_by_text("cy@example.com")).to_be_visible()
    page.goto("/settings/keys")
    expect(page.get_by_role("link", name="New key")).to_have_count(0)
    page.get_by_role("button", name="Sign out").click()
    sign_in(page, link)
    expect(page.get_by_text("cy@example.com")).to_be_visible()
    assert str(site.url) in link


def test_a_key_is_changed_rotated_and_revoked(page: Page, site: Site) -> None:
    made = Admin(site.served).ask(
        "POST", "/v1/organizations/users/admin@localhost/api-keys", {"name": "to be changed"}
    )
    page.goto(f"/settings/keys/{made['key_id']}")
    page.get_by_label("Calls a minute").fill("42")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_label("Calls a minute")).to_have_value("42")
    page.get_by_role("button", name="Rotate").click()
    assert page.locator("output#key").inner_text() != made["key"]
    page.goto(f"/settings/keys/{made['key_id']}")
    page.get_by_label("I am sure").check()
    page.get_by_role("button", name="Revoke").click()
    page.goto(f"/settings/keys/{made['key_id']}")
    expect(page.get_by_text("which is final")).to_be_visible()


def test_a_credential_is_kept_checked_and_chosen(page: Page) -> None:
    page.get_by_role("link", name="Credentials", exact=True).click()
    page.get_by_label("Name", exact=True).fill("team-key")
    page.get_by_label("The provider's key").fill("sk-of-the-team")
    page.get_by_role("button", name="Keep it").click()
    assert "sk-of-the-team" not in page.content()
    page.get_by_label("Provider for team-key").select_option("openai")
    page.get_by_role("button", name="Check team-key").click()
    # Nobody listens at the address that this server has for it.
    expect(page.get_by_role("status")).to_contain_text("openai, secret team-key")
    page.goto("/settings/credentials")
    page.get_by_label("openai", exact=True).select_option("team-key")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("the organization's secret")).to_be_visible()


def test_a_budget_is_set_and_a_wrong_one_is_told_beside_its_field(page: Page) -> None:
    page.get_by_role("link", name="Limits and budgets").click()
    page.get_by_label("US dollars a day").fill("12.50")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_label("US dollars a day")).to_have_value(re.compile(r"12\.50?"))
    expect(page.get_by_role("region").or_(page.locator(".table")).first).to_contain_text("$12.50")


def test_a_namespace_is_made_changed_and_deleted_by_its_name(page: Page) -> None:
    page.get_by_role("link", name="Namespaces", exact=True).click()
    page.get_by_role("link", name="New namespace").click()
    page.get_by_label("Name", exact=True).fill("by-hand")
    page.get_by_label("Keep requests and answers, days").fill("7")
    page.get_by_role("button", name="Make the namespace").click()
    page.goto("/namespaces/by-hand")
    expect(page.get_by_text("for 7 days")).to_be_visible()
    page.get_by_label("Description").fill("made in a browser")
    page.get_by_role("button", name="Save").click()
    page.goto("/namespaces/by-hand")
    expect(page.locator("dl.facts")).to_contain_text("made in a browser")
    page.get_by_label("Type the namespace's name").fill("by-hand")
    page.get_by_role("button", name="Delete the namespace").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Namespaces")
    expect(page.get_by_role("link", name="by-hand")).to_have_count(0)


def test_the_audit_log_tells_who_changed_what_and_health_what_is_well(page: Page, site: Site) -> None:
    Admin(site.served).ask("POST", "/v1/namespaces", {"namespace_name": "audited"})
    page.get_by_role("link", name="Audit log").click()
    page.get_by_label("Done").fill("namespace_created")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("table")).to_contain_text("admin@localhost")
    expect(page.get_by_role("table")).to_contain_text("audited")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export as CSV").click()
    assert "namespace_created" in download.value.path().read_text()
    page.get_by_role("link", name="Health").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Health")
    expect(page.get_by_role("table").first).to_contain_text("metadata")


def test_a_form_of_another_site_is_refused_in_the_browser_too(
    stranger_expecting_refusals: Page, site: Site
) -> None:
    """A page at another origin (localhost is not 127.0.0.1) sends a form with all that a browser adds."""
    page = stranger_expecting_refusals
    sign_in(page, site.link())
    page.route(
        "http://localhost:*/evil",
        lambda route: route.fulfill(
            content_type="text/html",
            body=f'<form id=f method=post action="{site.url}/namespaces/new"><input name=namespace_name value=stolen></form>',
        ),
    )
    page.goto(f"http://localhost:{site.served.port}/evil")
    page.evaluate("document.getElementById('f').submit()")
    page.wait_for_url("**/namespaces/new")
    expect(page.get_by_role("alert")).to_contain_text("another site")
    page.goto(f"{site.url}/namespaces")
    expect(page.get_by_role("link", name="stolen")).to_have_count(0)
