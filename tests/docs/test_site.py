"""The site builds without a warning, holds every page, and asks for nothing from elsewhere."""

import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from docs.generator.site import DOCS, ROOT, contents, decisions, rewritten, sources
from tests.guards.omissions import docs_environment


def test_every_page_is_in_the_contents_of_the_site_once() -> None:
    linked = [page for _, pages in contents((DOCS / "index.md").read_text("utf-8")) for page in pages]
    meant = sorted((DOCS / page).resolve() for page in linked)
    pages = [page for page in sources() if page.parent != DOCS / "decisions" and page.name != "index.md"]
    assert meant == sorted([*pages, DOCS / "decisions"])


def test_every_decision_is_listed_by_its_title() -> None:
    listed = decisions(sources())
    for page in DOCS.glob("decisions/*.md"):
        assert f"({page.name})" in listed


def test_a_link_out_of_the_folder_becomes_a_page_and_code_stays_as_it_is() -> None:
    text = "[a](../ARCHITECTURE.md#x) [b](decisions) [c](https://example.com/d.md)\n```text\n[d](nowhere.md)\n```\n"
    found = rewritten(text, DOCS / "index.md", sources())
    assert found.splitlines() == [
        "[a](architecture.md#x) [b](decisions/index.md) [c](https://example.com/d.md)",
        *text.splitlines()[1:],
    ]


class _Page(HTMLParser):
    """The addresses that a page fetches, and those that it leads to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "src" or (name == "href" and tag == "link"):
                self.fetched.append(value or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    python = docs_environment() / "bin" / "python"
    folder = tmp_path_factory.mktemp("site")
    staged, built = folder / "sources", folder / "html"
    sphinx = ["sphinx", "-q", "-W", "--keep-going", "-b", "html", "-c", "docs/site"]
    for module in (["docs.generator.site", str(staged)], [*sphinx, str(staged), str(built)]):
        ended = subprocess.run([python, "-m", *module], cwd=ROOT, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
    return built


@pytest.mark.site
@pytest.mark.timeout(300)
def test_the_site_holds_every_page_and_fetches_nothing_from_elsewhere(site: Path) -> None:
    for place in sources().values():
        text = (site / place).with_suffix(".html").read_text("utf-8")
        fetched = _Page(text).fetched
        assert fetched
        assert not [address for address in fetched if re.match(r"(?:[a-z]+:)?//", address)]
