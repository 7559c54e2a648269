"""The database file: what is refused at start, and that failures are told as such."""

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from inferway.errors import StoreUnavailable
from inferway.store.sqlite.database import Database, StoreError
from inferway.store.sqlite.directory import SqliteDirectory
from inferway.store.sqlite.schema import APPLICATION_ID, STEPS


def test_a_new_file_is_in_wal_mode_and_marked_as_ours(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "inferway.db"
    Database.open(file).close()
    connection = sqlite3.connect(file)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA user_version").fetchone() == (len(STEPS),)
    connection.close()
    Database.open(file).close()


def test_a_newer_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "inferway.db"
    Database.open(file).close()
    connection = sqlite3.connect(file)
    connection.execute(f"PRAGMA user_version={len(STEPS) + 1}")
    connection.close()
    with pytest.raises(StoreError, match="newer Inferway"):
        Database.open(file)


def test_anothers_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "inferway.db"
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    before = file.read_bytes()
    with pytest.raises(StoreError, match="another program"):
        Database.open(file)
    assert file.read_bytes() == before


@pytest.mark.parametrize("content", [b"not a database at all, sorry" * 50])
def test_a_broken_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "inferway.db").write_bytes(content)
    with pytest.raises(StoreError, match="not a database"):
        Database.open(tmp_path / "inferway.db")


def test_a_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="--data-dir"):
        Database.open(tmp_path / "file" / "inferway.db")


async def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "inferway.db")

    def half(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO organizations VALUES ('o', 'n', 1)")
        connection.execute("INSERT INTO nothing VALUES (1)")

    with pytest.raises(StoreUnavailable):
        await database.write(half)
    rows = await database.read(
        lambda connection: connection.execute("SELECT * FROM organizations").fetchall()
    )
    assert rows == []
    database.close()


async def test_a_folder_of_the_first_version_keeps_its_keys(tmp_path: Path) -> None:
    file = tmp_path / "inferway.db"
    connection = sqlite3.connect(file)
    for statement in STEPS[0]:
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    connection.execute("PRAGMA user_version=1")
    connection.execute("INSERT INTO organizations VALUES ('org_1', 'house', 1)")
    connection.execute("INSERT INTO namespaces VALUES ('ns_1', 'org_1', 'default', 1)")
    connection.execute("INSERT INTO users VALUES ('user_1', 'org_1', 'a@b', 1)")
    key = ("key_1", "org_1", "user_1", "first", b"d" * 32, "sk_1234567", "admin", 1, None, None)
    connection.execute("INSERT INTO api_keys VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", key)
    connection.commit()
    connection.close()
    database = Database.open(file)
    directory = SqliteDirectory(database)
    found = await directory.find_key(b"d" * 32)
    assert found is not None
    assert (found.name, found.permission, found.scopes, found.status(datetime.now(UTC))) == (
        "first",
        "admin",
        (),
        "active",
    )
    owner = await directory.find_user_by_id("user_1")
    assert owner is not None
    assert owner.role == "admin"
    assert (await directory.find_namespace("org_1", "default")) is not None
    database.close()
