"""Whatever is stored is text: of thousands of scripts in every field nothing runs, on any page."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from inferway.settings import load
from tests.browser.chromium import Complaints, open_context, sign_in
from tests.browser.injections import Source, infest
from tests.browser.places import PAGES
from tests.browser.showing import Admin, Site, site_in

pytestmark = [pytest.mark.chromium, pytest.mark.timeout(300)]

_ROWS = 60
_FOUND = """() => ({
  ran: window.__ran ?? null,
  scripts: [...document.scripts].filter((each) => !each.src.startsWith(location.origin + "/static/")).length,
  strange: document.querySelectorAll(
    "iframe, object, embed, base, meta[http-equiv], template, marquee, math, link[rel=stylesheet]:not([href^='/static/'])"
    + ", a[href^='javascript:' i], form[action^='javascript:' i]").length,
  handlers: [...document.querySelectorAll("*")].flatMap((each) => [...each.attributes])
    .filter((each) => /^on|^style$|^srcdoc$/i.test(each.name)).map((each) => `${each.name}=${each.value}`),
  asked: performance.getEntriesByType("resource").map((each) => each.name)
    .filter((each) => !each.startsWith(location.origin + "/")),
  links: [...document.querySelectorAll("main a[href]")].map((each) => each.getAttribute("href")),
})"""


def test_thousands_of_scripts_in_every_stored_field_stay_text(browser: Browser, tmp_path: Path) -> None:
    source = Source()
    with site_in(tmp_path) as site:
        settings = load(environ={}, config=site.config, overrides={"data_dir": str(site.served.data_dir)})
        # The browser's driver has a loop in this thread already.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(lambda: asyncio.run(infest(settings, source, rows=_ROWS))).result()
        assert len(set(source.used)) >= 2000
        _ask_with_scripts(site, source)
        context = open_context(browser, site.url)
        page = context.new_page()
        complaints = Complaints(page, expected=(400, 404))
        page.on("dialog", complaints.spoken)
        sign_in(page, site.link())
        seen: set[str] = set()
        waiting = list(PAGES.values())
        while waiting and len(seen) < 60:
            path = waiting.pop(0)
            if path in seen:
                continue
            seen.add(path)
            waiting += [link for link in _look(page, path, complaints) if _leads_on(link, seen)][:4]
        assert len(seen) >= len(PAGES)
        context.close()


def _look(page: Page, path: str, complaints: Complaints) -> list[str]:
    """What a page has that it must not have: nothing. Its links."""
    page.goto(path)
    page.wait_for_load_state("networkidle")
    found = page.evaluate(_FOUND)
    links: list[str] = found.pop("links")
    assert found == {"ran": None, "scripts": 0, "strange": 0, "handlers": [], "asked": []}, path
    assert not complaints.of(page), path
    return links


def _leads_on(link: str, seen: set[str]) -> bool:
    return (
        link.startswith("/") and link not in seen and not link.startswith("/static/") and "export" not in link
    )


def _ask_with_scripts(site: Site, source: Source) -> None:
    """Prompts and names of models as callers send them, in a namespace that keeps them."""
    admin = Admin(site.served)
    admin.ask("POST", "/v1/namespaces", {"namespace_name": "kept", "keep_content": {"days": 1}})
    for _ in range(20):
        body = {"model": "fake-chat", "inputs": {"prompts": [source.next()], "system": source.next()}}
        admin.ask("POST", "/v1/inference", {"provider": "fake", **body}, namespace="kept")
        odd = {"provider": source.next(), "model": source.next(), "inputs": {"prompts": [source.next()]}}
        admin.ask("POST", "/v1/inference", odd, namespace="kept", expect=400)
