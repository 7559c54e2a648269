"""The door: turns the two headers of a request into a caller, from memory when it can."""

import asyncio
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from hmac import compare_digest

from msgspec import Struct

from inferway.access.directory import Directory
from inferway.access.keys import digest_of, is_well_formed
from inferway.access.records import ApiKey, Caller, Permission
from inferway.errors import BadRequest, Forbidden, NotFound, StoreUnavailable, Unauthorized

MAX_STALENESS_S = 4.0
"""Above this age of what is known, a request waits for the look at the store; changes count within 5 s everywhere."""

_POLL_TIMEOUT_S = 2.0
_MAX_UNKNOWN = 4096
_MAX_NAMESPACE_LENGTH = 128
_BEARER = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +(sk_[0-9A-Za-z]{36}) *")


class _Known(Struct, frozen=True, kw_only=True):
    """A verified caller; `expires_at` is the key's end in seconds since the epoch."""

    caller: Caller
    expires_at: float


class Gate:
    """Authenticates requests.

    A caller that was verified is known by the SHA-256 of its key and the namespace it named, until the store's generation changes: then
    everything is forgotten. The store is asked for its generation every `refresh_s` seconds, beside the requests. While it cannot
    be asked, known callers go on for `grace_s` seconds and unknown ones get a 503.
    """

    def __init__(
        self,
        directory: Directory,
        *,
        cached_keys: int = 10_000,
        refresh_s: float = 1.0,
        grace_s: float = 900.0,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._directory = directory
        self._cached_keys, self._refresh_s, self._grace_s = cached_keys, refresh_s, grace_s
        self._clock, self._wall_clock = clock, wall_clock
        self._known: dict[tuple[bytes, bytes], _Known] = {}
        self._unknown: dict[bytes, None] = {}
        self._generation = self._epoch = -1
        self._is_away = False
        self._verified_at = self._looked_at = float("-inf")
        self._look: asyncio.Task[None] | None = None

    async def authenticate(self, authorization: bytes | None, namespace: bytes | None) -> Caller:
        """The caller behind an Authorization and an X-Namespace header.

        Raises `Unauthorized`, `BadRequest` (code `namespace_required`), `NotFound` for a namespace of another organization or
        none, and `StoreUnavailable` when an unknown key cannot be looked up.
        """
        key = _bearer_key(authorization)
        digest = digest_of(key)
        if self._clock() - self._looked_at >= self._refresh_s:
            await self._look_for_changes()
        known = self._known.get((digest, namespace or b""))
        if known is not None and known.expires_at > self._wall_clock():
            return known.caller
        return await self._verify(key, digest, namespace)

    def forget(self) -> None:
        """Drops everything remembered, so that a change made here counts at once."""
        self._epoch += 1
        self._known.clear()
        self._unknown.clear()

    async def aclose(self) -> None:
        """Ends a look at the store that is under way."""
        if self._look is not None:
            self._look.cancel()
            await asyncio.gather(self._look, return_exceptions=True)

    async def _verify(self, key: bytes, digest: bytes, namespace: bytes | None) -> Caller:
        if not is_well_formed(key):
            raise Unauthorized(
                "The API key is malformed: check that it was copied whole.", code="key_malformed"
            )
        if digest in self._unknown:
            raise _unknown_key()
        epoch = self._epoch
        record = await self._directory.find_key(digest)
        if record is None or not compare_digest(record.digest, digest):
            self._remember_unknown(digest, epoch)
            raise _unknown_key()
        _require_active(record, self._wall_clock())
        caller = await self._enter(record, namespace)
        self._remember(digest, namespace or b"", record, caller, epoch)
        return caller

    async def _enter(self, record: ApiKey, namespace: bytes | None) -> Caller:
        if not namespace:
            raise BadRequest(
                "The X-Namespace header is required: the id (ns_…) or the name of a namespace.",
                code="namespace_required",
            )
        reference = namespace[:_MAX_NAMESPACE_LENGTH].decode("utf-8", "replace")
        found = await self._directory.find_namespace(record.organization_id, reference)
        if found is None or len(namespace) > _MAX_NAMESPACE_LENGTH:
            raise NotFound(
                "There is no such namespace in this organization.",
                code="namespace_not_found",
                details={"resource": "namespace", "id": reference},
            )
        return Caller(
            organization_id=record.organization_id,
            namespace_id=found.namespace_id,
            namespace_name=found.name,
            key_id=record.key_id,
            user_id=record.user_id,
            permission=record.permission,
        )

    def _remember(self, digest: bytes, namespace: bytes, key: ApiKey, caller: Caller, epoch: int) -> None:
        """Keeps a caller, unless what it was read from has changed meanwhile."""
        if epoch != self._epoch:
            return
        if len(self._known) >= self._cached_keys:
            self._known.pop(next(iter(self._known)))
        expires_at = key.expires_at.timestamp() if key.expires_at else float("inf")
        self._known[(digest, namespace)] = _Known(caller=caller, expires_at=expires_at)

    def _remember_unknown(self, digest: bytes, epoch: int) -> None:
        if epoch != self._epoch:
            return
        if len(self._unknown) >= _MAX_UNKNOWN:
            self._unknown.pop(next(iter(self._unknown)))
        self._unknown[digest] = None

    async def _look_for_changes(self) -> None:
        """Starts a look at the store beside the requests; waits for it only when what is known is too old.

        Once a look has failed nobody waits for the next ones: known callers must not pay for a store that is away.
        """
        if self._look is None or self._look.done():
            self._looked_at = self._clock()
            self._look = asyncio.get_running_loop().create_task(self._poll())
        if self._age_s() >= MAX_STALENESS_S and not self._is_away:
            await asyncio.wait((self._look,), timeout=_POLL_TIMEOUT_S)
            self._is_away = self._age_s() >= MAX_STALENESS_S
        if self._age_s() > self._grace_s:
            self.forget()

    def _age_s(self) -> float:
        return self._clock() - self._verified_at

    async def _poll(self) -> None:
        started_at = self._clock()
        try:
            generation = await self._directory.generation()
        except StoreUnavailable:
            return
        if generation != self._generation:
            self._generation = generation
            self.forget()
        self._verified_at = started_at
        self._is_away = False


def require_permission(caller: Caller, permission: Permission) -> None:
    """Raises `Forbidden` unless the caller's key has this permission or a higher one."""
    if not caller.permission.includes(permission):
        raise Forbidden(
            f"This needs a key with the permission '{permission}'; this key has '{caller.permission}'.",
            code="permission_denied",
            details={"required": str(permission), "granted": str(caller.permission)},
        )


def _bearer_key(authorization: bytes | None) -> bytes:
    if not authorization:
        raise Unauthorized("An API key is required: send 'Authorization: Bearer sk_…'.", code="key_missing")
    match = _BEARER.fullmatch(authorization)
    if match is None:
        raise Unauthorized("The Authorization header must be 'Bearer sk_…'.", code="key_malformed")
    return match[1]


def _unknown_key() -> Unauthorized:
    return Unauthorized("The API key is not known here.", code="key_unknown")


def _require_active(key: ApiKey, now: float) -> None:
    status = key.status(datetime.fromtimestamp(now, UTC))
    if status != "active":
        raise Unauthorized(f"The API key is {status}.", code=f"key_{status}")
