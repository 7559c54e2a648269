"""Secrets at rest: what opens them, what does not, and how their key is changed."""

import base64
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from msgspec.structs import replace

from inferway.access.administration import OPERATOR
from inferway.access.envelope import Kek
from inferway.access.keyring import Keyring, KeyringError, open_ring
from inferway.access.records import LentSecret
from inferway.access.vault import Vault, open_sealed, rewrap, seal
from inferway.errors import Conflict, CredentialUnavailable, NotFound
from inferway.store.memory.directory import MemoryDirectory

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEK = Kek(kek_id="kek_1", secret=b"k" * 32)
SEALED = seal(KEK, "secret_1", "org_1", "openai", "the value", NOW)


def test_a_sealed_value_opens_with_its_key_only() -> None:
    assert open_sealed(KEK, SEALED) == "the value"
    assert b"the value" not in SEALED.ciphertext + SEALED.wrapped_key
    with pytest.raises(InvalidTag):
        open_sealed(Kek(kek_id="kek_1", secret=b"x" * 32), SEALED)


@pytest.mark.parametrize(
    "change", [{"organization_id": "org_2"}, {"name": "other"}, {"secret_id": "secret_2"}]
)
def test_a_value_moved_to_another_row_does_not_open(change: dict[str, str]) -> None:
    with pytest.raises(InvalidTag):
        open_sealed(KEK, replace(SEALED, **change))


def test_a_value_cannot_be_taken_for_its_key() -> None:
    with pytest.raises((InvalidTag, ValueError)):
        open_sealed(KEK, replace(SEALED, wrapped_key=SEALED.ciphertext, ciphertext=SEALED.wrapped_key))


def test_rewrapping_leaves_the_value_and_shuts_the_old_key_out() -> None:
    new = Kek(kek_id="kek_2", secret=b"n" * 32)
    again = rewrap(KEK, new, SEALED)
    assert (again.ciphertext, again.kek_id) == (SEALED.ciphertext, "kek_2")
    assert open_sealed(new, again) == "the value"
    with pytest.raises(InvalidTag):
        open_sealed(KEK, again)


def test_a_key_shows_itself_nowhere() -> None:
    assert "kkkk" not in repr(KEK)


