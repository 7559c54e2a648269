"""The gate: who gets in, how each refusal reads, what is remembered and for how long."""

import asyncio
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferway.access.administration import Administration
from inferway.access.directory import Founding
from inferway.access.founding import new_key
from inferway.access.gate import Gate, require_permission
from inferway.access.keys import mint_key
from inferway.access.records import ApiKey, Caller, Namespace, Organization, Permission, User, new_id
from inferway.errors import BadRequest, Forbidden, GatewayError, NotFound, StoreUnavailable, Unauthorized
from inferway.store.memory.directory import MemoryDirectory

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    """A monotonic clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class House:
    """An organization with the namespace `default`, a user, a write key, and a gate before it."""

    def __init__(self, *, cached_keys: int = 10_000, grace_s: float = 900.0) -> None:
        self.directory = MemoryDirectory()
        self.clock = Clock()
        self.wall = Clock()
        self.gate = Gate(
            self.directory, cached_keys=cached_keys, grace_s=grace_s, clock=self.clock, wall_clock=self.wall
        )
        self.administration = Administration(self.directory, self.gate.forget)
        self.organization = Organization(organization_id=new_id("org"), name="house", created_at=NOW)
        tenant = self.organization.organization_id
        self.namespace = Namespace(
            namespace_id=new_id("ns"), organization_id=tenant, name="default", created_at=NOW
        )
        self.user = User(user_id=new_id("user"), organization_id=tenant, email="a@b", created_at=NOW)

    async def open(self) -> tuple[ApiKey, str]:
        record, text = new_key(self.user, "first", Permission.WRITE, NOW)
        await self.directory.found(
            Founding(organization=self.organization, namespace=self.namespace, user=self.user, keys=(record,))
        )
        return record, text

    async def enter(self, key: str, namespace: str = "default") -> Caller:
        return await self.gate.authenticate(f"Bearer {key}".encode(), namespace.encode())


async def refused(
    house: House, authorization: bytes | None, namespace: bytes | None = b"default"
) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        await house.gate.authenticate(authorization, namespace)
    return caught.value


async def test_a_key_and_a_namespace_name_make_a_caller() -> None:
    house = House()
    record, key = await house.open()
    assert await house.enter(key) == Caller(
        organization_id=house.organization.organization_id,
        namespace_id=house.namespace.namespace_id,
        namespace_name="default",
        key_id=record.key_id,
        user_id=house.user.user_id,
        permission=Permission.WRITE,
    )


async def test_a_namespace_may_be_named_by_its_id() -> None:
    house = House()
    _, key = await house.open()
    assert await house.enter(key, house.namespace.namespace_id) == await house.enter(key)


@pytest.mark.parametrize("scheme", ["bearer ", "BEARER ", "Bearer   "])
async def test_the_scheme_is_read_in_any_case(scheme: str) -> None:
    house = House()
    _, key = await house.open()
    assert (await house.gate.authenticate(f"{scheme}{key}".encode(), b"default")).namespace_name == "default"


@pytest.mark.parametrize(
    "template", ["{}", "Basic {}", "Bearer{}", "Bearer {} x", "Bearer\t{}", "Bearer {},{}", "Bearer '{}'"]
)
async def test_another_scheme_or_form_is_a_401(template: str) -> None:
    house = House()
    _, key = await house.open()
    error = await refused(house, template.replace("{}", key).encode())
    assert (error.status, error.code) == (401, "key_malformed")
    assert key not in error.message


async def test_no_key_typo_and_stranger_are_told_apart() -> None:
    house = House()
    _, key = await house.open()
    typo = key[:-1] + ("a" if key[-1] != "a" else "b")
    for authorization, code in (
        (None, "missing"),
        (b"", "missing"),
        (f"Bearer {typo}".encode(), "malformed"),
    ):
        assert (await refused(house, authorization)).code == f"key_{code}"
    reads = house.directory.reads
    await refused(house, f"Bearer {typo}".encode())
    assert house.directory.reads == reads, "a typo costs no look-up"
    assert (await refused(house, f"Bearer {mint_key()}".encode())).code == "key_unknown"


@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda rest: b"Bearer " + rest))
def test_any_bytes_as_authorization_are_a_401(authorization: bytes) -> None:
    error = asyncio.run(refused(House(), authorization))
    assert isinstance(error, Unauthorized)


async def test_a_missing_namespace_is_asked_for_after_the_key_is_known() -> None:
    house = House()
    _, key = await house.open()
    for namespace in (None, b""):
        error = await refused(house, f"Bearer {key}".encode(), namespace)
        assert isinstance(error, BadRequest)
        assert error.code == "namespace_required"
    assert isinstance(await refused(house, None, None), Unauthorized)


@pytest.mark.parametrize("namespace", [b"nowhere", b"\xff\xfe", b"x" * 500, b"default'--", b"\x00"])
async def test_an_unknown_namespace_is_a_404_that_names_it(namespace: bytes) -> None:
    house = House()
    _, key = await house.open()
    error = await refused(house, f"Bearer {key}".encode(), namespace)
    assert isinstance(error, NotFound)
    assert error.details is not None
    assert error.details["resource"] == "namespace"
    assert len(error.details["id"]) <= 128
    msgspec.json.encode(error.details)


async def test_another_organizations_namespace_is_a_404() -> None:
    house = House()
    _, key = await house.open()
    foreign = Namespace(namespace_id=new_id("ns"), organization_id="org_other", name="theirs", created_at=NOW)
    await house.directory.add_namespace(foreign)
    for reference in (foreign.name, foreign.namespace_id):
        assert isinstance(await refused(house, f"Bearer {key}".encode(), reference.encode()), NotFound)


async def test_the_second_call_asks_the_store_nothing() -> None:
    house = House()
    _, key = await house.open()
    await house.enter(key)
    reads = house.directory.reads
    for _ in range(100):
        await house.enter(key)
    assert house.directory.reads == reads


async def test_an_unknown_key_is_looked_up_once() -> None:
    house = House()
    await house.open()
    stranger = f"Bearer {mint_key()}".encode()
    await refused(house, stranger)
    reads = house.directory.reads
    await refused(house, stranger)
    assert house.directory.reads == reads


async def test_a_revoked_key_is_refused_at_once_in_this_process() -> None:
    house = House()
    record, key = await house.open()
    await house.enter(key)
    await house.administration.revoke_key(record.organization_id, "first")
    assert (await refused(house, f"Bearer {key}".encode())).code == "key_revoked"


async def test_a_change_by_another_process_counts_within_five_seconds() -> None:
    house = House()
    record, key = await house.open()
    await house.enter(key)
    await house.directory.replace_key(msgspec.structs.replace(record, revoked_at=NOW), was=record)
    house.clock.now += 4.9
    assert (await refused(house, f"Bearer {key}".encode())).code == "key_revoked"


async def test_of_calls_that_come_together_after_a_pause_none_goes_on_with_what_was_known() -> None:
    house = House()
    record, key = await house.open()
    authorization = f"Bearer {key}".encode()
    await house.enter(key)
    await house.directory.replace_key(msgspec.structs.replace(record, revoked_at=NOW), was=record)
    house.clock.now += 60

    async def come() -> str | None:
        if house.gate.find(authorization, b"default") is not None:
            return "in"
        return (await refused(house, authorization)).code

    assert await asyncio.gather(*[come() for _ in range(5)]) == ["key_revoked"] * 5


async def test_under_steady_calls_nobody_waits_and_a_change_is_still_seen() -> None:
    house = House()
    record, key = await house.open()
    await house.enter(key)
    await house.directory.replace_key(msgspec.structs.replace(record, revoked_at=NOW), was=record)
    outcomes = []
    for _ in range(8):
        house.clock.now += 0.5
        try:
            await house.enter(key)
            outcomes.append("in")
        except Unauthorized:
            outcomes.append("out")
        await asyncio.sleep(0)
    assert outcomes[-4:] == ["out"] * 4


async def test_a_key_made_elsewhere_is_known_soon_though_it_was_refused_before() -> None:
    house = House()
    await house.open()
    record, key = new_key(house.user, "later", Permission.READ, NOW)
    await refused(house, f"Bearer {key}".encode())
    await house.directory.add_key(record)
    house.clock.now += 4.9
    assert (await house.enter(key)).key_id == record.key_id


async def test_a_key_that_expires_while_it_is_remembered_is_refused() -> None:
    house = House()
    await house.open()
    soon = datetime.fromtimestamp(house.wall.now + 60, UTC)
    record, key = new_key(house.user, "short", Permission.WRITE, NOW, soon)
    await house.directory.add_key(record)
    house.gate.forget()
    house.wall.now += 59
    await house.enter(key)
    house.wall.now += 1
    assert (await refused(house, f"Bearer {key}".encode())).code == "key_expired"


async def test_what_is_remembered_is_bounded() -> None:
    house = House(cached_keys=16)
    await house.open()
    keys = [await house.administration.create_key(house.user, f"k{n}", Permission.WRITE) for n in range(40)]
    for _, key in keys:
        await house.enter(key)
    assert len(house.gate._known) == 16
    for _ in range(5000):
        await refused(house, f"Bearer {mint_key()}".encode())
    assert len(house.gate._unknown) <= 4096
    reads = house.directory.reads
    await house.enter(keys[-1][1])
    assert house.directory.reads == reads, "strangers push no good key out"


async def test_while_the_store_is_away_known_callers_go_on_and_strangers_get_a_503() -> None:
    house = House(grace_s=900)
    _, key = await house.open()
    await house.enter(key)
    house.directory.is_away = True
    for minutes in (0.1, 5, 9):
        house.clock.now += minutes * 60
        assert (await house.enter(key)).permission == Permission.WRITE
        assert isinstance(await refused(house, f"Bearer {mint_key()}".encode()), StoreUnavailable)
    house.clock.now += 60
    assert isinstance(await refused(house, f"Bearer {key}".encode()), StoreUnavailable)
    house.directory.is_away = False
    house.clock.now += 2
    assert (await house.enter(key)).namespace_name == "default"


async def test_a_hanging_store_delays_one_call_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    _, key = await house.open()
    await house.enter(key)
    hang = asyncio.Event()

    async def generation() -> int:
        await hang.wait()
        return 99

    monkeypatch.setattr(house.directory, "generation", generation)
    monkeypatch.setattr("inferway.access.gate._POLL_TIMEOUT_S", 0.05)
    house.clock.now += 60
    await house.enter(key)
    house.clock.now += 60
    async with asyncio.timeout(0.04):
        await house.enter(key)
    await house.gate.aclose()


async def test_a_lookup_that_began_before_a_revocation_is_not_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house = House()
    record, key = await house.open()
    real = house.directory.find_namespace

    async def slow(organization_id: str, reference: str) -> Namespace | None:
        await house.administration.revoke_key(record.organization_id, record.key_id)
        return await real(organization_id, reference)

    monkeypatch.setattr(house.directory, "find_namespace", slow)
    await house.enter(key)
    monkeypatch.undo()
    assert (await refused(house, f"Bearer {key}".encode())).code == "key_revoked"


def test_permissions_include_the_lower_ones() -> None:
    order = list(Permission)
    for held in order:
        for asked in order:
            assert held.includes(asked) == (order.index(held) >= order.index(asked))


def test_a_missing_permission_is_a_403_that_names_both() -> None:
    caller = Caller(
        organization_id="o",
        namespace_id="n",
        namespace_name="n",
        key_id="k",
        user_id="u",
        permission=Permission.READ,
    )
    require_permission(caller, Permission.READ)
    with pytest.raises(Forbidden) as caught:
        require_permission(caller, Permission.WRITE)
    assert caught.value.details == {"required": "write", "granted": "read"}
