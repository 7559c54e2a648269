"""Every store keeps organizations, namespaces, users and keys alike."""

import asyncio
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from inferway.access.directory import AuditFilter, Directory, Founding
from inferway.access.founding import new_key
from inferway.access.records import (
    ApiKey,
    AuditEvent,
    Borrowed,
    Namespace,
    Organization,
    Permission,
    Role,
    Session,
    SpendBudget,
    User,
    UserStatus,
    new_id,
)
from inferway.access.scopes import Scope
from inferway.errors import Conflict, NotFound
from inferway.store.directory import SqlDirectory
from inferway.store.memory.directory import MemoryDirectory
from inferway.store.work import SqlDatabase

NOW = datetime(2026, 3, 4, 5, 6, 7, 890123, tzinfo=UTC)


@pytest.fixture
def directory(database: SqlDatabase | None) -> Directory:
    return MemoryDirectory() if database is None else SqlDirectory(database)


def founding(name: str = "house") -> Founding:
    organization = Organization(organization_id=new_id("org"), name=name, created_at=NOW)
    tenant = organization.organization_id
    user = User(user_id=new_id("user"), organization_id=tenant, email="Ann@example.com", created_at=NOW)
    key, _ = new_key(user, "first", Permission.ADMIN, NOW, NOW + timedelta(days=1))
    namespace = Namespace(namespace_id=new_id("ns"), organization_id=tenant, name="default", created_at=NOW)
    return Founding(organization=organization, namespace=namespace, user=user, keys=(key,))


async def test_an_empty_store_is_founded_once(directory: Directory) -> None:
    first, second = founding(), founding("other")
    assert await directory.list_organizations() == ()
    answers = await asyncio.gather(directory.found(first), directory.found(second))
    assert sorted(answers) == [False, True]
    assert len(await directory.list_organizations()) == 1


async def test_what_is_stored_comes_back_equal(directory: Directory) -> None:
    given = founding()
    await directory.found(given)
    tenant = given.organization.organization_id
    assert await directory.list_organizations() == (given.organization,)
    assert await directory.find_key(given.keys[0].digest) == given.keys[0]
    assert await directory.list_keys(tenant) == given.keys
    assert await directory.list_namespaces(tenant) == (given.namespace,)
    assert await directory.find_user(tenant, "ann@EXAMPLE.com") == given.user


async def test_a_namespace_is_found_by_id_and_name_in_its_own_organization_only(directory: Directory) -> None:
    given = founding()
    await directory.found(given)
    tenant = given.organization.organization_id
    for reference in (given.namespace.namespace_id, "default"):
        assert await directory.find_namespace(tenant, reference) == given.namespace
        assert await directory.find_namespace("org_other", reference) is None
    for reference in ("", "Default", "default ", "' OR 1=1 --", "%", "default\0"):
        assert await directory.find_namespace(tenant, reference) is None


async def test_names_are_unique_where_they_must_be(directory: Directory) -> None:
    given = founding()
    await directory.found(given)
    twin = msgspec.structs.replace(given.namespace, namespace_id=new_id("ns"))
    user_twin = msgspec.structs.replace(given.user, user_id=new_id("user"), email="ANN@example.com")
    key_twin, _ = new_key(given.user, "first", Permission.READ, NOW)
    for add, code in (
        (directory.add_namespace(twin), "namespace_name_taken"),
        (directory.add_user(user_twin), "user_taken"),
        (directory.add_key(key_twin), "key_name_taken"),
    ):
        with pytest.raises(Conflict) as caught:
            await add
        assert caught.value.code == code


async def test_a_revoked_keys_name_may_be_used_again(directory: Directory) -> None:
    given = founding()
    await directory.found(given)
    revoked = msgspec.structs.replace(given.keys[0], revoked_at=NOW)
    await directory.replace_key(revoked, was=given.keys[0])
    assert await directory.find_key(revoked.digest) == revoked
    again, _ = new_key(given.user, "first", Permission.READ, NOW)
    await directory.add_key(again)
    assert {key.key_id for key in await directory.list_keys(given.organization.organization_id)} == {
        revoked.key_id,
        again.key_id,
    }


