"""Has alembic write the SQL of the revisions; a server never imports this."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO, cast

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory


class _Statements:
    """Stands for the file that alembic writes to, a statement each time."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def write(self, text: str) -> None:
        statement = text.strip().removesuffix(";")
        # alembic's own remarks come one by one, too.
        if not statement.startswith("--"):
            self.found.append(statement)

    def flush(self) -> None:
        """Nothing is held back."""


DIALECTS = ("sqlite", "postgresql")


def write_steps() -> dict[str, dict[str, list[str]]]:
    """For each revision, the oldest first, and each database: the statements that lead to it from the one before."""
    scripts = ScriptDirectory(str(Path(__file__).parent))
    steps = {}
    before = None
    for script in reversed(list(scripts.walk_revisions())):
        steps[script.revision] = {
            dialect: write_statements(dialect, before, script.revision) for dialect in DIALECTS
        }
        before = script.revision
    return steps


def write_statements(dialect: str, since: str | None, until: str = "head") -> list[str]:
    """The statements from a revision (None: an empty database) to another, by default the newest, without a transaction around them."""
    scripts = ScriptDirectory(str(Path(__file__).parent))
    written = _Statements()

    def steps(heads: Any, _: MigrationContext) -> Iterable[Any]:
        # What alembic's own `upgrade` hands on, too; its documentation of `fn` names it.
        return scripts._upgrade_revs(until, heads)  # noqa: SLF001

    context = MigrationContext.configure(
        dialect_name=dialect,
        opts={
            "as_sql": True,
            "starting_rev": since,
            "output_buffer": cast("TextIO", written),
            "fn": steps,
            "script": scripts,
        },
    )
    with Operations.context(context):
        context.run_migrations()
    return written.found
