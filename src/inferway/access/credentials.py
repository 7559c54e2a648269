"""The developer's own credentials: a file in the data folder that only its owner can read."""

import os
import tomllib
from pathlib import Path

import msgspec
from msgspec import Struct

from inferway.errors import OperatorError

FILE_NAME = "credentials.toml"

_HEAD = """\
# The keys of this data folder's owner, as other command lines keep theirs. The server itself stores only hashes of them.
# Keep this file private. When it is lost, `inferway key create` makes a new key.
"""


class CredentialsError(OperatorError):
    """The credentials file cannot be used; the message is one line that says what to do."""


class Credentials(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the file holds: an administrator's key, a key for inference, and the namespace to call in."""

    organization_id: str
    namespace: str
    user: str
    admin_key: str
    inference_key: str

    def __repr__(self) -> str:
        return f"Credentials(organization_id={self.organization_id!r}, user={self.user!r}, keys='***')"


def find_credentials(file: Path) -> Credentials | None:
    """Reads the file; None if there is none. Raises `CredentialsError` when it cannot be read or understood."""
    try:
        table = tomllib.loads(file.read_text("utf-8"))
        return msgspec.convert(table, Credentials)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CredentialsError(
            f"{file}: {(error.strerror or 'unreadable').lower()}. Make it readable for you."
        ) from None
    except (ValueError, RecursionError):
        # The parser's own words may quote a key.
        raise CredentialsError(
            f"{file}: not a credentials file. Mend it, or move it away and make a key with `inferway key create`."
        ) from None


def write_credentials(file: Path, credentials: Credentials) -> None:
    """Writes the file whole or not at all, readable by its owner only whatever the umask; an older one is kept as `.bak`.

    Raises `CredentialsError` when the folder cannot be written.
    """
    lines = [f'{name} = "{value}"\n' for name, value in msgspec.structs.asdict(credentials).items()]
    fresh = file.with_name(f"{file.name}.{os.getpid()}.new")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)
        _write_private(fresh, (_HEAD + "".join(lines)).encode("utf-8"))
        if file.exists():
            file.replace(file.with_name(f"{file.name}.bak"))
        fresh.replace(file)
    except OSError as error:
        raise CredentialsError(
            f"{file}: {(error.strerror or 'not writable').lower()}. Choose another --data-dir."
        ) from None


def _write_private(file: Path, content: bytes) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