async def test_every_change_and_only_a_change_moves_the_generation(directory: Directory) -> None:
    seen = [await directory.generation()]
    given = founding()
    await directory.found(given)
    seen.append(await directory.generation())
    await directory.add_namespace(
        msgspec.structs.replace(given.namespace, namespace_id="ns_2", name="second")
    )
    seen.append(await directory.generation())
    key, _ = new_key(given.user, "second", Permission.READ, NOW)
    await directory.add_key(key)
    seen.append(await directory.generation())
    await directory.replace_key(msgspec.structs.replace(key, revoked_at=NOW), was=key)
    seen.append(await directory.generation())
    assert seen == sorted(set(seen))
    await directory.find_key(key.digest)
    assert await directory.generation() == seen[-1]


async def test_every_field_of_every_record_comes_back_equal(directory: Directory) -> None:
    given = founding()
    await directory.found(given)
    scope = Scope(resource_type="namespace", resource_id="ns_*", operations=("read_data",))
    key = msgspec.structs.replace(
        given.keys[0],
        revoked_by="user_2",
        created_by="user_1",
        description="about",
        granted=(Permission.READ, Permission.WRITE),
        scopes=(scope,),
        allowed_origins=("https://a.example",),
        models=("openai/*",),
        per_minute=9,
        spend_budget=SpendBudget(daily_microusd=1, monthly_microusd=2),
        previous_digest=b"p" * 32,
        previous_until=NOW,
    )
    await directory.replace_key(key, was=given.keys[0])
    assert await directory.find_key(key.digest) == key
    assert await directory.find_key(b"p" * 32) == key
    organization = msgspec.structs.replace(
        given.organization,
        updated_at=NOW,
        metadata={"a": [1, None, "ü"]},
        credentials={"openai": Borrowed(secret_name="s", host="https://h")},
        spend_budget=SpendBudget(daily_microusd=3),
    )
    await directory.replace_organization(organization, was=given.organization)
    assert await directory.find_organization(organization.organization_id) == organization
    user = msgspec.structs.replace(
        given.user, name="Ann", role=Role.VIEWER, standing=UserStatus.SUSPENDED, metadata={"x": 1}
    )
    await directory.replace_user(user, was=given.user)
    assert await directory.find_user_by_id(user.user_id) == user
    namespace = msgspec.structs.replace(
        given.namespace, name="other", description="d", attributes={"payload_indexes": []}
    )
    await directory.replace_namespace(namespace, was=given.namespace)
    assert await directory.list_namespaces(user.organization_id) == (namespace,)


async def test_a_change_made_from_an_old_record_is_refused(directory: Directory) -> None:
    given = founding()
    await directory.found(given)
    old = given.keys[0]
    await directory.replace_key(msgspec.structs.replace(old, digest=b"n" * 32), was=old)
    with pytest.raises(Conflict) as caught:
        await directory.replace_key(msgspec.structs.replace(old, name="renamed"), was=old)
    assert caught.value.code == "changed_meanwhile"
    assert await directory.find_key(old.digest) is None, "an old text must not come back"


async def test_last_use_is_noted_beside_other_changes(directory: Directory) -> None:
    given = founding()
    await directory.found(given)
    old = given.keys[0]
    generation = await directory.generation()
    await directory.touch_keys({old.key_id: NOW + timedelta(hours=1), "key_gone": NOW})
    await directory.touch_keys({old.key_id: NOW})
    assert await directory.generation() == generation
    await directory.replace_key(msgspec.structs.replace(old, name="renamed"), was=old)
    (stored,) = await directory.list_keys(old.organization_id)
    assert (stored.name, stored.last_used_at) == ("renamed", NOW + timedelta(hours=1))


