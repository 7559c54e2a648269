"""Every page of the dashboard, by name: where it is, and how to find one that needs a thing to show."""

from playwright.sync_api import Page

PUBLIC = {"sign-in": "/sign-in", "reference": "/reference", "reference-call": "/reference/infer"}
PAGES = {
    "overview": "/",
    "playground": "/playground",
    "usage": "/usage",
    "usage-hours": "/usage?period=24h&by=key&measure=calls",
    "requests": "/requests",
    "health": "/health",
    "keys": "/settings/keys",
    "new-key": "/settings/keys/new",
    "users": "/settings/users",
    "user": "/settings/users/admin@localhost",
    "new-user": "/settings/users/new",
    "credentials": "/settings/credentials",
    "limits": "/settings/limits",
    "password": "/settings/password",
    "namespaces": "/namespaces",
    "new-namespace": "/namespaces/new",
    "namespace": "/namespaces/support",
    "audit": "/audit",
}
"""Name → path. A test holds that no page is missing."""


def open_place(page: Page, path: str) -> None:
    """Goes to a page and waits until nothing moves any more."""
    answer = page.goto(path)
    assert answer is not None
    assert answer.ok, (path, answer.status)
    page.wait_for_load_state("networkidle")
