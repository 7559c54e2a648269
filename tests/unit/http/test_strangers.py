"""Who sends bad keys."""

import pytest

from inferway.errors import Forbidden, TooManyRequests, Unauthorized
from inferway.http.strangers import Doorkeeper
from inferway.limits.strangers import Strangers
from inferway.limits.table import Table

_PROXIES = ("10.0.0.0/8", "::1")


class Clock:
    def __init__(self) -> None:
        self.us = 50_000_000

    def __call__(self) -> int:
        return self.us


def _door(clock: Clock, *, per_minute: int = 10, keys: int = 1_024) -> Doorkeeper:
    return Doorkeeper(Strangers(Table.in_memory(clock, keys=keys), per_minute=per_minute, burst=0), _PROXIES)


def test_the_eleventh_bad_key_of_a_minute_is_refused_and_told_when_to_come_back() -> None:
    clock = Clock()
    door = _door(clock)
    error = Unauthorized("no", code="key_unknown")
    assert all(door.judge(error, ("192.0.2.1", 5), None) is error for _ in range(10))
    refused = door.judge(error, ("192.0.2.1", 6), None)
    assert isinstance(refused, TooManyRequests)
    assert (refused.code, refused.retry_after_s) == ("too_many_bad_keys", 6)
    assert door.judge(error, ("192.0.2.2", 5), None) is error
    clock.us += 6_000_000
    assert door.judge(error, ("192.0.2.1", 5), None) is error
    assert door.judge(error, ("192.0.2.1", 5), None) is not error


def test_only_bad_keys_count() -> None:
    door = _door(Clock(), per_minute=1)
    error = Forbidden("no")
    assert all(door.judge(error, ("192.0.2.1", 5), None) is error for _ in range(20))
    for code in ("key_missing", "key_expired", "key_revoked", "key_rotated", "user_suspended"):
        known = Unauthorized("no", code=code)
        assert all(door.judge(known, ("192.0.2.1", 5), None) is known for _ in range(20))


def test_an_address_that_was_quiet_has_a_burst() -> None:
    clock = Clock()
    door = Doorkeeper(Strangers(Table.in_memory(clock), per_minute=10, burst=50), _PROXIES)
    error = Unauthorized("no", code="key_unknown")
    assert all(door.judge(error, ("192.0.2.1", 5), None) is error for _ in range(50))
    assert door.judge(error, ("192.0.2.1", 5), None) is not error
    clock.us += 6_000_000
    assert door.judge(error, ("192.0.2.1", 5), None) is error
    assert door.judge(error, ("192.0.2.1", 5), None) is not error


def test_without_a_limit_nobody_is_counted() -> None:
    door = _door(Clock(), per_minute=0)
    error = Unauthorized("no")
    assert all(door.judge(error, ("192.0.2.1", 5), None) is error for _ in range(99))


@pytest.mark.parametrize(
    ("client", "forwarded", "expected"),
    [
        (("192.0.2.1", 1), None, "192.0.2.1"),
        (("192.0.2.1", 1), b"203.0.113.9", "192.0.2.1"),
        (("10.0.0.1", 1), b"203.0.113.9", "203.0.113.9"),
        (("10.0.0.1", 1), b"198.51.100.7, 203.0.113.9, 10.2.3.4", "203.0.113.9"),
        (("10.0.0.1", 1), b"10.9.9.9", "10.9.9.9"),
        (("10.0.0.1", 1), b"203.0.113.9:4711", "203.0.113.9"),
        (("10.0.0.1", 1), b"not an address", "10.0.0.1"),
        (("10.0.0.1", 1), b"[2001:db8:1:2::9]:443", "2001:db8:1:2::/64"),
        (("2001:db8:1:2:3:4:5:6", 1, 0, 0), None, "2001:db8:1:2::/64"),
        (("::ffff:192.0.2.1", 1, 0, 0), None, "192.0.2.1"),
        (("fe80::1%eth0", 1, 0, 0), None, "fe80::/64"),
        (("::1", 1, 0, 0), b"203.0.113.9", "203.0.113.9"),
        (None, None, "nowhere"),
        ("", None, "nowhere"),
        (("unix", 0), b"203.0.113.9", "nowhere"),
    ],
)
def test_a_request_comes_from_whoever_the_trusted_proxies_say(
    client: object, forwarded: bytes | None, expected: str
) -> None:
    assert _door(Clock()).address_of(client, forwarded) == expected


@pytest.mark.parametrize(
    ("client", "expected"),
    [
        (("10.0.0.1", 1), True),
        (("::ffff:10.0.0.1", 1, 0, 0), True),
        (("::1", 1, 0, 0), True),
        (("192.0.2.1", 1), False),
        (("unix", 0), False),
        (None, False),
    ],
)
def test_only_the_trusted_proxies_are_believed(client: object, expected: bool) -> None:  # noqa: FBT001 - a parameter
    assert _door(Clock()).trusts(client) is expected


def test_a_flood_from_many_addresses_takes_no_more_memory() -> None:
    clock = Clock()
    table = Table.in_memory(clock, keys=64)
    strangers = Strangers(table, per_minute=10, burst=0)
    size = len(table._memory)
    for number in range(20_000):
        clock.us += 1_000
        strangers.find_refusal(f"192.0.2.{number}")
    assert len(table._memory) == size
