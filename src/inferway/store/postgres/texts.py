"""Texts with a NUL, which PostgreSQL cannot keep: stored with a sign in its place that stands for nothing else."""

from collections.abc import Iterator, Sequence
from typing import Any

from inferway.store.work import Row

_SIGN = "\ufffe"
"""No character: nobody may use it to exchange texts. One that comes all the same is doubled."""


def to_text(values: Sequence[Any]) -> tuple[Any, ...]:
    """Values as they are stored."""
    return tuple(
        _hide(each) if isinstance(each, str) and ("\0" in each or _SIGN in each) else each for each in values
    )


def from_text(rows: Sequence[Row]) -> Sequence[Row]:
    """Rows as they were before; they are the same rows, unless one of their texts had a NUL."""
    return [
        _Restored(row) if any(isinstance(each, str) and _SIGN in each for each in row) else row
        for row in rows
    ]


def _hide(text: str) -> str:
    return text.replace(_SIGN, _SIGN + _SIGN).replace("\0", _SIGN + "0")


def _show(text: str) -> str:
    parts = text.split(_SIGN + _SIGN)
    return _SIGN.join(part.replace(_SIGN + "0", "\0") for part in parts)


class _Restored:
    """A row whose values are found by position and by name, as in the driver's own."""

    def __init__(self, row: Row) -> None:
        self._values = {
            name: _show(value) if isinstance(value, str) else value for name, value in row.items()
        }

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values.values())

    def __getitem__(self, place: str | int) -> Any:
        return self._values[place] if isinstance(place, str) else tuple(self)[place]
