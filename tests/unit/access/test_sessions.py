"""Signing in: what a session may do, links, and passwords."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from inferway.access.administration import Actor, Administration
from inferway.access.founding import new_key
from inferway.access.gate import Gate
from inferway.access.keyring import Keyring
from inferway.access.records import (
    DASHBOARD,
    ApiKey,
    AuditEvent,
    Permission,
    Role,
    User,
    UserStatus,
    signed_in,
)
from inferway.access.sessions import Sessions, mint_link
from inferway.errors import BadRequest, Unauthorized
from inferway.store.memory.directory import MemoryDirectory
from tests.contract.test_directory import founding

_BY = Actor(user_id="test")
_PASSWORD = "correct horse battery"


class House:
    """One organization with an administrator, in memory."""

    def __init__(self, folder: Path) -> None:
        self.directory = MemoryDirectory()
        self.administration = Administration(self.directory)
        self.ring = Keyring(folder / "secrets.key")
        self.sessions = Sessions(self.directory, self.administration, self.ring, lives_s=3600)
        self.gate = Gate(self.directory)
        self.founding = founding()

    @property
    def user(self) -> User:
        return self.founding.user

    async def may(self, token: str) -> Permission:
        """What a session may do, as every route asks it."""
        self.gate.forget()
        return (await self.gate.identify(f"Bearer {token}".encode())).permission


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = House(tmp_path)
    await made.directory.found(made.founding)
    yield made
    await made.gate.aclose()


async def test_a_session_of_a_key_does_what_the_key_may_do_and_ends_with_it(house: House) -> None:
    key, text = new_key(
        house.user, "short", Permission.WRITE, datetime.now(UTC), datetime.now(UTC) + timedelta(minutes=5)
    )
    await house.directory.add_key(key)
    session, token = await house.sessions.with_key(key, text)
    assert await house.may(token) is Permission.WRITE
    assert session.expires_at == key.expires_at
    assert await house.sessions.find(token) == session
    await house.administration.revoke(key, _BY)
    with pytest.raises(Unauthorized):
        await house.may(token)


async def test_a_session_ends_with_the_text_that_began_it(house: House) -> None:
    was, old = await house.administration.create_key(house.user, "rotated", Permission.WRITE)
    key, new = await house.administration.rotate_key(was, _BY, overlap_s=60)
    session, token = await house.sessions.with_key(key, old)
    assert session.expires_at == key.previous_until
    # What is made of a session's own text lives no longer either.
    again, _ = await house.sessions.with_key(signed_in(key, session), token)
    assert again.expires_at == session.expires_at
    fresh, _ = await house.sessions.with_key(key, new)
    assert fresh.expires_at > session.expires_at


async def test_no_session_outlives_a_rotation_that_came_while_it_began(house: House) -> None:
    was, old = await house.administration.create_key(house.user, "rotated", Permission.WRITE)
    await house.administration.rotate_key(was, _BY)
    await house.administration.rotate_key(await _find(house, was), _BY)
    with pytest.raises(Unauthorized):
        await house.sessions.with_key(was, old)
    tokens = await house.directory.list_digests(100)
    found = [await house.directory.find_session(digest) for digest in tokens]
    assert found == [None] * len(found)


async def test_no_session_outlives_a_password_that_was_changed_while_it_began(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await house.sessions.set_password(house.user, _PASSWORD, _BY)
    matches = house.sessions._matches

    async def match_before_the_change(stored: str | None, password: str) -> bool:
        is_right = await matches(stored, password)
        await house.sessions.set_password(user, "another password", _BY)
        return is_right

    monkeypatch.setattr(house.sessions, "_matches", match_before_the_change)
    with pytest.raises(Unauthorized):
        await house.sessions.with_password(user.email, _PASSWORD, _BY)


async def test_a_session_that_was_ended_is_over(house: House) -> None:
    session, token = await house.sessions.with_link(_link(house), _BY)
    await house.sessions.end(session)
    assert await house.sessions.find(token) is None
    with pytest.raises(Unauthorized):
        await house.may(token)


async def test_a_session_is_over_after_its_time(house: House) -> None:
    brief = Sessions(house.directory, house.administration, house.ring, lives_s=-1)
    _, token = await brief.with_link(_link(house), _BY)
    assert await brief.find(token) is None
    with pytest.raises(Unauthorized):
        await house.may(token)


async def test_a_link_signs_its_user_in_once_and_says_so_in_the_audit_log(house: House) -> None:
    member = await house.administration.create_user(
        house.user.organization_id, "mo@example.com", _BY, role=Role.MEMBER
    )
    link = _link(house, member.email)
    _, token = await house.sessions.with_link(link, _BY)
    assert await house.may(token) is Permission.DELETE
    with pytest.raises(Unauthorized):
        await house.sessions.with_link(link, _BY)
    assert "signed_in" in [event.action for event in house.directory._events.values()]


@pytest.mark.parametrize("text", ["", ".", "a.b", "é", "AAAA.AAAA", "\udcff.x", "a" * 10_000])
async def test_what_is_no_link_signs_nobody_in(house: House, text: str) -> None:
    with pytest.raises(Unauthorized):
        await house.sessions.with_link(text, _BY)


async def test_a_link_of_another_server_or_of_yesterday_signs_nobody_in(house: House, tmp_path: Path) -> None:
    strange = mint_link(Keyring(tmp_path / "other.key").current(), lives_s=60)
    late = mint_link(house.ring.current(), lives_s=-1)
    for text in (strange, late):
        with pytest.raises(Unauthorized):
            await house.sessions.with_link(text, _BY)


async def test_a_suspended_or_unknown_user_is_not_signed_in(house: House) -> None:
    await house.sessions.set_password(house.user, _PASSWORD, _BY)
    user = await house.directory.find_user(house.user.organization_id, house.user.email)
    assert user is not None
    await house.administration.change_user(user, _BY, standing=UserStatus.SUSPENDED)
    for text in (_link(house), _link(house, house.user.email), _link(house, "nobody@example.com")):
        with pytest.raises(Unauthorized):
            await house.sessions.with_link(text, _BY)
    with pytest.raises(Unauthorized):
        await house.sessions.with_password(house.user.email, _PASSWORD, _BY)


async def test_a_password_signs_in_and_is_kept_as_an_argon2id_hash(house: House) -> None:
    user = await house.sessions.set_password(house.user, _PASSWORD, _BY)
    assert user.password_hash is not None
    assert user.password_hash.startswith("$argon2id$")
    assert not any(
        _PASSWORD in str(event) or "argon2" in str(event) for event in house.directory._events.values()
    )
    _, token = await house.sessions.with_password("ANN@example.com", _PASSWORD, _BY)
    assert await house.may(token) is Permission.ADMIN
    for email, password in ((user.email, "wrong"), (user.email, ""), ("nobody@example.com", _PASSWORD)):
        with pytest.raises(Unauthorized) as caught:
            await house.sessions.with_password(email, password, _BY)
        assert caught.value.code == "password_wrong"
    gone = await house.sessions.set_password(user, None, _BY)
    assert gone.password_hash is None
    with pytest.raises(Unauthorized):
        await house.sessions.with_password(user.email, _PASSWORD, _BY)


@pytest.mark.parametrize("password", ["short", "x" * 201])
async def test_a_password_of_no_use_is_refused(house: House, password: str) -> None:
    with pytest.raises(BadRequest):
        await house.sessions.set_password(house.user, password, _BY)


async def test_a_users_sessions_share_one_key_that_follows_the_role(house: House) -> None:
    user = await house.administration.create_user(
        house.user.organization_id, "mo@example.com", _BY, role=Role.ADMIN
    )
    tokens = [(await house.sessions.with_link(_link(house, user.email), _BY))[1] for _ in range(2)]
    keys = [
        key for key in await house.directory.list_keys(user.organization_id) if key.user_id == user.user_id
    ]
    assert [(key.name, key.created_by) for key in keys] == [("dashboard", DASHBOARD)]
    await house.administration.change_user(user, _BY, role=Role.VIEWER)
    assert [await house.may(token) for token in tokens] == [Permission.READ] * 2


async def test_a_role_that_is_taken_back_while_a_session_begins_is_gone(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await house.administration.create_user(
        house.user.organization_id, "mo@example.com", _BY, role=Role.ADMIN
    )
    add_key = house.directory.add_key

    async def add_after_the_change(key: ApiKey, *, event: AuditEvent | None = None) -> None:
        await house.administration.change_user(user, _BY, role=Role.MEMBER)
        await add_key(key, event=event)

    monkeypatch.setattr(house.directory, "add_key", add_after_the_change)
    _, token = await house.sessions.with_link(_link(house, user.email), _BY)
    assert await house.may(token) is Permission.DELETE


async def test_a_key_that_is_called_dashboard_by_somebody_is_left_alone(house: House) -> None:
    await house.administration.create_key(house.user, DASHBOARD, Permission.READ, by=_BY)
    _, token = await house.sessions.with_link(_link(house), _BY)
    assert await house.may(token) is Permission.ADMIN


async def _find(house: House, key: ApiKey) -> ApiKey:
    keys = await house.directory.list_keys(key.organization_id)
    return next(each for each in keys if each.key_id == key.key_id)


def _link(house: House, email: str | None = None) -> str:
    return mint_link(house.ring.current(), whom=email, lives_s=60)
