"""The system's Chromium, headless, and what it complains about."""

import contextlib
import os
from collections.abc import Iterator
from typing import Literal

from playwright.sync_api import Browser, BrowserContext, Dialog, Page, sync_playwright

from tests.browser.program import find_chromium

Scheme = Literal["light", "dark"]
DESKTOP, PHONE = (1280, 900), (390, 844)

_QUIET = (
    *("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
    # A microphone that hums, and nobody asked whether it may be heard.
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
)
_WATCH_POLICY = """
window.__violations = [];
document.addEventListener("securitypolicyviolation", (event) => {
  window.__violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
});
"""


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """The browser, started and ended. Raises `RuntimeError` when there is none."""
    program = find_chromium()
    if program is None:
        raise RuntimeError("no Chromium here: install the package of that name")
    # Root may not have Chromium's own sandbox; nothing but our own pages is loaded.
    own = ("--no-sandbox",) if os.geteuid() == 0 else ()
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=[*_QUIET, *own])
        try:
            yield browser
        finally:
            browser.close()


class Complaints:
    """What a page complained about: errors, console errors, and what its policy forbade."""

    def __init__(self, page: Page, *, expected: tuple[int, ...] = ()) -> None:
        self.found: list[str] = []
        self._expected = tuple(f"status of {status}" for status in expected)
        page.add_init_script(_WATCH_POLICY)
        page.on("pageerror", lambda error: self.found.append(f"error: {error}"))
        page.on("console", lambda message: self._note(message.type, message.text))
        page.on("requestfailed", lambda request: self._failed(request.url, str(request.failure)))

    def expect(self, *statuses: int) -> None:
        """From now on answers of these statuses are no news, though the browser reports them."""
        self._expected = (*self._expected, *(f"status of {status}" for status in statuses))

    def spoken(self, dialog: Dialog) -> None:
        """A dialog that nobody expected."""
        self.found.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def of(self, page: Page) -> list[str]:
        """All of it, also what the policy has forbidden on the page at hand."""
        forbidden = page.evaluate("window.__violations ?? []")
        return [*self.found, *(f"policy: {each}" for each in forbidden)]

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and not any(each in text for each in self._expected):
            self.found.append(f"{kind}: {text}")

    def _failed(self, url: str, why: str) -> None:
        # A page that is left breaks off what it was still waiting for.
        if "ERR_ABORTED" not in why:
            self.found.append(f"request: {url} {why}")


def open_context(
    browser: Browser, url: str, *, scheme: Scheme = "light", size: tuple[int, int] = DESKTOP
) -> BrowserContext:
    """A browser of somebody who has never been here; relative addresses are those of the server at `url`."""
    context = browser.new_context(
        base_url=url,
        color_scheme=scheme,
        viewport={"width": size[0], "height": size[1]},
        reduced_motion="reduce",
        permissions=["clipboard-read", "clipboard-write", "microphone"],
    )
    context.set_default_timeout(90_000)
    return context


def sign_in(page: Page, link: str) -> None:
    """Uses a one-time link."""
    page.goto(link)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/")
