"""`python -m tests.browser.screenshots FOLDER`: a picture of every page, light and dark, on a desktop and on a phone."""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from playwright.sync_api import Browser

from tests.browser.chromium import DESKTOP, PHONE, Scheme, chromium, open_context, sign_in
from tests.browser.places import PAGES, PUBLIC, open_place
from tests.browser.showing import Site, fill, site_in

_SIZES = {"desktop": DESKTOP, "phone": PHONE}


def main(arguments: Sequence[str] | None = None) -> None:
    """Takes the pictures of a server that it starts and fills."""
    parser = argparse.ArgumentParser(prog="python -m tests.browser.screenshots", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the pictures go")
    parser.add_argument("--only", nargs="*", default=[], help="names of pages")
    chosen = parser.parse_args(arguments)
    chosen.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, site_in(Path(folder)) as site, chromium() as browser:
        fill(site.served)
        for scheme in get_args(Scheme):
            for size in _SIZES:
                _shoot(browser, site, chosen.folder, scheme, size, chosen.only)


def _shoot(
    browser: Browser, site: Site, folder: Path, scheme: Scheme, size: str, only: Sequence[str]
) -> None:
    context = open_context(browser, site.url, scheme=scheme, size=_SIZES[size])
    page = context.new_page()
    for name, path in PUBLIC.items():
        if not only or name in only:
            open_place(page, path)
            page.screenshot(path=folder / f"{name}-{size}-{scheme}.png", full_page=True)
    sign_in(page, site.link())
    for name, path in PAGES.items():
        if not only or name in only:
            open_place(page, path)
            page.screenshot(path=folder / f"{name}-{size}-{scheme}.png", full_page=True)
            print(f"{name}-{size}-{scheme}.png", flush=True)
    context.close()


if __name__ == "__main__":
    main()