async def test_a_removed_users_keys_are_gone(directory: Directory) -> None:
    given = founding()
    await directory.found(given)
    await directory.remove_user(given.user)
    assert await directory.find_key(given.keys[0].digest) is None
    assert await directory.list_users(given.user.organization_id) == ()
    with pytest.raises(NotFound) as refused:
        await directory.add_key(given.keys[0])
    assert refused.value.code == "user_not_found"


async def test_audit_events_are_filtered_ordered_and_paged(directory: Directory) -> None:
    given = founding()
    await directory.found(given)
    tenant = given.organization.organization_id
    for number in range(5):
        event = AuditEvent(
            audit_id=f"audit_{number}",
            organization_id=tenant,
            at=NOW + timedelta(seconds=number),
            resource_type="user",
            resource_id=str(number % 2),
            action="user_created",
            actor_id="user_1",
            changes={"n": number},
        )
        user = msgspec.structs.replace(given.user, user_id=f"user_{number}", email=f"{number}@b")
        await directory.add_user(user, event=event)
    everything, total = await directory.list_events(tenant, AuditFilter(), skip=1, limit=2)
    assert ([each.changes["n"] for each in everything], total) == ([3, 2], 5)
    wanted = AuditFilter(resource_id="1", start=NOW + timedelta(seconds=1), end=NOW + timedelta(seconds=3))
    found, total = await directory.list_events(tenant, wanted, skip=0, limit=9)
    assert ([each.changes["n"] for each in found], total) == ([1], 1)
    assert await directory.list_events("org_other", AuditFilter(), skip=0, limit=9) == ((), 0)
    assert await directory.find_event("org_other", "audit_1") is None
    assert await directory.find_event(tenant, "audit_1") == found[0]


async def test_all_digests_are_listed_with_those_from_before_a_rotation(directory: Directory) -> None:
    given = founding()
    await directory.found(given)
    (key,) = given.keys
    rotated = msgspec.structs.replace(key, digest=bytes(32), previous_digest=key.digest, previous_until=NOW)
    await directory.replace_key(rotated, was=key)
    assert set(await directory.list_digests(10)) == {bytes(32), key.digest}
    assert len(await directory.list_digests(1)) == 1


async def test_texts_come_back_exactly_as_they_were_given(directory: Directory) -> None:
    given = founding()
    await directory.found(given)
    for text in (
        "",
        "NUL \0 inside",
        "\ufffe",
        "\ufffe0 \0\0 \ufffe\ufffe\0",
        "'; DROP TABLE users; --",
        "$1 ?1 %s :x",
        "\U0001f600 \u202e",
    ):
        user = await directory.find_user_by_id(given.user.user_id)
        assert user is not None
        await directory.replace_user(
            msgspec.structs.replace(user, name=text, metadata={text: text}), was=user
        )
        stored = await directory.find_user_by_id(user.user_id)
        assert stored is not None
        assert (stored.name, stored.metadata) == (text, {text: text})


async def test_of_many_changes_at_once_from_the_same_record_one_wins(directory: Directory) -> None:
    given = founding()
    await directory.found(given)
    before = await directory.generation()
    renamed = [msgspec.structs.replace(given.namespace, name=f"name{n}") for n in range(8)]
    done = await asyncio.gather(
        *(directory.replace_namespace(each, was=given.namespace) for each in renamed), return_exceptions=True
    )
    lost = [each for each in done if each is not None]
    assert len(lost) == len(renamed) - 1
    assert {each.code for each in lost if isinstance(each, Conflict)} == {"changed_meanwhile"}
    (stored,) = await directory.list_namespaces(given.organization.organization_id)
    assert stored == renamed[done.index(None)]
    assert await directory.generation() == before + 1


