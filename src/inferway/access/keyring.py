"""The key-encryption keys: in a file that only its owner can read, or from the settings."""

import base64
import binascii
import fcntl
import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from inferway.access.envelope import Kek
from inferway.access.keys import random_text
from inferway.errors import CredentialUnavailable, OperatorError

_KEY_BYTES = 32


class KeyringError(OperatorError):
    """The file of key-encryption keys cannot be used; the message is one line that says what to do."""


class _Stored(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    kek_id: str
    key: str


class _File(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The newest key is first."""

    keys: tuple[_Stored, ...]


class Keyring:
    """The keys of one data folder. The file is read when a key is first needed, and again when an id is not known."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._keys: tuple[Kek, ...] = ()
        self._lock = threading.Lock()

    def current(self) -> Kek:
        """The key that seals; one is minted when there is no file. Raises `CredentialUnavailable`."""
        with self._lock:
            try:
                # Read each time: another process may have rotated the key, and sealing is rare.
                self._keys = self._read() or self._mint()
            except KeyringError as error:
                raise CredentialUnavailable("Secrets cannot be sealed on this server now.") from error
            return self._keys[0]

    def find(self, kek_id: str) -> Kek | None:
        """A key by its id."""
        with self._lock:
            found = self._among(kek_id)
            if found is None:
                try:
                    self._keys = self._read()
                except KeyringError:
                    return None
                found = self._among(kek_id)
            return found

    def prepend(self) -> Kek:
        """A new key, first in the file; the old ones stay until `keep_only`. Raises `KeyringError`."""
        with self._lock, self._alone():
            fresh = _fresh()
            self._write((fresh, *self._read()))
            self._keys = self._read()
            return fresh

    def keep_only(self, kek: Kek) -> None:
        """Takes every other key out of the file. Raises `KeyringError`."""
        with self._lock, self._alone():
            self._write((kek,))
            self._keys = (kek,)

    def _among(self, kek_id: str) -> Kek | None:
        return next((kek for kek in self._keys if kek.kek_id == kek_id), None)

    def _mint(self) -> tuple[Kek, ...]:
        with self._alone():
            there = self._read()
            if there:
                return there
            made = (_fresh(),)
            self._write(made)
            return made

    def _read(self) -> tuple[Kek, ...]:
        try:
            stored = msgspec.json.decode(self._file.read_bytes(), type=_File)
            keys = tuple(
                Kek(kek_id=each.kek_id, secret=base64.b64decode(each.key, validate=True))
                for each in stored.keys
            )
        except FileNotFoundError:
            return ()
        except OSError as error:
            reason = (error.strerror or "unreadable").lower()
            raise KeyringError(f"{self._file}: {reason}. Make it readable for the server.") from None
        except (ValueError, binascii.Error):
            raise _damaged(self._file) from None
        if not keys or any(len(key.secret) != _KEY_BYTES for key in keys):
            raise _damaged(self._file)
        return keys

    def _write(self, keys: tuple[Kek, ...]) -> None:
        stored = _File(
            keys=tuple(
                _Stored(kek_id=key.kek_id, key=base64.b64encode(key.secret).decode("ascii")) for key in keys
            )
        )
        fresh = self._file.with_name(f"{self._file.name}.{os.getpid()}.new")
        try:
            fresh.unlink(missing_ok=True)
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                os.fchmod(descriptor, 0o600)
                os.write(descriptor, msgspec.json.encode(stored))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            fresh.replace(self._file)
        except OSError as error:
            reason = (error.strerror or "not writable").lower()
            raise KeyringError(f"{self._file}: {reason}. Choose another place for it.") from None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Holds the file's lock against other processes."""
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(f"{self._file}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            reason = (error.strerror or "not writable").lower()
            raise KeyringError(f"{self._file}: {reason}. Choose another place for it.") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


class GivenKeys:
    """Keys that the operator gives in the settings, as base64 of 32 bytes each, separated by commas.

    The first seals. The others only open, and so do those of the file, until a rotation has put everything under the first. No key is
    minted or written here. Raises `KeyringError`, which does not repeat what was given.
    """

    def __init__(self, given: str, file: Keyring) -> None:
        self._file = file
        self._keys = tuple(map(_given, given.split(",")))

    def current(self) -> Kek:
        """The key that seals."""
        return self._keys[0]

    def find(self, kek_id: str) -> Kek | None:
        """A key by its id."""
        found = next((kek for kek in self._keys if kek.kek_id == kek_id), None)
        return found or self._file.find(kek_id)

    def prepend(self) -> Kek:
        """The key that everything is to be put under: the first one given."""
        return self._keys[0]

    def keep_only(self, kek: Kek) -> None:
        """Which keys are given is the operator's to say."""


def open_ring(file: Path, given: str | None) -> Keyring | GivenKeys:
    """The keys of the settings if there are any, else those of a file; raises `KeyringError`."""
    ring = Keyring(file)
    return ring if given is None else GivenKeys(given, ring)


def _given(text: str) -> Kek:
    try:
        secret = base64.b64decode(text.strip(), validate=True)
    except (ValueError, binascii.Error):
        secret = b""
    if len(secret) != _KEY_BYTES:
        raise KeyringError(
            "access.secrets_key: expected base64 of 32 bytes, or several with commas between them; "
            "`openssl rand -base64 32` makes one."
        )
    # Named by what it is, so that every machine that is given it knows it by the same name.
    return Kek(kek_id=f"kek_{hashlib.sha256(b'inferway kek' + secret).hexdigest()[:16]}", secret=secret)


def _fresh() -> Kek:
    return Kek(kek_id=f"kek_{random_text(12)}", secret=os.urandom(_KEY_BYTES))


def _damaged(file: Path) -> KeyringError:
    return KeyringError(f"{file}: not a file of key-encryption keys. Put its backup back.")
