"""Which revisions this program knows, and the SQL that leads from one to the newest; alembic works in a process of its own."""

import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec

from inferway.store.errors import StoreError

Dialect = Literal["sqlite", "postgresql"]

VERSION_TABLE = "alembic_version"
CURRENT = f"SELECT version_num FROM {VERSION_TABLE}"  # noqa: S608 - a constant
"""Asks a database for its revision; it is the one row."""

_PATIENCE_S = 120.0


def revisions() -> tuple[str, ...]:
    """Every revision, the oldest first: a file `NNNN_what_it_does.py` each. Reads one folder, and imports nothing."""
    folder = Path(__file__).parent / "versions"
    return tuple(sorted(file.name[:4] for file in folder.glob("[0-9][0-9][0-9][0-9]_*.py")))


def is_current(found: str, where: str) -> bool:
    """Whether a database at this revision has all tables. Raises `StoreError` for one that a newer program wrote."""
    known = revisions()
    if found not in known:
        raise StoreError(
            f"{where}: written by a newer Inferway (format {found}, this one reads {known[-1]}). "
            "Install that version again, or choose another database."
        )
    return found == known[-1]


@cache
def statements(dialect: Dialect, since: str | None) -> Sequence[str]:
    """The statements that bring a database from a revision (None: empty) to the newest, the note of the revision among them.

    They are to be run in one transaction. Takes about a second, in a child process: what it imports takes 40 MB, which a
    server would keep for the one second of its life in which it needs them. Raises `StoreError`.
    """
    command = [sys.executable, "-m", "inferway.store.migrations", dialect, *([since] if since else [])]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_PATIENCE_S, check=True)  # noqa: S603 - our own program
    except subprocess.CalledProcessError as error:
        last = error.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise StoreError(f"the tables cannot be brought up to date: {last}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StoreError(f"the tables cannot be brought up to date: {error}") from None
    return msgspec.json.decode(done.stdout, type=tuple[str, ...])
