"""One server and one browser for the tests of a file; every page is watched for complaints."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.browser.chromium import Complaints, chromium, open_context, sign_in
from tests.browser.showing import Site, site_in


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The server of this file."""
    with site_in(tmp_path_factory.mktemp("site")) as started:
        yield started


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The browser of this file."""
    with chromium() as started:
        yield started


@pytest.fixture
def context(browser: Browser, site: Site) -> Iterator[BrowserContext]:
    """Somebody who has never been here."""
    made = open_context(browser, site.url)
    yield made
    made.close()


@pytest.fixture
def stranger(context: BrowserContext) -> Iterator[Page]:
    """A page that nobody has signed in at; the test fails for whatever it complains about."""
    page = context.new_page()
    complaints = Complaints(page)
    yield page
    found = complaints.of(page)
    assert not found, found


@pytest.fixture
def stranger_expecting_refusals(context: BrowserContext) -> Iterator[Page]:
    """The same, where a refusal is what is looked at."""
    page = context.new_page()
    complaints = Complaints(page, expected=(401, 403, 429))
    yield page
    found = complaints.of(page)
    assert not found, found


@pytest.fixture
def page(stranger: Page, site: Site) -> Page:
    """A page of the first administrator."""
    sign_in(stranger, site.link())
    return stranger
