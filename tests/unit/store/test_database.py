"""The database file: what is refused at start, and that failures are told as such."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from inferway.errors import StoreUnavailable
from inferway.store.directory import SqlDirectory
from inferway.store.errors import StoreError
from inferway.store.migrations.revisions import revisions
from inferway.store.migrations.writer import write_statements
from inferway.store.sqlite.database import Database
from inferway.store.work import Fill, Work, ask


def test_a_new_file_is_in_wal_mode_and_marked_as_ours(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "inferway.db"
    Database.open(file).close()
    connection = sqlite3.connect(file)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(revisions()[-1],)]
    connection.close()
    Database.open(file).close()


async def test_what_is_committed_survives_a_loss_of_power(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "inferway.db")

    def level() -> Work[int]:
        return int((yield ask("PRAGMA synchronous"))[0][0])

    # 2 is FULL: the log is on the disk before a commit returns.
    assert await database.change(level()) == 2
    database.close()


def test_a_newer_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "inferway.db"
    Database.open(file).close()
    connection = sqlite3.connect(file)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    before = file.read_bytes()
    with pytest.raises(StoreError, match=r"newer Inferway \(format 9999"):
        Database.open(file)
    assert file.read_bytes() == before


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


def test_a_disk_without_room_is_no_file_to_restore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(file: Path) -> None:
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA max_page_count=1")
            connection.execute("CREATE TABLE one (text TEXT)")

    monkeypatch.setattr("inferway.store.sqlite.database._bring_up_to_date", fill)
    with pytest.raises(StoreError, match=r"is full\. Make room there"):
        Database.open(tmp_path / "inferway.db")


async def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "inferway.db")

    def half() -> Work[None]:
        yield ask("INSERT INTO organizations (organization_id, name, created_at) VALUES ('o', 'n', 1)")
        yield ask("INSERT INTO nothing VALUES (1)")

    with pytest.raises(StoreUnavailable):
        await database.change(half())
    assert list(await database.select("SELECT * FROM organizations")) == []
    database.close()


APPLICATION_ID = 0x49465731


def old_file(file: Path, version: int) -> sqlite3.Connection:
    """A file as programs made it that counted the steps in its header."""
    connection = sqlite3.connect(file)
    for statement in write_statements("sqlite", None, f"{version:04}"):
        if "alembic_version" not in statement:
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version={version}")
    connection.commit()
    return connection


async def test_rows_in_bulk_arrive_whole_and_in_order_however_many_they_are(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "inferway.db")
    sizes = [0, 1, 2, 3, 31, 63, 64, 65, 127, 128, 200]

    def work(size: int) -> Work[list[tuple[int, str]]]:
        yield ask("CREATE TABLE bulk (number INTEGER PRIMARY KEY, text TEXT)")
        rows = [(number, f"row {number}") for number in range(size)]
        added = yield Fill("bulk", "number", {"number": "integer", "text": "text"}, rows)
        assert added[0][0] == size
        found = yield ask("SELECT number, text FROM bulk ORDER BY number")
        yield ask("DROP TABLE bulk")
        return list(map(tuple, found))

    for size in sizes:
        assert await database.change(work(size)) == [(number, f"row {number}") for number in range(size)]
    await database.aclose()


async def test_a_file_from_before_alembic_is_taken_over_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "inferway.db"
    connection = old_file(file, 2)
    connection.execute("INSERT INTO organizations (organization_id, name, created_at) VALUES ('o', 'n', 1)")
    connection.commit()
    connection.close()
    assert Database.find_revision(file) == "0002"
    database = Database.open(file)
    assert [each.name for each in await SqlDirectory(database).list_organizations()] == ["n"]
    database.close()
    assert Database.find_revision(file) == revisions()[-1]


def test_programs_from_before_alembic_see_that_a_file_is_newer(tmp_path: Path) -> None:
    Database.open(tmp_path / "inferway.db").close()
    connection = sqlite3.connect(tmp_path / "inferway.db")
    assert connection.execute("PRAGMA user_version").fetchone() == (int(revisions()[-1]),)
    connection.close()


def test_an_old_file_that_is_newer_than_this_program_is_refused(tmp_path: Path) -> None:
    old_file(tmp_path / "inferway.db", 2).execute("PRAGMA user_version=9999").connection.close()
    with pytest.raises(StoreError, match="newer Inferway"):
        Database.open(tmp_path / "inferway.db")


def test_a_step_that_fails_leaves_the_tables_as_they_were(tmp_path: Path) -> None:
    file = tmp_path / "inferway.db"
    connection = old_file(file, 1)
    # The second revision makes a table of this name.
    connection.execute("CREATE TABLE secrets (x)")
    before = connection.execute("SELECT name, sql FROM sqlite_master").fetchall()
    with pytest.raises(StoreError, match="secrets already exists"):
        Database.open(file)
    assert connection.execute("SELECT name, sql FROM sqlite_master").fetchall() == before
    connection.close()


def test_processes_that_start_at_once_make_the_tables_once(tmp_path: Path) -> None:
    script = "import sys; from pathlib import Path; from inferway.store.sqlite.database import Database; Database.open(Path(sys.argv[1]))"
    command = [sys.executable, "-c", script, str(tmp_path / "inferway.db")]
    started = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    assert [(each.communicate(timeout=50)[1], each.returncode) for each in started] == [("", 0)] * 4


def test_a_file_that_is_up_to_date_is_opened_without_alembic(tmp_path: Path) -> None:
    Database.open(tmp_path / "inferway.db").close()
    script = (
        "import sys, subprocess; from pathlib import Path; from inferway.store.sqlite.database import Database\n"
        "subprocess.run = None\n"
        "Database.open(Path(sys.argv[1])).close()\n"
        "print(sorted({'alembic', 'sqlalchemy', 'mako'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "inferway.db")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"


async def test_a_folder_of_the_first_version_keeps_its_keys(tmp_path: Path) -> None:
    file = tmp_path / "inferway.db"
    connection = old_file(file, 1)
    connection.execute("INSERT INTO organizations VALUES ('org_1', 'house', 1)")
    connection.execute("INSERT INTO namespaces VALUES ('ns_1', 'org_1', 'default', 1)")
    connection.execute("INSERT INTO users VALUES ('user_1', 'org_1', 'a@b', 1)")
    key = ("key_1", "org_1", "user_1", "first", b"d" * 32, "sk_1234567", "admin", 1, None, None)
    connection.execute("INSERT INTO api_keys VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", key)
    connection.commit()
    connection.close()
    database = Database.open(file)
    directory = SqlDirectory(database)
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
