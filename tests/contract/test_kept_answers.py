"""Every store keeps the answers of Idempotency-Keys alike."""

import asyncio

import pytest
from msgspec.structs import replace

from inferway.cache.kept import KeptAnswers, NoRoom, Room, Row, Sealed
from inferway.store.kept import SqlKeptAnswers
from inferway.store.memory.kept import MemoryKeptAnswers
from inferway.store.work import SqlDatabase

NOW = 1_000_000
ROOM = Room(keys=3, bytes=100)
CLAIM = Row(place=b"p" * 32, namespace_id="ns_1", digest=b"d" * 32, owner="one", expires_us=NOW + 10)
SEALED = Sealed(kek_id="kek_1", wrapped_key=b"w", ciphertext=b"c" * 40)
ANSWER = replace(CLAIM, sealed=SEALED, expires_us=NOW + 1_000)


@pytest.fixture
def store(database: SqlDatabase | None) -> KeptAnswers:
    return MemoryKeptAnswers() if database is None else SqlKeptAnswers(database)


async def claim(store: KeptAnswers, row: Row, now_us: int = NOW) -> Row | NoRoom | None:
    return await store.claim(row, now_us=now_us, room=ROOM)


async def test_of_many_that_claim_a_place_at_once_one_gets_it(store: KeptAnswers) -> None:
    rows = [replace(CLAIM, owner=f"owner {number}") for number in range(20)]
    found = await asyncio.gather(*(claim(store, row) for row in rows))
    (winner,) = [row for row, other in zip(rows, found, strict=True) if other is None]
    assert [other for other in found if other is not None] == [winner] * 19
    assert await store.find(CLAIM.place, now_us=NOW) == winner


async def test_a_lease_that_has_run_out_is_anybodys(store: KeptAnswers) -> None:
    other = replace(CLAIM, owner="two", expires_us=NOW + 50)
    assert await claim(store, CLAIM) is None
    assert await claim(store, other, NOW + 9) == CLAIM
    assert await claim(store, other, NOW + 10) is None
    assert await store.find(CLAIM.place, now_us=NOW + 10) == other


async def test_a_lease_is_renewed_by_its_owner_alone(store: KeptAnswers) -> None:
    await claim(store, CLAIM)
    await store.renew([(CLAIM.place, "another"), (b"nowhere", "one")], expires_us=NOW + 99)
    assert await store.find(CLAIM.place, now_us=NOW) == CLAIM
    await store.renew([(CLAIM.place, "one")], expires_us=NOW + 99)
    assert await store.find(CLAIM.place, now_us=NOW + 50) == replace(CLAIM, expires_us=NOW + 99)


async def test_an_answer_is_kept_until_it_expires_and_no_renewal_shortens_that(store: KeptAnswers) -> None:
    await claim(store, CLAIM)
    assert await store.keep(ANSWER, now_us=NOW) is None
    await store.renew([(CLAIM.place, "one")], expires_us=NOW + 1)
    assert await claim(store, replace(CLAIM, owner="two"), NOW + 999) == ANSWER
    assert await store.find(CLAIM.place, now_us=NOW + 1_000) is None
    assert await claim(store, replace(CLAIM, owner="two", expires_us=NOW + 2_000), NOW + 1_000) is None


async def test_the_first_answer_stays_and_is_told(store: KeptAnswers) -> None:
    late = replace(ANSWER, owner="late", sealed=replace(SEALED, ciphertext=b"other"))
    await claim(store, CLAIM)
    assert await store.keep(ANSWER, now_us=NOW) is None
    assert await store.keep(late, now_us=NOW) == ANSWER
    assert await store.find(CLAIM.place, now_us=NOW) == ANSWER


async def test_an_answer_takes_the_place_of_a_lease_and_of_nothing(store: KeptAnswers) -> None:
    await claim(store, replace(CLAIM, owner="took over"))
    assert await store.keep(ANSWER, now_us=NOW) is None
    elsewhere = replace(ANSWER, place=b"q" * 32)
    assert await store.keep(elsewhere, now_us=NOW) is None
    assert await store.find(elsewhere.place, now_us=NOW) == elsewhere


async def test_only_the_owner_drops_a_lease_and_nobody_an_answer(store: KeptAnswers) -> None:
    await claim(store, CLAIM)
    await store.drop(replace(CLAIM, owner="another"))
    assert await store.find(CLAIM.place, now_us=NOW) == CLAIM
    await store.drop(CLAIM)
    assert await store.find(CLAIM.place, now_us=NOW) is None
    await store.keep(ANSWER, now_us=NOW)
    await store.drop(CLAIM)
    assert await store.find(CLAIM.place, now_us=NOW) == ANSWER


async def test_a_namespace_has_room_for_so_many_keys_and_what_is_gone_makes_room(store: KeptAnswers) -> None:
    for number in range(3):
        assert await claim(store, replace(CLAIM, place=b"%032d" % number)) is None
    assert await claim(store, CLAIM) == NoRoom(limit=3, of="keys")
    assert await claim(store, replace(CLAIM, namespace_id="ns_2")) is None
    await store.drop(replace(CLAIM, place=b"%032d" % 0))
    assert await claim(store, replace(CLAIM, place=b"new" * 8)) is None
    assert await claim(store, replace(CLAIM, place=b"more" * 8)) == NoRoom(limit=3, of="keys")
    assert await claim(store, replace(CLAIM, place=b"%032d" % 1, owner="again"), NOW + 10) is None
    assert sorted([await store.sweep(now_us=NOW + 10, limit=10) for _ in range(3)]) == [0, 1, 3]
    assert await claim(store, replace(CLAIM, place=b"more" * 8)) is None


async def test_a_namespace_has_room_for_so_many_bytes(store: KeptAnswers) -> None:
    big = replace(ANSWER, sealed=replace(SEALED, ciphertext=b"c" * 101))
    await claim(store, CLAIM)
    await store.keep(big, now_us=NOW)
    assert await claim(store, replace(CLAIM, place=b"q" * 32)) == NoRoom(limit=100, of="bytes")
    assert await claim(store, replace(CLAIM, place=b"q" * 32, namespace_id="ns_2")) is None
    assert [await store.sweep(now_us=NOW + 1_000, limit=10) for _ in range(3)] == [1, 1, 0]
    assert await claim(store, replace(CLAIM, place=b"q" * 32)) is None


async def test_expired_rows_are_deleted_in_bounded_steps(store: KeptAnswers) -> None:
    room = Room(keys=100, bytes=10_000)
    for number in range(7):
        row = replace(CLAIM, place=b"%032d" % number, expires_us=NOW + number)
        await store.claim(row, now_us=NOW - 1, room=room)
    assert [await store.sweep(now_us=NOW + 4, limit=3) for _ in range(3)] == [3, 2, 0]
    assert await store.find(b"%032d" % 5, now_us=NOW) is not None


async def test_answers_under_an_old_key_are_found_and_resealed(store: KeptAnswers) -> None:
    fresh = replace(ANSWER, place=b"f" * 32, sealed=replace(SEALED, kek_id="kek_2"))
    for row in (ANSWER, fresh):
        await store.keep(row, now_us=NOW)
    await claim(store, replace(CLAIM, place=b"q" * 32))
    assert await store.list_under_other_keys("kek_2", after=b"", limit=10) == (ANSWER,)
    assert await store.list_under_other_keys("kek_1", after=b"", limit=10) == (fresh,)
    assert await store.list_under_other_keys("kek_1", after=fresh.place, limit=10) == ()
    assert await store.list_under_other_keys("kek_3", after=b"", limit=1) == (fresh,)
    again = replace(ANSWER, sealed=replace(SEALED, kek_id="kek_2", wrapped_key=b"other"))
    gone = replace(again, place=b"gone" * 8)
    replaced = replace(fresh, owner="another", sealed=replace(SEALED, kek_id="kek_3"))
    await store.reseal([again, gone, replaced])
    assert await store.list_under_other_keys("kek_2", after=b"", limit=10) == ()
    assert await store.find(ANSWER.place, now_us=NOW) == again
    assert await store.find(fresh.place, now_us=NOW) == fresh
    assert await store.find(gone.place, now_us=NOW) is None
