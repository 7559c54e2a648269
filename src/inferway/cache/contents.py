"""The calls whose request and answer a namespace keeps, as they are stored, and what they ask of a store."""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from inferway.cache.kept import Sealed


class CallHead(Struct, frozen=True, kw_only=True):
    """What is said of a kept call without opening it. `at_us` is when it began, in microseconds since 1970."""

    record_id: str
    organization_id: str
    namespace_id: str
    request_id: str
    at_us: int
    operation: str
    provider: str
    model: str
    status: str


class KeptCall(Struct, frozen=True, kw_only=True):
    """A kept call: its head, and what was asked and answered, sealed."""

    head: CallHead
    sealed: Sealed


class CallPlace(Struct, frozen=True, kw_only=True):
    """Where a page of calls ended: the next one lies before it in time."""

    at_us: int
    record_id: str


class Contents(Protocol):
    """The kept calls of all namespaces. Every method raises `StoreUnavailable` while the store is away."""

    async def add(self, calls: Sequence[KeptCall]) -> None:
        """Stores calls; one that is there already is left as it is."""
        ...

    async def list_heads(
        self, namespace_id: str, *, since_us: int, before: CallPlace | None, limit: int
    ) -> tuple[CallHead, ...]:
        """The calls of a namespace that began at `since_us` or later, the newest first, from behind a place on."""
        ...

    async def find(self, namespace_id: str, reference: str, *, since_us: int) -> KeptCall | None:
        """A call of a namespace by its record id, else the newest one with this request id."""
        ...

    async def next_owner(self, after: str) -> tuple[str, str] | None:
        """The organization and the namespace that has kept calls and comes next behind a namespace's id; None behind the last."""
        ...

    async def delete(self, namespace_id: str, *, before_us: int, limit: int) -> int:
        """Deletes at most `limit` calls of a namespace that began before a moment, the oldest first, and says how many."""
        ...

    async def list_under_other_keys(self, kek_id: str, *, after: str, limit: int) -> tuple[KeptCall, ...]:
        """The next calls behind a record id that are sealed under another key-encryption key, in the order of their ids."""
        ...

    async def reseal(self, calls: Sequence[KeptCall]) -> None:
        """Puts other seals on calls that are still there."""
        ...
