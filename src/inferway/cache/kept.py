"""The answers kept for `Idempotency-Key`, as they are stored, and what they ask of a store."""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct


class Sealed(Struct, frozen=True, kw_only=True):
    """An answer under its own data key, and that key under the key-encryption key `kek_id`; each is a nonce and a ciphertext."""

    kek_id: str
    wrapped_key: bytes
    ciphertext: bytes


class Row(Struct, frozen=True, kw_only=True):
    """One Idempotency-Key: a call that runs (`sealed` None), or the answer of one that has ended.

    `place` is a digest of whose key it is and of the key, `digest` one of the body. `owner` names the call that runs or has answered.
    A row that has expired (`expires_us`, microseconds since 1970) is as good as none: the lease of a call that runs is short and is
    renewed while it does, so that a process that died blocks its keys for a moment only.
    """

    place: bytes
    namespace_id: str
    digest: bytes
    owner: str
    expires_us: int
    sealed: Sealed | None = None


class Room(Struct, frozen=True, kw_only=True):
    """What one namespace may keep: so many keys, so many bytes of sealed answers."""

    keys: int
    bytes: int


class NoRoom(Struct, frozen=True, kw_only=True):
    """The namespace keeps as much as it may: so many keys, or so many bytes."""

    limit: int
    of: str


class KeptAnswers(Protocol):
    """The rows of all Idempotency-Keys. Every method raises `StoreUnavailable` while the store is away.

    Each is one transaction: of several that claim a place at once one gets it, in whichever process or machine they are.
    """

    async def claim(self, row: Row, *, now_us: int, room: Room) -> Row | NoRoom | None:
        """Takes a place for a call that is about to run: None. Otherwise nothing is written, and what is in the way is returned."""
        ...

    async def find(self, place: bytes, *, now_us: int) -> Row | None:
        """What stands at a place; an expired row does not."""
        ...

    async def renew(self, claims: Sequence[tuple[bytes, str]], *, expires_us: int) -> None:
        """Puts off the end of these leases (place and owner), where they are still theirs."""
        ...

    async def keep(self, row: Row, *, now_us: int) -> Row | None:
        """Stores an answer: None. The answer of another call that was there first is left and returned."""
        ...

    async def drop(self, row: Row) -> None:
        """Gives a place back whose call has ended without an answer to keep."""
        ...

    async def sweep(self, *, now_us: int, limit: int) -> int:
        """Deletes at most `limit` expired rows of one namespace, and says how many; 0 when there are none left anywhere."""
        ...

    async def list_under_other_keys(self, kek_id: str, *, after: bytes, limit: int) -> tuple[Row, ...]:
        """The next answers behind a place that are sealed under another key-encryption key than this, in the order of their places."""
        ...

    async def reseal(self, rows: Sequence[Row]) -> None:
        """Puts other seals on answers, where the same answer is still there."""
        ...
