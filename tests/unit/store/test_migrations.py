"""The revisions: one line from the first to the newest, and SQL that either database takes."""

import json
from pathlib import Path

import pytest

import inferway.store.migrations
from inferway.store.errors import StoreError
from inferway.store.migrations.revisions import is_current, revisions, statements
from inferway.store.migrations.writer import write_statements, write_steps


def test_the_revisions_are_one_line_without_a_gap() -> None:
    assert revisions() == tuple(f"{number:04}" for number in range(1, len(revisions()) + 1))
    written = [each for each in write_statements("sqlite", None) if "alembic_version" in each]
    notes = [each.rpartition("alembic_version")[2] for each in written]
    assert len(notes) == 1 + len(revisions()), "each revision follows the one before"


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_every_step_is_one_statement_without_a_place_for_a_value(dialect: str) -> None:
    for statement in write_statements(dialect, None):
        assert ";" not in statement, "it would be run in part"
        assert "%(" not in statement, "a colon before a word stands for a value: write it otherwise"


def test_what_ships_is_what_alembic_writes() -> None:
    for revision, texts in write_steps().items():
        folder = Path(inferway.store.migrations.__file__).parent / "sql"
        shipped = json.loads((folder / f"{revision}.json").read_text("utf-8"))
        assert shipped == texts, "run: python -m inferway.store.migrations"
    assert set(write_steps()) == set(revisions())


def test_only_what_follows_a_revision_is_run() -> None:
    assert list(statements("sqlite", "0001")) == write_statements("sqlite", "0001")
    assert list(statements("postgresql", None)) == write_statements("postgresql", None)
    assert statements("sqlite", revisions()[-1]) == ()


def test_a_revision_that_is_not_known_here_is_newer() -> None:
    assert is_current(revisions()[-1], "x")
    assert not is_current("0001", "x")
    with pytest.raises(StoreError, match="newer Inferway"):
        is_current("9999", "x")