def test_the_key_file_is_minted_once_and_private(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        file = tmp_path / "secrets.key"
        first = Keyring(file).current()
        assert file.stat().st_mode & 0o777 == 0o600
        assert Keyring(file).current() == first
    finally:
        os.umask(old)


def test_another_process_finds_a_key_that_was_made_after_it_looked(tmp_path: Path) -> None:
    here, there = Keyring(tmp_path / "secrets.key"), Keyring(tmp_path / "secrets.key")
    here.current()
    there.current()
    fresh = here.prepend()
    assert there.find(fresh.kek_id) == fresh
    assert there.current() == fresh


@pytest.mark.parametrize("content", ["", "{}", '{"keys":[]}', '{"keys":[{"kek_id":"a","key":"YQ=="}]}'])
def test_a_damaged_key_file_is_never_replaced(tmp_path: Path, content: str) -> None:
    file = tmp_path / "secrets.key"
    file.write_text(content)
    with pytest.raises(CredentialUnavailable):
        Keyring(file).current()
    with pytest.raises(KeyringError):
        Keyring(file).prepend()
    assert file.read_text() == content


async def test_a_secret_lives_and_ends(tmp_path: Path) -> None:
    directory = MemoryDirectory()
    vault = Vault(directory, Keyring(tmp_path / "secrets.key"))
    await vault.create("org_1", "one", "first", OPERATOR)
    with pytest.raises(Conflict):
        await vault.create("org_1", "one", "again", OPERATOR)
    await vault.change("org_1", "one", "second", OPERATOR)
    assert vault.reveal(await lent(directory)) == "second"
    assert await vault.names("org_1") == ("one",)
    with pytest.raises(NotFound):
        await vault.change("org_2", "one", "x", OPERATOR)
    await vault.remove("org_1", "one", OPERATOR)
    with pytest.raises(CredentialUnavailable):
        vault.reveal(await lent(directory))


async def lent(directory: MemoryDirectory) -> LentSecret:
    return LentSecret(provider="openai", host="h", sealed=await directory.find_secret("org_1", "one"))


async def test_rotation_rewraps_everything_and_the_old_key_can_go(tmp_path: Path) -> None:
    directory, ring = MemoryDirectory(), Keyring(tmp_path / "secrets.key")
    vault = Vault(directory, ring)
    for number in range(3):
        await vault.create("org_1", f"s{number}", f"value {number}", OPERATOR)
    new = ring.prepend()
    assert await vault.rewrap_all(new) == 3
    ring.keep_only(new)
    fresh = Vault(directory, Keyring(tmp_path / "secrets.key"))
    for sealed in await directory.list_secrets(None):
        assert fresh.reveal(LentSecret(provider="p", host=None, sealed=sealed)).startswith("value")


async def test_a_lost_key_is_a_503_and_rotation_changes_nothing(tmp_path: Path) -> None:
    directory, ring = MemoryDirectory(), Keyring(tmp_path / "secrets.key")
    await Vault(directory, ring).create("org_1", "one", "value", OPERATOR)
    (tmp_path / "secrets.key").unlink()
    other = Keyring(tmp_path / "secrets.key")
    vault = Vault(directory, other)
    with pytest.raises(CredentialUnavailable) as caught:
        vault.reveal(await lent(directory))
    assert caught.value.status == 503
    before = await directory.list_secrets(None)
    with pytest.raises(CredentialUnavailable):
        await vault.rewrap_all(other.current())
    assert await directory.list_secrets(None) == before


_ONE, _OTHER = (base64.b64encode(letter * 32).decode() for letter in (b"1", b"2"))


async def test_a_key_from_the_settings_seals_and_no_file_is_written(tmp_path: Path) -> None:
    directory, file = MemoryDirectory(), tmp_path / "secrets.key"
    await Vault(directory, open_ring(file, _ONE)).create("org_1", "one", "value", OPERATOR)
    assert not file.exists()
    assert Vault(directory, open_ring(file, _ONE)).reveal(await lent(directory)) == "value"
    with pytest.raises(CredentialUnavailable) as caught:
        Vault(directory, open_ring(file, _OTHER)).reveal(await lent(directory))
    assert caught.value.status == 503


async def test_rotation_puts_everything_under_the_first_key_given(tmp_path: Path) -> None:
    directory, file = MemoryDirectory(), tmp_path / "secrets.key"
    await Vault(directory, Keyring(file)).create("org_1", "minted", "from the file", OPERATOR)
    await Vault(directory, open_ring(file, _ONE)).create("org_1", "one", "from one", OPERATOR)
    ring = open_ring(file, f"{_OTHER}, {_ONE}")
    vault = Vault(directory, ring)
    assert vault.reveal(await lent(directory)) == "from one"
    new = ring.prepend()
    assert await vault.rewrap_all(new) == 2
    ring.keep_only(new)
    file.unlink()
    fresh = Vault(directory, open_ring(file, _OTHER))
    assert fresh.reveal(await lent(directory)) == "from one"
    assert all(sealed.kek_id == new.kek_id for sealed in await directory.list_secrets(None))


@pytest.mark.parametrize("given", ["", "short", "YQ==", f"{_ONE[:-2]}!!", "canary-canary"])
def test_a_key_in_the_settings_that_is_none_is_refused_without_repeating_it(
    tmp_path: Path, given: str
) -> None:
    with pytest.raises(KeyringError) as caught:
        open_ring(tmp_path / "secrets.key", given)
    assert "access.secrets_key" in str(caught.value)
    assert "canary" not in str(caught.value)
