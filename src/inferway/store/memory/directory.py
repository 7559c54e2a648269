"""Organizations, namespaces, users and keys in memory."""

from inferway.access.directory import Founding
from inferway.access.records import ApiKey, Namespace, Organization, User
from inferway.errors import BadRequest, StoreUnavailable


class MemoryDirectory:
    """The `Directory` of access in this process's memory. `is_away` makes every method raise, as a lost database does."""

    def __init__(self) -> None:
        self.is_away = False
        self.reads = 0
        self._generation = 0
        self._organizations: dict[str, Organization] = {}
        self._namespaces: dict[str, Namespace] = {}
        self._users: dict[str, User] = {}
        self._keys: dict[str, ApiKey] = {}

    async def generation(self) -> int:
        """See `Directory`."""
        self._require()
        return self._generation

    async def found(self, founding: Founding) -> bool:
        """See `Directory`."""
        self._require()
        if self._organizations:
            return False
        self._organizations[founding.organization.organization_id] = founding.organization
        await self.add_namespace(founding.namespace)
        await self.add_user(founding.user)
        for key in founding.keys:
            await self.add_key(key)
        return True

    async def list_organizations(self) -> tuple[Organization, ...]:
        """See `Directory`."""
        self._require()
        return tuple(self._organizations.values())

    async def find_key(self, digest: bytes) -> ApiKey | None:
        """See `Directory`."""
        self._require()
        self.reads += 1
        return next((key for key in self._keys.values() if key.digest == digest), None)

    async def find_user(self, organization_id: str, email: str) -> User | None:
        """See `Directory`."""
        self._require()
        return next((user for user in self._users.values() if _same_user(user, organization_id, email)), None)

    async def find_namespace(self, organization_id: str, reference: str) -> Namespace | None:
        """See `Directory`."""
        return next(
            (
                each
                for each in await self.list_namespaces(organization_id)
                if reference in (each.namespace_id, each.name)
            ),
            None,
        )

    async def list_namespaces(self, organization_id: str) -> tuple[Namespace, ...]:
        """See `Directory`."""
        self._require()
        self.reads += 1
        return tuple(each for each in self._namespaces.values() if each.organization_id == organization_id)

    async def list_keys(self, organization_id: str) -> tuple[ApiKey, ...]:
        """See `Directory`."""
        self._require()
        return tuple(key for key in self._keys.values() if key.organization_id == organization_id)

    async def add_namespace(self, namespace: Namespace) -> None:
        """See `Directory`."""
        if await self.find_namespace(namespace.organization_id, namespace.name):
            raise BadRequest("That name is taken.", code="namespace_name_taken")
        self._namespaces[namespace.namespace_id] = namespace
        self._generation += 1

    async def add_user(self, user: User) -> None:
        """See `Directory`."""
        if await self.find_user(user.organization_id, user.email):
            raise BadRequest("That name is taken.", code="user_taken")
        self._users[user.user_id] = user
        self._generation += 1

    async def add_key(self, key: ApiKey) -> None:
        """See `Directory`."""
        self._require()
        self._require_free_name(key)
        self._keys[key.key_id] = key
        self._generation += 1

    async def replace_key(self, key: ApiKey) -> None:
        """See `Directory`."""
        self._require()
        self._require_free_name(key)
        if key.key_id in self._keys:
            self._keys[key.key_id] = key
        self._generation += 1

    def _require_free_name(self, key: ApiKey) -> None:
        others = (
            each for each in self._keys.values() if each.key_id != key.key_id and each.revoked_at is None
        )
        if key.revoked_at is None and any(
            (each.user_id, each.name) == (key.user_id, key.name) for each in others
        ):
            raise BadRequest("That name is taken.", code="key_name_taken")

    def _require(self) -> None:
        if self.is_away:
            raise StoreUnavailable("The database cannot be used right now.", retry_after_s=5)


def _same_user(user: User, organization_id: str, email: str) -> bool:
    return user.organization_id == organization_id and user.email.lower() == email.lower()
