"""The arrows of the design hold in the product, and each rule is seen to bite on a small bad sample."""

from pathlib import Path

import pytest

from tests.guards.architecture import find_violations, read_tree

PRODUCT = Path(__file__).parents[2] / "src" / "inferway"


def _violations(root: Path, path: str, source: str) -> list[str]:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    (root / "providers" / "openai").mkdir(parents=True, exist_ok=True)
    (root / "providers" / "openai" / "errors.py").write_text('"""Another provider."""\n', encoding="utf-8")
    file.write_text(f'"""A sample."""\n{source}\n', encoding="utf-8")
    return find_violations(read_tree(root))


@pytest.mark.timeout(300)
def test_the_product_follows_the_architecture() -> None:
    modules = read_tree(PRODUCT)
    assert {"errors", "types", "providers.base"} <= {module.name for module in modules}
    violations = find_violations(modules)
    assert not violations, "\n".join(["", *violations])


@pytest.mark.parametrize(
    ("path", "source", "breach"),
    [
        # Arrows.
        ("types.py", "from inferway.settings import Settings", "types may not import settings.Settings"),
        ("access/keys.py", "import inferway.limits.bucket", "access may not import limits.bucket"),
        ("usage/ledger.py", "from ..store import sqlite", "usage may not import store.sqlite"),
        ("providers/openai/chat.py", "from inferway import usage", "providers may not import usage"),
        ("providers/base.py", "from inferway.store import sqlite", "providers may not import store.sqlite"),
        (
            "pipeline/life.py",
            "from inferway.providers.openai import chat",
            "pipeline may not import providers.openai",
        ),
        ("pipeline/life.py", "from inferway.http import render", "pipeline may not import http.render"),
        (
            "http/admin.py",
            "def build():\n    from inferway.app import build",
            "http may not import app.build",
        ),
        ("http/admin.py", "from inferway.store import sqlite", "http may not import store.sqlite"),
        ("store/sqlite.py", "from inferway.pipeline import life", "store may not import pipeline.life"),
        ("extras/thing.py", "", "area 'extras' has no place"),
        (
            "providers/google/chat.py",
            "from inferway.providers.openai import chat",
            "provider google may not import",
        ),
        ("providers/google/chat.py", "from ..openai.chat import to_wire", "provider google may not import"),
        # Single owners.
        ("pipeline/life.py", "import httpx", "HTTP client (httpx)"),
        ("providers/openai/chat.py", "from urllib import request", "HTTP client (urllib)"),
        ("providers/local/hub.py", "import urllib.request", "HTTP client (urllib.request)"),
        ("cli.py", "from http.client import HTTPConnection", "HTTP client (http.client)"),
        ("usage/ledger.py", "import sqlite3", "database (sqlite3)"),
        ("access/keys.py", "FIND = 'SELECT id FROM keys WHERE hash = ?'", "SQL belongs to store"),
        ("pipeline/life.py", "from starlette.requests import Request", "web framework (starlette.requests)"),
        ("cli.py", "import uvicorn", "web framework (uvicorn)"),
        (
            "access/keys.py",
            "import os\ndef f(): return os.environ['X']",
            "the environment belongs to settings",
        ),
        ("app.py", "from os import getenv", "the environment belongs to settings"),
        (
            "limits/owner.py",
            "async def f(asyncio): await asyncio.open_connection('h', 1)",
            "open_connection belongs",
        ),
        # Privacy.
        ("access/keys.py", "from inferway.errors import _status", "_status is private"),
        ("http/admin.py", "from starlette._utils import thing", "_utils is private"),
        ("access/keys.py", "from inferway import errors\ndef f(): errors._status()", "_status is private"),
        (
            "access/keys.py",
            "import inferway.errors\ndef f(): inferway.errors._status()",
            "_status is private",
        ),
        # No work and no mutable state at import.
        ("access/keys.py", "print('hello')", "Expr at import"),
        ("access/keys.py", "KEYS = open('keys').read()", "open() at import"),
        ("access/keys.py", "import time\nSTARTED = time.time()", "time.time() at import"),
        ("access/keys.py", "for x in range(3):\n    pass", "For at import"),
        ("access/keys.py", "from threading import Lock\nLOCK = Lock()", "Lock() at import"),
        ("access/keys.py", "class Box:\n    made = open('x')", "open() at import"),
        ("access/keys.py", "import sys\nif sys.version_info:\n    print()", "Expr at import"),
        ("access/keys.py", "N = 0\ndef f():\n    global N\n    N = 1", "global N"),
        ("access/keys.py", "SEEN = {}\ndef f(x): SEEN[x] = 1", "SEEN is changed"),
        ("access/keys.py", "SEEN: list[int] = []\ndef f(x): SEEN.append(x)", "SEEN is changed"),
        # Form.
        ("access/utils.py", "", "the name 'utils' tells nothing"),
        ("access/keys.py", "#\n" * 601, "lines, more than 600"),
    ],
)
def test_a_breach_is_found(tmp_path: Path, path: str, source: str, breach: str) -> None:
    found = _violations(tmp_path, path, source)
    assert any(breach in line for line in found), found


def test_a_module_without_a_docstring_is_found(tmp_path: Path) -> None:
    (tmp_path / "types.py").write_text("X = 1\n", encoding="utf-8")
    assert find_violations(read_tree(tmp_path)) == ["types:1: no module docstring"]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        (
            "pipeline/life.py",
            "from inferway.access import keys\nfrom inferway.providers.base import Provider",
        ),
        ("providers/google/chat.py", "from inferway.providers.base import Target\nfrom . import errors"),
        (
            "providers/google/chat.py",
            "from inferway.providers import parameters\nfrom .errors import classify",
        ),
        ("providers/transport.py", "import pyreqwest\nasync def f(loop): await loop.create_connection(None)"),
        ("media/fetch.py", "import httpcore"),
        ("store/sqlite.py", "import sqlite3\nfrom inferway.access import keys\nFIND = 'SELECT id FROM keys'"),
        (
            "app.py",
            "import uvicorn\nfrom inferway.store import sqlite\nfrom inferway.providers.openai import chat",
        ),
        ("cli.py", "from inferway.app import build\nif __name__ == '__main__':\n    build()"),
        ("settings.py", "import os\ndef read(): return os.environ.get('INFERWAY_PORT')"),
        ("access/keys.py", "import os\ndef f(): os._exit(1)"),
        ("access/keys.py", "import re, logging\n_LOG = logging.getLogger(__name__)\nFORM = re.compile('x')"),
        ("access/keys.py", "class Row:\n    pass\nROWS = {name: Row() for name in 'a b'.split()}"),
        ("access/keys.py", "SEEN = {}\ndef f(x):\n    SEEN = {}\n    SEEN[x] = 1"),
        ("access/keys.py", "MAKE = lambda: open('x')"),
        ("http/guide.py", "TEXT = 'Select a key from the list; update it; delete from the menu'"),
    ],
)
def test_what_the_design_allows_passes(tmp_path: Path, path: str, source: str) -> None:
    assert _violations(tmp_path, path, source) == []
