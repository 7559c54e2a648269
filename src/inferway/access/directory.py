"""What access asks of a store."""

from typing import Protocol

from msgspec import Struct

from inferway.access.records import ApiKey, Namespace, Organization, User


class Founding(Struct, frozen=True, kw_only=True):
    """What an empty store is given at first boot, all at once."""

    organization: Organization
    namespace: Namespace
    user: User
    keys: tuple[ApiKey, ...]


class Directory(Protocol):
    """Organizations, namespaces, users and keys. Every method raises `StoreUnavailable` while the store is away.

    Writes that would break uniqueness raise `BadRequest`: `namespace_name_taken`, `key_name_taken`, `user_taken`.
    """

    async def generation(self) -> int:
        """A number that grows with every change of any record, in whatever process it is made."""
        ...

    async def found(self, founding: Founding) -> bool:
        """Stores all of it if there is no organization yet, and says whether it did; of several callers one wins."""
        ...

    async def list_organizations(self) -> tuple[Organization, ...]: ...

    async def find_key(self, digest: bytes) -> ApiKey | None: ...

    async def find_user(self, organization_id: str, email: str) -> User | None: ...

    async def find_namespace(self, organization_id: str, reference: str) -> Namespace | None:
        """By id or by name, within the organization only."""
        ...

    async def list_namespaces(self, organization_id: str) -> tuple[Namespace, ...]: ...

    async def list_keys(self, organization_id: str) -> tuple[ApiKey, ...]: ...

    async def add_namespace(self, namespace: Namespace) -> None: ...

    async def add_user(self, user: User) -> None: ...

    async def add_key(self, key: ApiKey) -> None: ...

    async def replace_key(self, key: ApiKey) -> None:
        """Stores a changed key under its `key_id`."""
        ...
