"""Every store keeps the calls of namespaces alike."""

import pytest
from msgspec.structs import replace

from inferway.cache.contents import CallHead, CallPlace, Contents, KeptCall
from inferway.cache.kept import Sealed
from inferway.store.contents import SqlContents
from inferway.store.memory.contents import MemoryContents
from inferway.store.work import SqlDatabase


@pytest.fixture
def store(database: SqlDatabase | None) -> Contents:
    return MemoryContents() if database is None else SqlContents(database)


def call(number: int, namespace_id: str = "ns_1", **fields: str | int) -> KeptCall:
    head = CallHead(
        record_id=f"{number:030x}",
        organization_id="org_1",
        namespace_id=namespace_id,
        request_id=f"req_{number}",
        at_us=1_000 + number,
        operation="chat",
        provider="fake",
        model="fake-1",
        status="ok",
    )
    sealed = Sealed(kek_id="kek_1", wrapped_key=b"w", ciphertext=b"\x00c%d" % number)
    return KeptCall(head=replace(head, **fields), sealed=sealed)


async def test_calls_are_listed_newest_first_and_page_by_page(store: Contents) -> None:
    calls = [call(number) for number in range(7)]
    # Two of the same moment stand in the order of their ids.
    calls.append(call(7, at_us=1_006))
    await store.add([*calls, call(99, "ns_2")])
    expected = [each.head for each in sorted(calls, key=lambda each: each.head.record_id, reverse=True)]
    found: list[CallHead] = []
    before: CallPlace | None = None
    while page := await store.list_heads("ns_1", since_us=0, before=before, limit=3):
        found += page
        before = CallPlace(at_us=page[-1].at_us, record_id=page[-1].record_id)
    assert found == expected
    recent = await store.list_heads("ns_1", since_us=1_005, before=None, limit=100)
    assert list(recent) == expected[:3]


async def test_a_call_is_found_by_either_id_in_its_own_namespace_and_within_its_days(store: Contents) -> None:
    older, newer = call(1), call(2, request_id="req_1")
    await store.add([older, newer])
    assert await store.find("ns_1", older.head.record_id, since_us=0) == older
    assert await store.find("ns_1", "req_1", since_us=0) == newer
    assert await store.find("ns_1", older.head.record_id, since_us=1_002) is None
    assert await store.find("ns_2", "req_1", since_us=0) is None
    assert await store.find("ns_1", "nothing", since_us=0) is None


async def test_a_call_that_is_added_twice_is_there_once(store: Contents) -> None:
    first = call(1)
    await store.add([first])
    await store.add([replace(first, sealed=replace(first.sealed, ciphertext=b"other")), call(2)])
    assert await store.find("ns_1", first.head.record_id, since_us=0) == first
    assert len(await store.list_heads("ns_1", since_us=0, before=None, limit=9)) == 2


async def test_calls_are_deleted_in_steps_the_oldest_first(store: Contents) -> None:
    await store.add([call(number) for number in range(5)])
    await store.add([call(50, "ns_2")])
    assert await store.delete("ns_1", before_us=1_004, limit=3) == 3
    left = await store.list_heads("ns_1", since_us=0, before=None, limit=9)
    assert [head.request_id for head in left] == ["req_4", "req_3"]
    assert await store.delete("ns_1", before_us=1_004, limit=3) == 1
    assert await store.delete("ns_1", before_us=1_004, limit=3) == 0
    assert await store.find("ns_2", "req_50", since_us=0) is not None


async def test_the_namespaces_that_have_calls_are_walked_through(store: Contents) -> None:
    await store.add([call(1, "ns_b"), call(2, "ns_b"), call(3, "ns_a", organization_id="org_2")])
    assert await store.next_owner("") == ("org_2", "ns_a")
    assert await store.next_owner("ns_a") == ("org_1", "ns_b")
    assert await store.next_owner("ns_b") is None


async def test_seals_are_replaced_where_the_call_is_still_there(store: Contents) -> None:
    calls = [call(number) for number in range(5)]
    fresh = replace(calls[2], sealed=replace(calls[2].sealed, kek_id="kek_2", wrapped_key=b"again"))
    await store.add([*calls[:2], *calls[3:], fresh])
    found = await store.list_under_other_keys("kek_2", after="", limit=3)
    assert found == (calls[0], calls[1], calls[3])
    after = found[-1].head.record_id
    assert await store.list_under_other_keys("kek_2", after=after, limit=3) == (calls[4],)
    again = [replace(each, sealed=replace(each.sealed, kek_id="kek_2", wrapped_key=b"x")) for each in calls]
    await store.delete("ns_1", before_us=1_001, limit=1)
    await store.reseal([again[0], again[1]])
    assert await store.find("ns_1", "req_0", since_us=0) is None
    assert await store.find("ns_1", "req_1", since_us=0) == again[1]
