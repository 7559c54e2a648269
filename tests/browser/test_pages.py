"""What holds for every page: nothing to complain about, readable by everybody, at home on a phone and in the dark."""

from typing import Any, get_args

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from inferway.http.dashboard.door import Door
from inferway.http.dashboard.site import views_of
from tests.browser.chromium import DESKTOP, PHONE, Complaints, Scheme, open_context, sign_in
from tests.browser.places import PAGES, PUBLIC, open_place
from tests.browser.showing import Site, fill

pytestmark = [pytest.mark.chromium, pytest.mark.timeout(300)]

_RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}}


@pytest.fixture(scope="module", autouse=True)
def _filled(site: Site) -> None:
    """Something to show on every page."""
    fill(site.served)


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", get_args(Scheme))
def test_pages_are_for_everybody(browser: Browser, site: Site, scheme: Scheme, size: tuple[int, int]) -> None:
    context = open_context(browser, site.url, scheme=scheme, size=size)
    page = context.new_page()
    complaints = Complaints(page)
    for name, path in PUBLIC.items():
        _look(page, name, path, size)
    sign_in(page, site.link())
    for name, path in PAGES.items():
        _look(page, name, path, size)
        assert not complaints.of(page), name
    context.close()


def _look(page: Page, name: str, path: str, size: tuple[int, int]) -> None:
    open_place(page, path)
    found = Axe().run(page, options=_RULES)
    assert found.violations_count == 0, f"{name}: {found.generate_report()}"
    assert page.locator("h1").count() == 1, name
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= size[0], f"{name} is {wide} pixels wide"


def test_no_page_is_left_out() -> None:
    """Every page that needs no name of a thing is in the list."""
    known = {path.partition("?")[0] for path in (*PAGES.values(), *PUBLIC.values())}
    missing = [
        path for path in _paths() if "{" not in path and not path.endswith("/export") and path not in known
    ]
    assert not missing


def test_a_page_can_be_left_to_the_keyboard(page: Page) -> None:
    page.goto("/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    reached = set()
    for _ in range(40):
        page.keyboard.press("Shift+Tab")
        reached.add(page.evaluate("document.activeElement.getAttribute('href')"))
    assert {"/", "/playground", "/usage", "/settings/keys"} <= reached


@pytest.mark.parametrize("path", ["/health", "/settings/limits", "/audit"])
def test_on_a_phone_the_page_at_hand_is_in_sight_among_all(browser: Browser, site: Site, path: str) -> None:
    context = open_context(browser, site.url, size=PHONE)
    page = context.new_page()
    sign_in(page, site.link())
    open_place(page, path)
    place = page.locator(".side [aria-current]").bounding_box()
    assert place is not None
    assert place["x"] >= 0
    assert place["x"] + place["width"] <= PHONE[0]
    context.close()


@pytest.mark.parametrize("path", ["/settings/keys", "/audit"])
def test_the_first_name_that_everybody_sees_is_not_broken_in_two(page: Page, path: str) -> None:
    open_place(page, path)
    cells = page.locator("td", has_text="admin@localhost")
    lines = cells.first.evaluate(
        """(cell) => {
          const range = document.createRange();
          range.selectNodeContents(cell.firstChild);
          return range.getClientRects().length;
        }"""
    )
    assert lines == 1
    assert page.evaluate(
        "document.querySelector('.table').scrollWidth <= document.querySelector('.table').clientWidth"
    )


def _paths() -> list[str]:
    nobody: Any = None
    return [view.path for view in views_of(Door(nobody)) if view.method == "GET"]
