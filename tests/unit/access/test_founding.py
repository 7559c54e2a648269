"""First boot: keys for the owner in a private file, hashes for the server, once for all processes."""

import asyncio
import multiprocessing
import os
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from inferway.access.administration import Administration
from inferway.access.credentials import Credentials, CredentialsError, find_credentials
from inferway.access.directory import Founding
from inferway.access.founding import found_or_recall
from inferway.access.gate import Gate
from inferway.access.records import Permission
from inferway.errors import BadRequest, NotFound
from inferway.store.directory import SqlDirectory
from inferway.store.memory.directory import MemoryDirectory
from inferway.store.sqlite.database import Database


@pytest.fixture
def strange_umask() -> Iterator[None]:
    old = os.umask(0)
    yield
    os.umask(old)


async def test_first_boot_mints_keys_that_open_the_gate(tmp_path: Path) -> None:
    directory = MemoryDirectory()
    credentials = await found_or_recall(directory, tmp_path)
    assert credentials is not None
    gate = Gate(directory)
    for key, permission in (
        (credentials.admin_key, Permission.ADMIN),
        (credentials.inference_key, Permission.WRITE),
    ):
        caller = await gate.authenticate(f"Bearer {key}".encode(), b"default")
        assert (caller.permission, caller.organization_id) == (permission, credentials.organization_id)


async def test_the_second_boot_recalls_the_same_credentials(tmp_path: Path) -> None:
    directory = MemoryDirectory()
    assert await found_or_recall(directory, tmp_path) == await found_or_recall(directory, tmp_path)


async def test_a_lost_file_is_not_replaced_silently(tmp_path: Path) -> None:
    directory = MemoryDirectory()
    credentials = await found_or_recall(directory, tmp_path)
    assert credentials is not None
    (tmp_path / "credentials.toml").unlink()
    assert await found_or_recall(directory, tmp_path) is None
    assert len(await directory.list_keys(credentials.organization_id)) == 2
    assert not (tmp_path / "credentials.toml").exists()


async def test_an_older_file_is_kept_aside_when_the_store_is_new(tmp_path: Path) -> None:
    first = await found_or_recall(MemoryDirectory(), tmp_path)
    second = await found_or_recall(MemoryDirectory(), tmp_path)
    assert first != second
    assert find_credentials(tmp_path / "credentials.toml.bak") == first


async def test_a_boot_killed_before_its_commit_is_made_good_by_the_next(tmp_path: Path) -> None:
    class Killed(MemoryDirectory):
        async def found(self, founding: Founding) -> bool:
            raise KeyboardInterrupt(founding.organization.name)

    with pytest.raises(KeyboardInterrupt):
        await found_or_recall(Killed(), tmp_path)
    directory = MemoryDirectory()
    credentials = await found_or_recall(directory, tmp_path)
    assert credentials is not None
    caller = await Gate(directory).authenticate(f"Bearer {credentials.inference_key}".encode(), b"default")
    assert caller.organization_id == credentials.organization_id


@pytest.mark.usefixtures("strange_umask")
async def test_only_the_owner_can_read_what_is_secret(tmp_path: Path) -> None:
    home = tmp_path / "data"
    database = Database.open(home / "inferway.db")
    await found_or_recall(SqlDirectory(database), home)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in home.iterdir()}
    database.close()
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert {"credentials.toml", "inferway.db", "inferway.db-wal"} <= set(modes)
    assert set(modes.values()) == {0o600}


async def test_the_server_keeps_no_key_in_its_database(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "inferway.db")
    credentials = await found_or_recall(SqlDirectory(database), tmp_path)
    database.close()
    assert credentials is not None
    stored = (tmp_path / "inferway.db").read_bytes()
    for key in (credentials.admin_key, credentials.inference_key):
        assert key.encode() not in stored
        assert key[10:].encode() not in stored


def test_credentials_do_not_show_their_keys() -> None:
    credentials = Credentials(
        organization_id="o", namespace="n", user="u", admin_key="canary", inference_key="canary"
    )
    assert "canary" not in repr(credentials)
    assert "canary" not in f"{credentials}"


@pytest.mark.parametrize("content", [b"", b"admin_key = 'canary", b"admin_key = 'canary'\n", b"\xff"])
def test_a_broken_credentials_file_is_refused_without_quoting_it(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "credentials.toml"
    file.write_bytes(content)
    with pytest.raises(CredentialsError) as caught:
        find_credentials(file)
    assert str(file) in str(caught.value)
    assert "canary" not in str(caught.value)


async def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CredentialsError, match="--data-dir"):
        await found_or_recall(MemoryDirectory(), tmp_path / "file" / "data")


def _boot(home: str) -> str:
    database = Database.open(Path(home) / "inferway.db")
    credentials = asyncio.run(found_or_recall(SqlDirectory(database), Path(home)))
    database.close()
    return credentials.admin_key if credentials else ""


def test_processes_that_start_at_once_found_one_organization(tmp_path: Path) -> None:
    home = tmp_path / "data"
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        keys = pool.map(_boot, [str(home)] * 8, chunksize=1)
    assert keys[0]
    assert set(keys) == {tomllib.loads((home / "credentials.toml").read_text())["admin_key"]}


async def test_an_administrator_makes_and_takes_keys_and_namespaces(tmp_path: Path) -> None:
    directory = MemoryDirectory()
    gate = Gate(directory)
    administration = Administration(directory, gate.forget)
    credentials = await found_or_recall(directory, tmp_path)
    assert credentials is not None
    tenant = credentials.organization_id
    await administration.create_namespace(tenant, "blue.team-1")
    user = await administration.require_user(tenant, "bob@example.com")
    assert await administration.require_user(tenant, "bob@example.com") == user
    record, key = await administration.create_key(user, "laptop", Permission.READ)
    assert (await gate.authenticate(f"Bearer {key}".encode(), b"blue.team-1")).user_id == user.user_id
    assert (await administration.revoke_key(tenant, "laptop")).key_id == record.key_id
    with pytest.raises(NotFound):
        await administration.revoke_key(tenant, "laptop")
    with pytest.raises(NotFound):
        await administration.revoke_key("org_other", record.key_id)


@pytest.mark.parametrize("name", ["", "ab", "x" * 65, "ns_mine", "-abc", "a b c", "über", "a\nbc", "abc\n"])
async def test_a_namespace_name_that_cannot_stand_in_a_header_is_refused(name: str) -> None:
    with pytest.raises(BadRequest) as caught:
        await Administration(MemoryDirectory()).create_namespace("org", name)
    assert caught.value.code == "namespace_name_invalid"
