"""Secrets at rest: each value under a data key of its own, each data key under the key-encryption key of the ring."""

from datetime import UTC, datetime
from typing import Any

from cryptography.exceptions import InvalidTag
from msgspec.structs import replace

from inferway.access.administration import Actor, event_of
from inferway.access.directory import Directory
from inferway.access.envelope import Envelope, Kek, Ring, open_value, rewrap_value, seal_value
from inferway.access.records import LentSecret, new_id
from inferway.access.secrets import SealedSecret
from inferway.errors import Conflict, CredentialUnavailable, NotFound

_OPENED_MAX = 1024


def seal(
    kek: Kek, secret_id: str, organization_id: str, name: str, value: str, now: datetime
) -> SealedSecret:
    """A value sealed for one row: it opens as this secret of this organization and as nothing else."""
    sealed = seal_value(kek, value.encode("utf-8"), (organization_id, secret_id, name))
    return SealedSecret(
        secret_id=secret_id,
        organization_id=organization_id,
        name=name,
        kek_id=sealed.kek_id,
        wrapped_key=sealed.wrapped_key,
        ciphertext=sealed.ciphertext,
        created_at=now,
        updated_at=now,
    )


def open_sealed(kek: Kek, sealed: SealedSecret) -> str:
    """The value of a secret; raises `cryptography.exceptions.InvalidTag` when it was not sealed so."""
    return open_value(kek, _envelope(sealed), _about(sealed)).decode("utf-8")


def rewrap(old: Kek, new: Kek, sealed: SealedSecret) -> SealedSecret:
    """The same secret with its data key under another key; the value itself is not touched."""
    again = rewrap_value(old, new, _envelope(sealed), _about(sealed))
    return replace(sealed, kek_id=again.kek_id, wrapped_key=again.wrapped_key)


def _envelope(row: SealedSecret) -> Envelope:
    return Envelope(kek_id=row.kek_id, wrapped_key=row.wrapped_key, ciphertext=row.ciphertext)


def _about(row: SealedSecret) -> tuple[str, ...]:
    return row.organization_id, row.secret_id, row.name


class Vault:
    """The secrets of all organizations. `on_change` is called after each change."""

    def __init__(self, directory: Directory, ring: Ring, on_change: Any = lambda: None) -> None:
        self._directory, self._ring, self._on_change = directory, ring, on_change
        self._opened: dict[SealedSecret, str] = {}

    async def names(self, organization_id: str) -> tuple[str, ...]:
        """The names of an organization's secrets."""
        return tuple(secret.name for secret in await self._directory.list_secrets(organization_id))

    async def create(self, organization_id: str, name: str, value: str, by: Actor) -> None:
        """Stores a value; `Conflict` (`secret_name_taken`) when there is one of that name."""
        sealed = seal(self._ring.current(), new_id("secret"), organization_id, name, value, datetime.now(UTC))
        event = event_of(by, organization_id, ("secret", name), "secret_created", {})
        await self._directory.add_secret(sealed, event=event)
        self._on_change()

    async def change(self, organization_id: str, name: str, value: str, by: Actor) -> None:
        """Puts another value in a secret's place; `NotFound` when there is none."""
        was = await self.require(organization_id, name)
        sealed = seal(self._ring.current(), was.secret_id, organization_id, name, value, datetime.now(UTC))
        event = event_of(by, organization_id, ("secret", name), "secret_updated", {})
        await self._directory.replace_secrets(
            [(was, replace(sealed, created_at=was.created_at))], event=event
        )
        self._on_change()

    async def remove(self, organization_id: str, name: str, by: Actor) -> None:
        """Removes a secret; calls that a credential sends through it are refused from then on."""
        was = await self.require(organization_id, name)
        event = event_of(by, organization_id, ("secret", name), "secret_deleted", {})
        await self._directory.remove_secret(was, event=event)
        self._on_change()

    async def require(self, organization_id: str, name: str) -> SealedSecret:
        """A secret as it is stored; `NotFound` when there is none of that name."""
        found = await self._directory.find_secret(organization_id, name)
        if found is None:
            details = {"resource": "secret", "id": name[:100]}
            raise NotFound("There is no such secret.", code="secret_not_found", details=details)
        return found

    async def rewrap_all(self, new: Kek) -> int:
        """Puts every data key under another key, all at once; how many there were.

        Raises `CredentialUnavailable` when one cannot be opened, and changes nothing then.
        """
        for _ in range(5):
            stored = await self._directory.list_secrets(None)
            pairs = [(each, self._rewrapped(each, new)) for each in stored if each.kek_id != new.kek_id]
            try:
                await self._directory.replace_secrets(pairs)
            except Conflict:
                continue
            self._on_change()
            if all(each.kek_id == new.kek_id for each in await self._directory.list_secrets(None)):
                return len(pairs)
        raise CredentialUnavailable("Secrets are being changed all the time; try again.", retry_after_s=5)

    def _rewrapped(self, sealed: SealedSecret, new: Kek) -> SealedSecret:
        old = self._ring.find(sealed.kek_id)
        try:
            if old is not None:
                return rewrap(old, new, sealed)
        except (InvalidTag, ValueError):
            pass
        raise CredentialUnavailable(
            f"The secret {sealed.secret_id} cannot be decrypted with the keys that are there."
        )

    def reveal(self, lent: LentSecret) -> str:
        """The value of a credential that a call uses; `CredentialUnavailable` when it is gone or cannot be decrypted."""
        sealed = lent.sealed
        if sealed is None:
            raise _unavailable(lent.provider)
        value = self._opened.get(sealed)
        if value is None:
            kek = self._ring.find(sealed.kek_id)
            try:
                if kek is None:
                    raise _unavailable(lent.provider)
                value = open_sealed(kek, sealed)
            except (InvalidTag, ValueError):
                raise _unavailable(lent.provider) from None
            if len(self._opened) >= _OPENED_MAX:
                self._opened.clear()
            self._opened[sealed] = value
        return value


def _unavailable(provider: str) -> CredentialUnavailable:
    return CredentialUnavailable(
        f"Your own credential for {provider} cannot be used: set its secret again.", retry_after_s=30
    )
