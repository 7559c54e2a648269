"""Lays the pages out for Sphinx: `python -m docs.generator.site FOLDER`.

The pages stay plain Markdown that reads well where the repository is browsed: the contents of the site are the links of `index.md`,
and links that lead out of `docs/` become links between pages.
"""

import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
OUTSIDE = {ROOT / "ARCHITECTURE.md": "architecture.md", ROOT / "CHANGELOG.md": "changes.md"}
"""Pages that stand at the top of the repository, and where they are in the site."""
DECISIONS = "decisions/index.md"

_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(\]\()([^)#:\s]+)((?:#[^)\s]*)?\))")
_SECTION = re.compile(r"^## (.+)$", re.MULTILINE)


class DeadLink(Exception):
    """A page links to a file that is no page of the site."""


def sources() -> dict[Path, str]:
    """Every page: its file, and where it is in the site."""
    pages = {path: path.relative_to(DOCS).as_posix() for path in sorted(DOCS.rglob("*.md"))}
    return {**pages, **OUTSIDE}


def lay_out(target: Path) -> None:
    """Writes the pages of the site. Raises `DeadLink`."""
    shutil.rmtree(target, ignore_errors=True)
    pages = sources()
    for file, place in pages.items():
        text = rewritten(file.read_text("utf-8"), file, pages)
        if place == "index.md":
            text += "\n" + "\n".join(_trees(text))
        _write(target / place, text)
    _write(target / DECISIONS, decisions(pages))


def rewritten(text: str, file: Path, pages: Mapping[Path, str]) -> str:
    """A page with its links as they are in the site; what stands in fences stays as it is."""
    parts, end = [], 0
    for fence in _FENCE.finditer(text):
        parts += [_with_links(text[end : fence.start()], file, pages), fence[0]]
        end = fence.end()
    return "".join([*parts, _with_links(text[end:], file, pages)])


def _with_links(text: str, file: Path, pages: Mapping[Path, str]) -> str:
    def link(found: re.Match[str]) -> str:
        meant = Path(os.path.normpath(file.parent / found[2]))
        place = DECISIONS if meant == DOCS / "decisions" else pages.get(meant)
        if place is None:
            raise DeadLink(f"{file.relative_to(ROOT)} links to {found[2]}, which is no page of the site")
        return found[1] + os.path.relpath(place, Path(pages[file]).parent) + found[3]

    return _LINK.sub(link, text)


def contents(index: str) -> Iterator[tuple[str, list[str]]]:
    """The sections of the index with the pages that each links to."""
    _, *parts = _SECTION.split(index)
    for title, body in zip(parts[::2], parts[1::2], strict=True):
        yield title, [found[2] for found in _LINK.finditer(body)]


def _trees(index: str) -> Iterator[str]:
    for title, pages in contents(index):
        yield "\n".join(["```{toctree}", ":hidden:", f":caption: {title}", "", *pages, "```", ""])


def decisions(pages: Mapping[Path, str]) -> str:
    """The list of all decisions by their titles."""
    found = {path: path.read_text("utf-8") for path in pages if path.parent == DOCS / "decisions"}
    titles = {path.name: text.splitlines()[0].removeprefix("# ") for path, text in found.items()}
    listed = "\n".join(f"- [{title}]({name})" for name, title in titles.items())
    tree = "\n".join(["```{toctree}", ":hidden:", "", *titles, "```"])
    return f"# Decisions\n\nWhat was decided, and the figures that decided it.\n\n{listed}\n\n{tree}\n"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


if __name__ == "__main__":
    lay_out(Path(sys.argv[1]))
