"""`python -m tests.browser.figures`: what the first look at a page costs: bytes, requests, time.

The first line is a page of a few bytes without style: what the browser itself takes on this machine.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Response

from tests.browser.chromium import chromium, open_context, sign_in
from tests.browser.places import PAGES, PUBLIC
from tests.browser.showing import Site, fill, site_in

BYTES_MAX, MILLISECONDS_MAX = 100_000, 200
_BARE = "/v1/health/liveness"
_TIMES = """() => {
  const [page] = performance.getEntriesByType("navigation");
  const paint = performance.getEntriesByName("first-contentful-paint")[0];
  return { answer: page.responseEnd, loaded: page.loadEventEnd, painted: paint ? paint.startTime : page.loadEventEnd };
}"""


def measure(browser: Browser, site: Site, path: str, *, rounds: int, as_stranger: bool) -> dict[str, Any]:
    """A page seen for the first time, with nothing in the browser's cache: medians over the rounds, times in ms."""
    found: dict[str, list[float]] = {"bytes": [], "requests": [], "answer": [], "painted": [], "loaded": []}
    for _ in range(rounds):
        with open_context(browser, site.url) as context:
            page = context.new_page()
            if not as_stranger:
                sign_in(page, site.link())
                # Signed in, but everything else is new again.
                context.new_cdp_session(page).send("Network.clearBrowserCache")
            answers: list[Response] = []

            def note(answer: Response, kept: list[Response] = answers) -> None:
                kept.append(answer)

            page.on("response", note)
            page.goto(path)
            page.wait_for_load_state("networkidle")
            sizes = [answer.request.sizes() for answer in answers]
            found["bytes"].append(
                sum(size["responseBodySize"] + size["responseHeadersSize"] for size in sizes)
            )
            found["requests"].append(len(answers))
            for name, value in page.evaluate(_TIMES).items():
                found[name].append(value)
    return {name: round(statistics.median(values), 1) for name, values in found.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a line for each page; exits with 1 when one is too heavy or too slow."""
    parser = argparse.ArgumentParser(prog="python -m tests.browser.figures", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(arguments)
    is_good = True
    with tempfile.TemporaryDirectory() as folder, site_in(Path(folder)) as site, chromium() as browser:
        fill(site.served)
        bare = measure(browser, site, _BARE, rounds=asked.rounds, as_stranger=True)
        print(json.dumps({"page": "bare", **bare}) if asked.json else _line("bare", bare), flush=True)
        for name, path in (PUBLIC | PAGES).items():
            found = measure(browser, site, path, rounds=asked.rounds, as_stranger=name in PUBLIC)
            is_good &= found["bytes"] < BYTES_MAX and found["painted"] < MILLISECONDS_MAX
            print(json.dumps({"page": name, **found}) if asked.json else _line(name, found), flush=True)
    raise SystemExit(0 if is_good else 1)


def _line(name: str, found: dict[str, Any]) -> str:
    return (
        f"{name:14} {found['bytes'] / 1000:6.1f} kB  {found['requests']:.0f} requests  answered {found['answer']:.0f} ms"
        f"  painted {found['painted']:.0f} ms  loaded {found['loaded']:.0f} ms"
    )


if __name__ == "__main__":
    main()
