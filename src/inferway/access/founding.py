"""First boot: an empty store gets an organization, a namespace, a user and two keys; their owner gets the keys."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from inferway.access.credentials import (
    FILE_NAME,
    Credentials,
    CredentialsError,
    find_credentials,
    write_credentials,
)
from inferway.access.directory import Directory, Founding
from inferway.access.keys import digest_of, mint_key, prefix_of
from inferway.access.records import ApiKey, Namespace, Organization, Permission, User, new_id

DEFAULT_NAMESPACE = "default"
FIRST_USER = "admin@localhost"


async def found_or_recall(directory: Directory, data_dir: Path) -> Credentials | None:
    """Founds an empty store and writes the owner's credentials; later, reads them back.

    Of several processes that start at once one founds, and the others wait and read. None means that the store was founded and the
    file is gone: nothing is minted then; `inferway key create` makes a new key. Raises `CredentialsError` and `StoreUnavailable`.
    """
    file = data_dir / FILE_NAME
    async with _one_at_a_time(data_dir):
        if await directory.list_organizations():
            return find_credentials(file)
        founding, credentials = _mint(datetime.now(UTC))
        # The file comes first: a process killed in between leaves a file that the next start replaces, never keys that nobody has.
        write_credentials(file, credentials)
        if await directory.found(founding):
            return credentials
        file.unlink(missing_ok=True)
        return None


def _mint(now: datetime) -> tuple[Founding, Credentials]:
    organization = Organization(organization_id=new_id("org"), name="default", created_at=now)
    tenant = organization.organization_id
    namespace = Namespace(
        namespace_id=new_id("ns"), organization_id=tenant, name=DEFAULT_NAMESPACE, created_at=now
    )
    user = User(user_id=new_id("user"), organization_id=tenant, email=FIRST_USER, created_at=now)
    admin, admin_key = new_key(user, "admin", Permission.ADMIN, now)
    inference, inference_key = new_key(user, "inference", Permission.WRITE, now)
    credentials = Credentials(
        organization_id=tenant,
        namespace=namespace.name,
        user=user.email,
        admin_key=admin_key,
        inference_key=inference_key,
    )
    return Founding(
        organization=organization, namespace=namespace, user=user, keys=(admin, inference)
    ), credentials


def new_key(
    user: User, name: str, permission: Permission, now: datetime, expires_at: datetime | None = None
) -> tuple[ApiKey, str]:
    """A fresh key of a user: the record to store, and the text that is shown once."""
    text = mint_key()
    record = ApiKey(
        key_id=new_id("key"),
        organization_id=user.organization_id,
        user_id=user.user_id,
        name=name,
        digest=digest_of(text.encode("ascii")),
        prefix=prefix_of(text),
        permission=permission,
        created_at=now,
        expires_at=expires_at,
    )
    return record, text


@asynccontextmanager
async def _one_at_a_time(data_dir: Path) -> AsyncIterator[None]:
    """Holds the folder's founding lock; waits in a thread, as another process may hold it."""
    descriptor = await asyncio.to_thread(_lock, data_dir)
    try:
        yield
    finally:
        os.close(descriptor)


def _lock(data_dir: Path) -> int:
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(data_dir / "founding.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        reason = (error.strerror or "not writable").lower()
        raise CredentialsError(
            f"{data_dir}: {reason}. Choose a folder you may write with --data-dir."
        ) from None
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor
