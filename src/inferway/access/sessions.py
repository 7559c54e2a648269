"""Signing in to the dashboard: sessions, one-time links and passwords."""

import asyncio
import base64
import contextlib
import hmac
import os
import time
from datetime import UTC, datetime, timedelta

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from msgspec import Struct

from inferway.access.administration import Actor, Administration, event_of
from inferway.access.directory import Directory
from inferway.access.envelope import Kek, Ring
from inferway.access.keys import digest_of, mint_key
from inferway.access.records import (
    BY_ROLE,
    DASHBOARD,
    ApiKey,
    Role,
    Session,
    User,
    UserStatus,
    find_dashboard_key,
)
from inferway.errors import BadRequest, Conflict, Unauthorized

_UNTIL_BYTES, _NONCE_BYTES = 5, 12
_PASSWORD_MIN, _PASSWORD_MAX = 10, 200
# The first choice of OWASP's password storage cheat sheet for argon2id: 19 MiB, two passes, one lane.
_TIMES, _MEMORY_KIB, _LANES = 2, 19_456, 1


class _Link(Struct, frozen=True, kw_only=True):
    """What a link says: whom it signs in (None: the first administrator), and until when, in seconds since the epoch.

    `whom` is the email of a user of the first organization, or the id of a user of any.
    `digest` is of what it says, as the same can be written in several ways.
    """

    whom: str | None
    until: int
    digest: bytes


def mint_link(kek: Kek, *, whom: str | None = None, lives_s: float) -> str:
    """The text of a link that signs in once; it is signed, so that making one needs no store."""
    until = int(time.time() + lives_s).to_bytes(_UNTIL_BYTES, "big")
    said = until + os.urandom(_NONCE_BYTES) + (whom or "").encode("utf-8")
    return f"{_text(said)}.{_text(_sign(kek, said))}"


