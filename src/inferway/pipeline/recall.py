"""Reads what was kept of calls, and deletes it: when its days are over, and when its namespace keeps nothing any more."""

from datetime import UTC, datetime, timedelta

from cryptography.exceptions import InvalidTag
from msgspec.structs import replace

from inferway.access.directory import Directory
from inferway.access.envelope import Kek, Ring, rewrap_value
from inferway.access.records import Namespace
from inferway.cache.contents import CallHead, CallPlace, Contents, KeptCall
from inferway.cache.kept import Sealed
from inferway.errors import Unavailable
from inferway.pipeline.content import Content, about, envelope, open_content

_DELETED_AT_ONCE = 200
_RESEALED_AT_ONCE = 50
_EVER_US = 10**18 - 1
_MICRO = 1_000_000
_DAY_US = 86_400 * _MICRO


class Recall:
    """The kept calls of namespaces. A call whose days are over is not there, whether it was deleted yet or not."""

    def __init__(self, store: Contents, ring: Ring) -> None:
        self._store, self._ring = store, ring

    async def list_calls(
        self, namespace: Namespace, *, before: CallPlace | None = None, limit: int
    ) -> tuple[CallHead, ...]:
        """The newest calls first; none where the namespace keeps none. Raises `StoreUnavailable`."""
        if namespace.keep_days is None:
            return ()
        since_us = _since_us(namespace.keep_days, datetime.now(UTC).timestamp())
        return await self._store.list_heads(
            namespace.namespace_id, since_us=since_us, before=before, limit=limit
        )

    async def find(self, namespace: Namespace, reference: str) -> KeptCall | None:
        """A call by its record's id or its request id, still sealed. Raises `StoreUnavailable`."""
        if namespace.keep_days is None:
            return None
        since_us = _since_us(namespace.keep_days, datetime.now(UTC).timestamp())
        return await self._store.find(namespace.namespace_id, reference, since_us=since_us)

    def open(self, call: KeptCall) -> Content:
        """What was asked and answered; raises `Unavailable` (content_unreadable) when no key opens it."""
        kek = self._ring.find(call.sealed.kek_id)
        try:
            if kek is None:
                raise _unreadable()
            return open_content(kek, call.head, call.sealed)
        except (InvalidTag, ValueError):
            raise _unreadable() from None

    async def forget(self, namespace_id: str) -> None:
        """Deletes all that a namespace keeps, some at a time. Raises `StoreUnavailable`."""
        await _delete(self._store, namespace_id, _EVER_US)


async def sweep(store: Contents, directory: Directory, *, now: float) -> int:
    """Deletes what is over, some at a time, and all that namespaces have that are gone or keep nothing; how many calls.

    `now` is in seconds since 1970. The days are those that the namespace has now, whenever the call was made. Raises `StoreUnavailable`.
    """
    gone, after = 0, ""
    while (owner := await store.next_owner(after)) is not None:
        organization_id, after = owner
        namespace = await directory.find_namespace(organization_id, after)
        days = None if namespace is None else namespace.keep_days
        gone += await _delete(store, after, _EVER_US if days is None else _since_us(days, now))
    return gone


async def reseal_calls(store: Contents, ring: Ring, new: Kek) -> int:
    """Puts the data keys of all kept calls under another key; how many there were. One that no key opens is left."""
    done, after = 0, ""
    while calls := await store.list_under_other_keys(new.kek_id, after=after, limit=_RESEALED_AT_ONCE):
        fresh = [each for each in (_resealed(call, ring, new) for call in calls) if each is not None]
        await store.reseal(fresh)
        done, after = done + len(fresh), calls[-1].head.record_id
    return done


def microseconds_of(moment: datetime) -> int:
    """A moment in microseconds since 1970."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def moment_of(microseconds: int) -> datetime:
    """The moment so many microseconds after 1970."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


async def _delete(store: Contents, namespace_id: str, before_us: int) -> int:
    gone = 0
    while step := await store.delete(namespace_id, before_us=before_us, limit=_DELETED_AT_ONCE):
        gone += step
    return gone


def _since_us(days: int, now: float) -> int:
    return round(now * _MICRO) - days * _DAY_US


def _resealed(call: KeptCall, ring: Ring, new: Kek) -> KeptCall | None:
    old = ring.find(call.sealed.kek_id)
    if old is None:
        return None
    try:
        again = rewrap_value(old, new, envelope(call.sealed), about(call.head))
    except (InvalidTag, ValueError):
        return None
    sealed = Sealed(kek_id=again.kek_id, wrapped_key=again.wrapped_key, ciphertext=again.ciphertext)
    return replace(call, sealed=sealed)


def _unreadable() -> Unavailable:
    return Unavailable("No key of this server opens what was kept of that call.", code="content_unreadable")
