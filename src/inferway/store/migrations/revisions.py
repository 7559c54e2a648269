"""Which revisions this program knows, and the SQL that leads from one to the newest, as alembic wrote it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from inferway.store.errors import StoreError

Dialect = Literal["sqlite", "postgresql"]

VERSION_TABLE = "alembic_version"
CURRENT = f"SELECT version_num FROM {VERSION_TABLE}"  # noqa: S608 - a constant
"""Asks a database for its revision; it is the one row."""


def revisions() -> tuple[str, ...]:
    """Every revision, the oldest first."""
    return tuple(sorted(file.stem for file in _folder().glob("*.json")))


def is_current(found: str, where: str) -> bool:
    """Whether a database at this revision has all tables. Raises `StoreError` for one that a newer program wrote."""
    known = revisions()
    if found not in known:
        raise StoreError(
            f"{where}: written by a newer Inferway (format {found}, this one reads {known[-1]}). "
            "Install that version again, or choose another database."
        )
    return found == known[-1]


def statements(dialect: Dialect, since: str | None) -> Sequence[str]:
    """The statements that bring a database from a revision (None: empty) to the newest, the note of the revision among them.

    They are to be run in one transaction.
    """
    missing = [each for each in revisions() if since is None or each > since]
    return tuple(statement for each in missing for statement in _step(each)[dialect])


def _step(revision: str) -> dict[str, list[str]]:
    return msgspec.json.decode((_folder() / f"{revision}.json").read_bytes(), type=dict[str, list[str]])


def _folder() -> Path:
    return Path(__file__).parent / "sql"