async def test_a_change_that_is_refused_leaves_no_audit_event(directory: Directory) -> None:
    given = founding()
    await directory.found(given)
    tenant = given.organization.organization_id
    event = AuditEvent(
        audit_id="audit_1",
        organization_id=tenant,
        at=NOW,
        resource_type="namespace",
        resource_id="ns_x",
        action="namespace_created",
        actor_id="user_1",
    )
    twin = msgspec.structs.replace(given.namespace, namespace_id=new_id("ns"))
    before = await directory.generation()
    with pytest.raises(Conflict):
        await directory.add_namespace(twin, event=event)
    assert await directory.list_events(tenant, AuditFilter(), skip=0, limit=9) == ((), 0)
    assert await directory.generation() == before


async def test_an_event_of_a_reading_is_logged_and_changes_nothing(directory: Directory) -> None:
    given = founding()
    await directory.found(given)
    tenant = given.organization.organization_id
    event = AuditEvent(
        audit_id="audit_read",
        organization_id=tenant,
        at=NOW,
        resource_type="namespace",
        resource_id="ns_x",
        action="namespace_accessed",
        actor_id="user_1",
    )
    before = await directory.generation()
    await directory.add_event(event)
    assert await directory.find_event(tenant, "audit_read") == event
    assert await directory.generation() == before


async def test_for_how_many_days_a_namespace_keeps_content_is_stored(directory: Directory) -> None:
    given = founding()
    await directory.found(given)
    was = given.namespace
    assert was.keep_days is None
    keeps = msgspec.structs.replace(was, keep_days=7)
    await directory.replace_namespace(keeps, was=was)
    assert await directory.find_namespace(was.organization_id, was.namespace_id) == keeps
    await directory.replace_namespace(was, was=keeps)
    assert await directory.find_namespace(was.organization_id, was.namespace_id) == was


async def test_a_session_is_one_more_text_of_its_key_until_it_ends(directory: Directory) -> None:
    given = founding()
    await directory.found(given)
    (key,) = given.keys
    session = _session(key, b"s" * 32)
    at_first = await directory.generation()
    await directory.add_session(session)
    assert await directory.generation() > at_first, "a process that lists all texts must read them again"

    found = await directory.find_key(session.digest)

    assert await directory.find_session(session.digest) == session
    assert found == msgspec.structs.replace(
        key, previous_digest=session.digest, previous_until=session.expires_at
    )
    assert session.digest in await directory.list_digests(10)
    before = await directory.generation()
    await directory.remove_session(session)
    assert await directory.find_key(session.digest) is None
    assert await directory.generation() > before, "other processes must forget who it was"


async def test_a_used_link_is_no_key_and_cannot_be_used_again(directory: Directory) -> None:
    given = founding()
    await directory.found(given)
    used = msgspec.structs.replace(_session(given.keys[0], b"l" * 32), kind="link")
    await directory.add_session(used)
    assert await directory.find_key(used.digest) is None
    answers = await asyncio.gather(*(directory.add_session(used) for _ in range(3)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [Conflict] * 3


async def test_sessions_end_when_their_key_is_rotated_and_old_ones_are_forgotten(
    directory: Directory,
) -> None:
    given = founding()
    await directory.found(given)
    (key,) = given.keys
    old, live = _session(key, b"o" * 32), _session(key, b"n" * 32, NOW + timedelta(days=2))
    await directory.add_session(old)
    await directory.add_session(live)
    assert await directory.find_session(old.digest) is None, "it had ended when the next one began"
    await directory.replace_key(msgspec.structs.replace(key, name="renamed"), was=key)
    assert await directory.find_session(live.digest) == live
    renamed = msgspec.structs.replace(key, name="renamed")
    await directory.replace_key(msgspec.structs.replace(renamed, digest=b"r" * 32), was=renamed)
    assert await directory.find_session(live.digest) is None


def _session(key: ApiKey, digest: bytes, now: datetime = NOW) -> Session:
    return Session(
        digest=digest,
        kind="session",
        organization_id=key.organization_id,
        key_id=key.key_id,
        created_at=now,
        expires_at=now + timedelta(hours=1),
    )
