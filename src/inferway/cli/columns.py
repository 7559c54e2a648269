"""Tables for people: as wide as their content, and no wider than the terminal."""

import shutil
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

import click

from inferway.cli.answers import plain

_GAP = "  "
_LEAST = 8
"""Below so many characters no column is cut."""


def columns(
    head: Sequence[str], rows: Iterable[Sequence[object]], *, width: int | None = None
) -> Iterator[str]:
    """The lines of a table. A column whose name begins with `>` is aligned to the right; None is an empty cell.

    `width` is the terminal's by default, and no limit where there is none; then the widest columns are cut, with an ellipsis.
    """
    names = [name.removeprefix(">") for name in head]
    is_right = [name.startswith(">") for name in head]
    cells = [["" if each is None else plain(str(each)).replace("\n", " ") for each in row] for row in rows]
    if width is None:
        width = terminal_width()
    widths = [max(map(width_of, column)) for column in zip(names, *cells, strict=True)]
    _squeeze(widths, is_right, width)
    for number, row in enumerate([names, *cells]):
        line = _GAP.join(map(_fit, row, widths, is_right)).rstrip()
        yield line if number else click.style(line, bold=True)


def terminal_width() -> int | None:
    """How many places a line of standard output has; None where it is no terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def width_of(text: str) -> int:
    """How many places of a terminal a text takes."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(each) in "WF" for each in text)
    return len(text) + wide - sum(unicodedata.combining(each) > 0 for each in text)


def _squeeze(widths: list[int], is_right: list[bool], width: int | None) -> None:
    """Takes from the widest columns of text until all fit; numbers are never cut."""
    while width is not None and sum(widths) + len(_GAP) * (len(widths) - 1) > width:
        able = [number for number in range(len(widths)) if not is_right[number] and widths[number] > _LEAST]
        if not able:
            return
        widths[max(able, key=widths.__getitem__)] -= 1


def _fit(text: str, width: int, is_right: bool) -> str:  # noqa: FBT001 - given by map
    if width_of(text) > width:
        while width_of(text) > width - 1:
            text = text[:-1]
        text += "…"
    space = " " * (width - width_of(text))
    return space + text if is_right else text + space
