"""The pages that hold generated tables: each stands between `<!-- generated: NAME -->` and `<!-- end -->`."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from docs.generator import facts, failures, features, observed, routes, verbs
from inferway.cli.table import markdown_tables
from inferway.settings import describe

FOLDER = Path(__file__).parents[1]
PAGES = (
    "providers.md",
    "errors.md",
    "operations.md",
    "configuration.md",
    "command-line.md",
    "extending.md",
    "routes.md",
)
TABLES: Mapping[str, Callable[[], str]] = {
    "operations": features.operations_table,
    "parameters": features.parameter_tables,
    "model facts": facts.model_facts,
    "known servers": facts.known_servers,
    "metrics": observed.metrics_table,
    "codes": failures.codes_table,
    "provider errors": failures.provider_errors,
    "routes": routes.routes_table,
    "settings": lambda: markdown_tables(tuple(describe())),
    "quirks": facts.quirks_table,
    "verbs": verbs.verbs_list,
}

_BLOCK = re.compile(r"(<!-- generated: ([a-z ]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def fill(page: str) -> str:
    """A page with its tables made anew."""
    return _BLOCK.sub(lambda found: f"{found[1]}\n{TABLES[found[2]]().strip()}\n\n{found[3]}", page)


def tables_in(page: str) -> list[str]:
    """The names of the tables that a page holds."""
    return [found[2] for found in _BLOCK.finditer(page)]


def write_pages() -> None:
    """Write the tables into the pages."""
    for name in PAGES:
        path = FOLDER / name
        path.write_text(fill(path.read_text("utf-8")), "utf-8")
