"""The door: turns the two headers of a request into a caller, from memory when it can."""

import asyncio
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from hmac import compare_digest

from msgspec import Struct

from inferway.access.caps import caps_of
from inferway.access.directory import Directory
from inferway.access.keys import digest_of, is_well_formed
from inferway.access.records import (
    BY_ROLE,
    DASHBOARD,
    ApiKey,
    Caller,
    Credentials,
    Holder,
    LentSecret,
    Namespace,
    Organization,
    Permission,
    Role,
    User,
    UserStatus,
)
from inferway.access.scopes import allows_origin, permits
from inferway.errors import BadRequest, Forbidden, NotFound, StoreUnavailable, Unauthorized

MAX_STALENESS_S = 4.0
"""Above this age of what is known, a request waits for the look at the store; changes count within 5 s everywhere."""

_POLL_TIMEOUT_S = 2.0
_NOTE_USE_EVERY_S = 30.0
"""How often it is written down which keys were used."""
_MAX_UNKNOWN = 4096
_MISSES_MAX = 10
_MISSES_WINDOW_S = 60.0
_MAX_LISTED = 500_000
"""With more keys than that no list of them is kept."""
_MAX_NAMESPACE_LENGTH = 128
_MAX_MET = 1_024
_BEARER = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +(sk_[0-9A-Za-z]{36}) *")


class _Known(Struct, frozen=True, kw_only=True):
    """A verified caller; `expires_at` is the key's end in seconds since the epoch."""

    caller: Caller
    expires_at: float
    allowed_origins: tuple[str, ...]


class _Misses:
    """How many well-formed keys were looked up in vain in a minute: more than `_MISSES_MAX` are a flood."""

    __slots__ = ("_count", "_since")

    def __init__(self) -> None:
        self._count, self._since = 0, float("-inf")

    def note(self, now: float) -> None:
        if now - self._since >= _MISSES_WINDOW_S:
            self._count, self._since = 0, now
        self._count += 1

    def is_flood(self, now: float) -> bool:
        return self._count >= _MISSES_MAX and now - self._since < _MISSES_WINDOW_S


