"""The way of somebody who has read nothing: a key under Organization Settings, a call with it, its cost in Usage."""

import json
import subprocess
import time

import pytest
from playwright.sync_api import Page, expect

from tests.browser.showing import Site

pytestmark = [pytest.mark.chromium, pytest.mark.timeout(240)]


def test_from_the_first_sign_in_to_the_first_cost(page: Page, site: Site) -> None:
    page.get_by_role("link", name="API keys", exact=True).click()
    page.get_by_role("link", name="New key").first.click()
    page.get_by_label("Name", exact=True).fill("my first program")
    page.get_by_role("button", name="Make the key").click()
    page.get_by_role("button", name="Copy the key").click()
    key = page.evaluate("navigator.clipboard.readText()")
    assert key == page.locator("output#key").inner_text()

    answer = _call(site, key)

    assert answer["data"]["completions"][0]["text"]
    assert answer["cost_usd"] > 0
    _look_until(page, "/usage", "fake-chat")
    expect(page.get_by_text("my first program").first).to_be_attached()
    _look_until(page, "/requests", answer["request_id"])
    page.get_by_role("link", name=answer["request_id"]).click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert "my first program" in page.locator("main").inner_text()
    _look_until(page, "/settings/keys", "my first program")
    page.goto("/settings/keys")
    assert key not in page.content(), "shown once"


def _call(site: Site, key: str) -> dict:  # type: ignore[type-arg] # JSON
    body = json.dumps({"provider": "fake", "model": "fake-chat", "inputs": {"prompts": ["hello"]}})
    command = ["curl", "-sS", f"{site.url}/v1/inference", "-d", body]
    for header in (f"Authorization: Bearer {key}", "X-Namespace: default", "Content-Type: application/json"):
        command += ["-H", header]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    answer: dict = json.loads(done.stdout)  # type: ignore[type-arg] # JSON
    return answer


def _look_until(page: Page, path: str, text: str) -> None:
    """Looks again while the journal is moved to the database."""
    deadline = time.monotonic() + 60
    while True:
        page.goto(path)
        if text in page.locator("main").inner_text():
            return
        assert time.monotonic() < deadline, f"{text} does not come to {path}"
        page.wait_for_timeout(500)