class Sessions:
    """Who is signed in. A session is one more text of a key: it does what the key may do, and ends with it."""

    def __init__(
        self,
        directory: Directory,
        administration: Administration,
        ring: Ring,
        *,
        lives_s: float,
        link_minutes: float = 60.0,
    ) -> None:
        self._directory, self._administration, self._ring = directory, administration, ring
        self._lives, self._link_minutes = timedelta(seconds=lives_s), link_minutes
        self._hashing = asyncio.Semaphore(1)

    async def with_key(self, key: ApiKey, text: str) -> tuple[Session, str]:
        """A session that acts with a key which its holder has shown; it ends when the text that was shown does.

        `text` may be the one from before a rotation, or a session's. Raises `Unauthorized` when the key was rotated meanwhile.
        """
        digest = digest_of(text.encode("utf-8", "replace"))
        session, token = await self._begin(key, key.previous_until if digest == key.previous_digest else None)
        now = await self._directory.find_key(digest)
        if now is None or now.digest != key.digest:
            await self.end(session)
            raise Unauthorized("The API key was rotated: use the new one.", code="key_rotated")
        return session, token

    async def with_link(self, text: str, by: Actor) -> tuple[Session, str]:
        """A session for whom a link was made; `Unauthorized` (`link_unusable`) when it is no link, too old or used."""
        link = _read_link(self._ring.current(), text)
        if link is None or link.until < time.time():
            raise _unusable_link()
        user = await self._linked(link)
        if user is None or user.standing is UserStatus.SUSPENDED:
            raise _unusable_link()
        used = Session(
            digest=link.digest,
            kind="link",
            organization_id=user.organization_id,
            key_id="",
            created_at=datetime.now(UTC),
            expires_at=datetime.fromtimestamp(link.until, UTC),
        )
        try:
            await self._directory.add_session(used)
        except Conflict:
            raise _unusable_link() from None
        return await self._of_user(user, by, "link")

    async def with_password(self, email: str, password: str, by: Actor) -> tuple[Session, str]:
        """A session of a user; `Unauthorized` (`password_wrong`) says no more about what was wrong."""
        known = await self._with_passwords(email)
        for user in known:
            is_right = await self._matches(user.password_hash, password)
            if is_right and user.standing is not UserStatus.SUSPENDED:
                session, token = await self._of_user(user, by, "password")
                now = await self._directory.find_user_by_id(user.user_id)
                if now is not None and now.password_hash == user.password_hash:
                    return session, token
                # Changed meanwhile: the sessions that this ended did not include this one.
                await self.end(session)
        if not known:
            # Somebody unknown costs as much time as a wrong password.
            await self._matches(None, password)
        raise Unauthorized("That email and password do not sign in here.", code="password_wrong")

    async def set_password(self, user: User, password: str | None, by: Actor) -> User:
        """Gives a user a password, or takes it away; `BadRequest` (`password_invalid`) for one that is too short or too long."""
        if password is not None and not _PASSWORD_MIN <= len(password) <= _PASSWORD_MAX:
            raise BadRequest(
                f"A password has {_PASSWORD_MIN} to {_PASSWORD_MAX} characters.", code="password_invalid"
            )
        hashed = None
        if password is not None:
            async with self._hashing:
                hashed = await asyncio.to_thread(_hasher().hash, password)
        action = "password_removed" if password is None else "password_set"
        changed = await self._administration.change_user(user, by, action=action, password_hash=hashed)
        if user.password_hash is not None:
            await self._end_all(user, by)
        return changed

    async def change_password(self, session: Session, current: str, new: str, by: Actor) -> User:
        """Changes the password of who is signed in; `Unauthorized` (`password_wrong`) unless it is shown as it is now."""
        keys = await self._directory.list_keys(session.organization_id)
        owner = next((key.user_id for key in keys if key.key_id == session.key_id), "")
        user = await self._directory.find_user_by_id(owner)
        if user is None or not await self._matches(user.password_hash, current):
            raise Unauthorized("That is not your password.", code="password_wrong")
        return await self.set_password(user, new, by)

    async def link_for(self, user: User, by: Actor) -> tuple[str, float]:
        """A link that signs a user in once, and for how many minutes."""
        text = mint_link(self._ring.current(), whom=user.user_id, lives_s=self._link_minutes * 60)
        event = event_of(by, user.organization_id, ("user", user.user_id), "sign_in_link_made", {})
        await self._directory.add_event(event)
        return text, self._link_minutes

    async def _end_all(self, user: User, by: Actor) -> None:
        """Ends the sessions of a user that a link or a password began."""
        keys = await self._directory.list_keys(user.organization_id)
        key = find_dashboard_key(keys, user, datetime.now(UTC))
        if key is not None:
            await self._administration.revoke(key, by)

    async def find(self, text: str) -> Session | None:
        """The session of a cookie, if it goes on."""
        found = await self._directory.find_session(digest_of(text.encode("utf-8", "replace")))
        is_live = found is not None and found.kind == "session" and found.expires_at > datetime.now(UTC)
        return found if is_live else None

    async def end(self, session: Session) -> None:
        """Signs out."""
        await self._directory.remove_session(session)
        self._administration.note_change()

    async def _begin(self, key: ApiKey, until: datetime | None = None) -> tuple[Session, str]:
        text, now = mint_key(), datetime.now(UTC)
        ends = [now + self._lives, key.expires_at, until]
        session = Session(
            digest=digest_of(text.encode("ascii")),
            kind="session",
            organization_id=key.organization_id,
            key_id=key.key_id,
            created_at=now,
            expires_at=min(each for each in ends if each is not None),
        )
        await self._directory.add_session(session)
        return session, text

    async def _of_user(self, user: User, by: Actor, means: str) -> tuple[Session, str]:
        key = await self._key_of(user)
        event = event_of(by, user.organization_id, ("user", user.user_id), "signed_in", {"by": means})
        await self._directory.add_event(event)
        return await self._begin(key)

    async def _key_of(self, user: User) -> ApiKey:
        """The key that a user's own sessions act with; nobody has its text."""
        for name in (DASHBOARD, *(f"{DASHBOARD} {number}" for number in range(2, 100))):
            keys = await self._directory.list_keys(user.organization_id)
            made = find_dashboard_key(keys, user, datetime.now(UTC))
            if made is not None:
                return made
            # Taken by somebody else's key, or by a sign-in at the same moment.
            with contextlib.suppress(Conflict):
                return await self._make_key(user, name)
        raise Conflict("No name is left for the dashboard's key.", code="key_name_taken")

    async def _make_key(self, user: User, name: str) -> ApiKey:
        permission = BY_ROLE[user.role]
        made, _ = await self._administration.create_key(
            user,
            name,
            permission,
            by=Actor(user_id=DASHBOARD),
            granted=(permission,),
            description="What this user does in the dashboard when signed in by link or password.",
        )
        return made

    async def _linked(self, link: _Link) -> User | None:
        if link.whom is not None and "@" not in link.whom:
            return await self._directory.find_user_by_id(link.whom)
        organizations = await self._directory.list_organizations()
        if not organizations:
            return None
        first = organizations[0].organization_id
        if link.whom is not None:
            return await self._directory.find_user(first, link.whom)
        users = await self._directory.list_users(first)
        able = [
            user for user in users if user.role is Role.ADMIN and user.standing is not UserStatus.SUSPENDED
        ]
        return able[0] if able else None

    async def _with_passwords(self, email: str) -> list[User]:
        """The users of that email, one at most in each organization, who have a password."""
        organizations = await self._directory.list_organizations()
        found = [await self._directory.find_user(each.organization_id, email) for each in organizations]
        return [user for user in found if user is not None and user.password_hash is not None]

    async def _matches(self, stored: str | None, password: str) -> bool:
        async with self._hashing:
            return await asyncio.to_thread(_verify, stored, password[: _PASSWORD_MAX + 1])


def _hasher() -> PasswordHasher:
    return PasswordHasher(time_cost=_TIMES, memory_cost=_MEMORY_KIB, parallelism=_LANES)


def _verify(stored: str | None, password: str) -> bool:
    if stored is None:
        _hasher().hash(password)
        return False
    try:
        return _hasher().verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False


def _read_link(kek: Kek, text: str) -> _Link | None:
    """What a link says, if it was made with this key."""
    try:
        said, signature = (
            base64.urlsafe_b64decode(each + "=" * (-len(each) % 4)) for each in text.split(".")
        )
    except ValueError:
        return None
    if not hmac.compare_digest(signature, _sign(kek, said)):
        return None
    whom = said[_UNTIL_BYTES + _NONCE_BYTES :].decode("utf-8")
    until = int.from_bytes(said[:_UNTIL_BYTES], "big")
    return _Link(whom=whom or None, until=until, digest=digest_of(said))


def _sign(kek: Kek, said: bytes) -> bytes:
    """A signature under a key that is for links only."""
    own = hmac.digest(kek.secret, b"inferway sign-in link", "sha256")
    return hmac.digest(own, said, "sha256")


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def _unusable_link() -> Unauthorized:
    return Unauthorized(
        "This link does not sign in: it was used already, is too old, or was not copied whole.",
        code="link_unusable",
    )
