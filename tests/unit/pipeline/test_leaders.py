"""The table of calls in flight that the workers of a machine share."""

from pathlib import Path

import pytest

from inferway.pipeline.leaders import FILE_NAME, KEY_BYTES, Leaders


def key(number: int, home: int = 0) -> bytes:
    """A key; those with the same home compete for the same places."""
    return home.to_bytes(4, "little") + number.to_bytes(KEY_BYTES - 4, "little")


def die(leaders: Leaders) -> None:
    """Ends as a killed process does: the kernel lets go of its seat, and nothing is tidied."""
    leaders._seats.leave()
    leaders._lock.close()


def test_who_claims_first_leads_until_it_releases(tmp_path: Path) -> None:
    first, second = Leaders.open(tmp_path), Leaders.open(tmp_path)
    assert (first.seat, second.seat) == (0, 1)
    assert first.claim(key(1)) is None
    assert first.leads(key(1))
    assert second.claim(key(1)) == 0
    assert not second.leads(key(1))
    assert second.claim(key(2)) is None
    second.release(key(1))
    assert second.claim(key(1)) == 0, "a place is given back by its owner alone"
    first.release(key(1))
    assert second.claim(key(1)) is None
    assert first.claim(key(1)) == 1
    first.close()
    second.close()


def test_keys_that_differ_in_one_bit_are_apart(tmp_path: Path) -> None:
    first, second = Leaders.open(tmp_path), Leaders.open(tmp_path)
    assert first.claim(bytes(KEY_BYTES)) is None
    for bit in range(KEY_BYTES * 8):
        assert second.claim((1 << bit).to_bytes(KEY_BYTES, "big")) is None
    first.close()
    second.close()


def test_who_is_given_up_is_replaced_and_takes_nothing_away_when_it_comes_back(tmp_path: Path) -> None:
    first, second, third = (Leaders.open(tmp_path) for _ in range(3))
    first.claim(key(1))
    assert second.claim(key(1), instead_of=0) is None
    first.release(key(1))
    assert third.claim(key(1)) == 1
    assert third.claim(key(1), instead_of=0) == 1
    for each in (first, second, third):
        each.close()


def test_the_places_of_a_dead_process_are_free_once_its_seat_is_taken(tmp_path: Path) -> None:
    first, second = Leaders.open(tmp_path), Leaders.open(tmp_path)
    first.claim(key(1))
    assert second.claim(key(1)) == 0
    die(first)
    heir = Leaders.open(tmp_path)
    assert heir.seat == 0
    assert second.claim(key(1)) is None
    assert heir.claim(key(1)) == 1
    heir.close()
    second.close()


def test_a_newcomer_wipes_dead_processes_whose_seats_it_does_not_take(tmp_path: Path) -> None:
    first, second = Leaders.open(tmp_path), Leaders.open(tmp_path)
    second.claim(key(1))
    die(second)
    die(first)
    heir = Leaders.open(tmp_path)
    assert heir.seat == 0
    assert heir.claim(key(1)) is None
    heir.close()


def test_a_call_that_finds_no_room_is_made_alone(tmp_path: Path) -> None:
    first, second = Leaders.open(tmp_path), Leaders.open(tmp_path)
    for number in range(8):
        assert first.claim(key(number)) is None
    assert first.claim(key(8)) is None
    assert not first.leads(key(8))
    assert second.claim(key(8)) is None
    first.release(key(3))
    assert second.claim(key(8)) is None
    assert second.leads(key(8))
    first.close()
    second.close()


@pytest.mark.parametrize("written", [b"\xff", b"\x01"])
def test_nonsense_in_the_file_is_nobodys(tmp_path: Path, written: bytes) -> None:
    leaders = Leaders.open(tmp_path)
    size = (tmp_path / FILE_NAME).stat().st_size
    leaders.close()
    (tmp_path / FILE_NAME).write_bytes(written * size)
    leaders = Leaders.open(tmp_path)
    assert leaders.claim(written * KEY_BYTES) is None
    assert leaders.leads(written * KEY_BYTES)
    leaders.close()


def test_only_the_user_can_read_what_is_there(tmp_path: Path) -> None:
    folder = tmp_path / "flights"
    leaders = Leaders.open(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert all(each.stat().st_mode & 0o777 == 0o600 for each in folder.iterdir())
    leaders.close()
