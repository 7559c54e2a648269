"""The routes that the server has, as their tables tell."""

import asyncio
import inspect
import tempfile
from functools import cache

from docs.generator.markdown import table
from inferway.app import create
from inferway.http.admin.endpoint import Endpoint
from inferway.http.admin.health import PARTS
from inferway.http.front import INFERENCE_PATH
from inferway.http.openapi.description import PATH as OPENAPI_PATH
from inferway.http.pages import Page, Pages
from inferway.settings import load


@cache
def endpoints() -> tuple[Endpoint, ...]:
    """The routes that need a key."""
    return asyncio.run(_endpoints())


async def _probe() -> str | None:
    return None


async def _endpoints() -> tuple[Endpoint, ...]:
    with tempfile.TemporaryDirectory() as folder:
        given = {"HOME": folder, "INFERWAY_DATA_DIR": folder, "INFERWAY_LOCAL__ENABLED": "false"}
        application = create(load(environ=given))
        async with application.running():
            # Nobody asks them here.
            return application.office.endpoints(dict.fromkeys(PARTS, _probe))


def routes_table() -> str:
    """Method, path, what a key needs for it, and what it does."""
    rows = [
        ("POST", INFERENCE_PATH, "write", "Runs one inference."),
        *map(_page, Pages(lambda: True).table()),
    ]
    rows.append(("GET", OPENAPI_PATH, "no key", "Describes the API (OpenAPI 3.1)."))
    rows += [
        (each.method, each.path, each.permission.name.lower(), _first_sentence(each.handler))
        for each in endpoints()
    ]
    lines = [
        (f"`{method} {path.replace(':path}', '}')}`", needs, about) for method, path, needs, about in rows
    ]
    return table(("Route", "Needs", ""), lines)


def _page(page: Page) -> tuple[str, str, str, str]:
    return "GET", page.path, "no key", _first_sentence(page.handler)


def _first_sentence(handler: object) -> str:
    """The first sentence of a docstring, as a sentence."""
    text = " ".join((inspect.getdoc(handler) or "").split())
    return text.partition(". ")[0].rstrip(".") + "."
