"""The README and the pages say what the code says, and lead somewhere."""

import re
from pathlib import Path

import pytest
from starlette.routing import Route

from inferway import errors
from inferway.cli.table import markdown_tables
from inferway.errors import GatewayError
from inferway.http.dashboard.view import PageRoute
from inferway.providers.local.catalogue import load_catalogue
from inferway.settings import describe
from tests.http.kit import running

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]


def test_every_setting_is_in_the_table() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    written = page.partition("<!-- generated: settings -->\n")[2].partition("<!-- end -->")[0]
    assert written.strip() == markdown_tables(tuple(describe())).strip(), "run: make docs"


def test_every_local_model_is_in_the_table_as_the_catalogue_has_it() -> None:
    page = (ROOT / "docs" / "local-models.md").read_text("utf-8")
    rows = {line.split("`")[1]: line for line in page.splitlines() if line.startswith("| `")}
    models = load_catalogue().models
    assert rows.keys() == models.keys()
    for name, model in models.items():
        for said in (model.licence, model.quality, f"{model.size / 1e6:.0f} MB"):
            assert said in rows[name]
        assert ("by default" in rows[name]) == model.default


def test_every_status_type_and_default_code_of_the_error_tree_is_documented() -> None:
    page = (ROOT / "docs" / "errors.md").read_text("utf-8")
    classes = [
        each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, GatewayError)
    ]
    for each in classes:
        assert f"| {each.status} | `{each.type}`" in page
        assert each.default_code is None or f"`{each.default_code}`" in page


def test_every_route_is_in_the_table(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "routes.md").read_text("utf-8")
    told = set(re.findall(r"^\| `(\w+ /[^`]*)`", page, re.MULTILINE))
    with running(tmp_path) as gateway:
        routes = [
            each
            for each in gateway.app._front._pages.routes
            if isinstance(each, Route) and not isinstance(each, PageRoute)
        ]
    served = {
        f"{method} {each.path.replace(':path}', '}')}" for each in routes for method in each.methods or ()
    }
    assert len(served) > 30
    assert {each for each in served if not each.startswith("HEAD ") and "/static/" not in each} == told


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_to_a_file_leads_to_one(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
    missing = [link for link in links if not (page.parent / link).exists()]
    assert not missing


def test_the_readme_is_short_and_shows_the_first_answer_early() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert len(text.split()) <= 600
    first = "\n".join(text.splitlines()[:35])
    assert "make run" in first
    assert "inferway call" in first


def test_the_architecture_page_is_short_and_names_files_that_exist() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    assert len(text.splitlines()) < 200
    package = ROOT / "src" / "inferway"
    named = set(re.findall(r"`((?:[a-z_]+/)+[a-z_]*(?:\.[a-z]+)?)`", text))
    for name in named - {"providers/NAME/"}:
        assert (package / name).exists() or (ROOT / name).exists(), name