class Gate:
    """Authenticates requests.

    A caller that was verified is known by the SHA-256 of its key and the namespace it named, until the store's generation changes: then
    everything is forgotten. The store is asked for its generation every `refresh_s` seconds, beside the requests. While it cannot
    be asked, known callers go on for `grace_s` seconds and unknown ones get a 503. A few who came last are also known by their headers as
    they are, which saves the hash; what they send stands in memory anyway.
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
        self._met: dict[tuple[bytes | None, bytes | None], _Known] = {}
        self._unknown: dict[bytes, tuple[str, str | None]] = {}
        self._generation = self._epoch = -1
        self._is_away = False
        self._verified_at = self._looked_at = float("-inf")
        self._look: asyncio.Task[None] | None = None
        self._used: dict[str, float] = {}
        self._noted_at = self._clock()
        self._misses = _Misses()
        self._listed: tuple[int, frozenset[bytes] | None] | None = None

    async def authenticate(
        self, authorization: bytes | None, namespace: bytes | None, origin: bytes | None = None
    ) -> Caller:
        """The caller behind an Authorization and an X-Namespace header; `origin` is the Origin header, if there was one.

        Raises `Unauthorized`, `BadRequest` (code `namespace_required`), `NotFound` for a namespace of another organization or
        none, `Forbidden` for one that the key's scopes leave out and for an origin that the key does not allow, and
        `StoreUnavailable` when an unknown key cannot be looked up.
        """
        key = _bearer_key(authorization)
        digest = digest_of(key)
        if self._clock() - self._looked_at >= self._refresh_s:
            await self._look_for_changes()
        epoch, now = self._epoch, self._wall_clock()
        known = self._known.get((digest, namespace or b""))
        if known is None or known.expires_at <= now:
            known = await self._verify(key, digest, namespace)
        if known.allowed_origins:
            _require_origin(known.allowed_origins, origin)
        elif epoch == self._epoch:
            if len(self._met) >= _MAX_MET:
                self._met.clear()
            self._met[authorization, namespace] = known
        self._used[known.caller.key_id] = now
        return known.caller

    def find(self, authorization: bytes | None, namespace: bytes | None) -> Caller | None:
        """The caller who came with the very same headers a moment ago; None for anybody else, whom `authenticate` judges."""
        known = self._met.get((authorization, namespace))
        if known is None or self._clock() - self._looked_at >= self._refresh_s:
            return None
        now = self._wall_clock()
        if known.expires_at <= now:
            return None
        caller = known.caller
        self._used[caller.key_id] = now
        return caller

    async def identify(self, authorization: bytes | None, origin: bytes | None = None) -> Holder:
        """Who administers with this key; always read from the store.

        Raises `Unauthorized`, `Forbidden` for an origin that the key does not allow, and `StoreUnavailable`.
        """
        key = _bearer_key(authorization)
        if self._clock() - self._looked_at >= self._refresh_s:
            await self._look_for_changes()
        record = await self._find_key(key, digest_of(key), self._epoch)
        _require_origin(record.allowed_origins, origin)
        user, organization = await self._owners(record)
        self._used[record.key_id] = self._wall_clock()
        return Holder(key=record, user=user, organization=organization, permission=_allowed(record, user))

    @property
    def is_fresh(self) -> bool:
        """Whether what is remembered is as new as it may be, or nothing is remembered."""
        return not self._known or self._age_s() < MAX_STALENESS_S + self._refresh_s

    def forget(self) -> None:
        """Drops everything remembered, so that a change made here counts at once."""
        self._epoch += 1
        self._known.clear()
        self._met.clear()
        self._unknown.clear()

    async def aclose(self) -> None:
        """Ends a look at the store that is under way."""
        if self._look is not None:
            self._look.cancel()
            await asyncio.gather(self._look, return_exceptions=True)
        if self._used:
            await self._note_use()

    async def _verify(self, key: bytes, digest: bytes, namespace: bytes | None) -> _Known:
        epoch = self._epoch
        record = await self._find_key(key, digest, epoch)
        user, organization = await self._owners(record)
        caller = await self._enter(record, user, organization, namespace)
        known = _Known(
            caller=caller, expires_at=_end_of(record, digest), allowed_origins=record.allowed_origins
        )
        self._remember(digest, namespace or b"", known, epoch)
        return known

    async def _find_key(self, key: bytes, digest: bytes, epoch: int) -> ApiKey:
        """The record of a key that is good now; raises `Unauthorized` and `StoreUnavailable`."""
        if not is_well_formed(key):
            raise Unauthorized(
                "The API key is malformed: check that it was copied whole.", code="key_malformed"
            )
        if digest in self._unknown:
            message, code = self._unknown[digest]
            raise Unauthorized(message, code=code)
        if self._misses.is_flood(self._clock()) and not await self._may_be_known(digest):
            raise _unknown_key()
        record = await self._directory.find_key(digest)
        if record is None or not _is_digest_of(digest, record):
            self._misses.note(self._clock())
            raise self._remembered(digest, epoch, _unknown_key())
        try:
            _require_active(record, digest, self._now())
        except Unauthorized as final:
            raise self._remembered(digest, epoch, final) from None
        return record

    async def _may_be_known(self, digest: bytes) -> bool:
        """Whether a key can be in the store, by a list of all keys that is read once: a flood of bad keys looks nothing up.

        Raises `StoreUnavailable` when there is no list and none can be read.
        """
        if self._listed is None or self._listed[0] != self._epoch:
            epoch = self._epoch
            digests = await self._directory.list_digests(_MAX_LISTED)
            self._listed = (epoch, None if len(digests) >= _MAX_LISTED else frozenset(digests))
        listed = self._listed[1]
        return listed is None or digest in listed

    async def _owners(self, record: ApiKey) -> tuple[User, Organization]:
        user = await self._directory.find_user_by_id(record.user_id)
        organization = await self._directory.find_organization(record.organization_id)
        if user is None or organization is None:
            raise _unknown_key()
        if user.standing is UserStatus.SUSPENDED:
            raise Unauthorized("The owner of this API key is suspended.", code="user_suspended")
        return user, organization

    async def _enter(
        self, record: ApiKey, user: User, organization: Organization, namespace: bytes | None
    ) -> Caller:
        if not namespace:
            raise BadRequest(
                "The X-Namespace header is required: the id (ns_…) or the name of a namespace.",
                code="namespace_required",
            )
        reference = namespace[:_MAX_NAMESPACE_LENGTH].decode("utf-8", "replace")
        found = await self._directory.find_namespace(record.organization_id, reference)
        if len(namespace) > _MAX_NAMESPACE_LENGTH:
            found = None
        names = (reference,) if found is None else (found.namespace_id, found.name)
        # Asked first, so that a key learns nothing of namespaces that it may not enter.
        if not permits(record.scopes, "namespace", names, record.organization_id, "infer"):
            raise Forbidden("This key's scopes leave out that namespace.", code="scope_denied")
        if found is None:
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
            permission=_allowed(record, user),
            models=record.models,
            per_minute=record.per_minute,
            lent=await self._lent(organization, found),
            caps=caps_of(record, found, organization),
            is_kept=found.keep_days is not None,
        )

    async def _lent(self, organization: Organization, namespace: Namespace) -> tuple[LentSecret, ...]:
        """The credentials of the organization and, before them, of the namespace; each with its secret as it is stored."""
        chosen: Credentials = organization.credentials | namespace.credentials
        return tuple(
            [
                LentSecret(
                    provider=provider,
                    host=borrowed.host,
                    sealed=await self._directory.find_secret(
                        organization.organization_id, borrowed.secret_name
                    ),
                )
                for provider, borrowed in chosen.items()
            ]
        )

    def _remember(self, digest: bytes, namespace: bytes, known: _Known, epoch: int) -> None:
        """Keeps a caller, unless what it was read from has changed meanwhile."""
        if epoch != self._epoch:
            return
        if len(self._known) >= self._cached_keys:
            self._known.pop(next(iter(self._known)))
        self._known[(digest, namespace)] = known

    def _remembered(self, digest: bytes, epoch: int, error: Unauthorized) -> Unauthorized:
        """The refusal of a key, which the same key gets again without a look-up; revoked and expired are final too."""
        if epoch == self._epoch:
            if len(self._unknown) >= _MAX_UNKNOWN:
                self._unknown.pop(next(iter(self._unknown)))
            self._unknown[digest] = (error.message, error.code)
        return error

    async def _look_for_changes(self) -> None:
        """Starts a look at the store beside the requests; waits for it only when what is known is too old.

        Once a look has failed nobody waits for the next ones: known callers must not pay for a store that is away.
        """
        is_stale = self._age_s() >= MAX_STALENESS_S and not self._is_away
        if self._look is None or self._look.done():
            self._look = asyncio.get_running_loop().create_task(self._poll())
            if not is_stale:
                self._looked_at = self._clock()
        if is_stale:
            # Only then does it count as looked: whoever comes meanwhile must wait for it, too.
            await asyncio.wait((self._look,), timeout=_POLL_TIMEOUT_S)
            self._looked_at = self._clock()
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
        if self._used and started_at - self._noted_at >= _NOTE_USE_EVERY_S:
            self._noted_at = started_at
            await self._note_use()

    async def _note_use(self) -> None:
        """Writes down when keys were used; it is tried again later when the store is away."""
        used, self._used = self._used, {}
        try:
            await self._directory.touch_keys(
                {key_id: datetime.fromtimestamp(at, UTC) for key_id, at in used.items()}
            )
        except StoreUnavailable:
            self._used = used | self._used

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._wall_clock(), UTC)


def require_permission(caller: Caller | Holder, permission: Permission) -> None:
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


def _is_digest_of(digest: bytes, key: ApiKey) -> bool:
    return compare_digest(key.digest, digest) or (
        key.previous_digest is not None and compare_digest(key.previous_digest, digest)
    )


def _end_of(key: ApiKey, digest: bytes) -> float:
    """When a key's text stops working, in seconds since the epoch; a text from before a rotation may end sooner."""
    ends = [key.expires_at, key.previous_until if digest == key.previous_digest else None]
    return min((end.timestamp() for end in ends if end is not None), default=float("inf"))


def _require_active(key: ApiKey, digest: bytes, now: datetime) -> None:
    status = key.status(now)
    if status != "active":
        raise Unauthorized(f"The API key is {status}.", code=f"key_{status}")
    if now.timestamp() >= _end_of(key, digest):
        raise Unauthorized("The API key was rotated: use the new one.", code="key_rotated")


def _allowed(key: ApiKey, user: User) -> Permission:
    """What a key may do: a viewer's keys can only read.

    A user's own sessions do no more than the role lets them, also when it was taken back while they began.
    """
    is_bound = user.role is Role.VIEWER or key.created_by == DASHBOARD
    return BY_ROLE[user.role] if is_bound and key.permission.includes(BY_ROLE[user.role]) else key.permission


def _require_origin(allowed: tuple[str, ...], origin: bytes | None) -> None:
    text = None if origin is None else origin.decode("latin-1")
    if not allows_origin(allowed, text):
        raise Forbidden("This key is not allowed from that origin.", code="origin_denied")
