"""Numbers that all workers of a machine share."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from inferway.observe.board import Board, read_boards
from inferway.observe.families import Family, families

LAYOUT = families().all()
COUNTER = families().error_answers
GAUGE = families().running


def numbers(folder: Path) -> dict[int, tuple[bool, dict[tuple[str, tuple[str, ...]], tuple[float, ...]]]]:
    return {reading.seat: (reading.is_live, reading.numbers) for reading in read_boards(folder, LAYOUT)}


def test_a_board_says_what_was_counted_by_its_labels(tmp_path: Path) -> None:
    board = Board.open(tmp_path, LAYOUT)
    at = board.place(COUNTER, ("429", "TooManyRequestsError", "rate_limited"))
    board.cells[at] += 2
    assert board.place(COUNTER, ("429", "TooManyRequestsError", "rate_limited")) == at
    expected = {(COUNTER.name, ("429", "TooManyRequestsError", "rate_limited")): (2.0,)}
    assert board.numbers() == expected
    assert numbers(tmp_path) == {0: (True, expected)}
    board.close()


def test_two_workers_count_side_by_side(tmp_path: Path) -> None:
    first, second = Board.open(tmp_path, LAYOUT), Board.open(tmp_path, LAYOUT)
    for board in (first, second):
        board.cells[board.place(COUNTER, ("500", "x", ""))] += 1
    assert [is_live for is_live, _ in numbers(tmp_path).values()] == [True, True]
    first.close()
    second.close()


def test_whoever_takes_a_place_goes_on_counting_and_a_machine_without_workers_begins_at_zero(
    tmp_path: Path,
) -> None:
    stays, leaves = Board.open(tmp_path, LAYOUT), Board.open(tmp_path, LAYOUT)
    leaves.cells[leaves.place(COUNTER, ("500", "x", ""))] += 5
    leaves.close()
    assert numbers(tmp_path)[1] == (False, {(COUNTER.name, ("500", "x", "")): (5.0,)})
    follows = Board.open(tmp_path, LAYOUT)
    assert follows.seat == 1
    follows.cells[follows.place(COUNTER, ("500", "x", ""))] += 1
    assert numbers(tmp_path)[1] == (True, {(COUNTER.name, ("500", "x", "")): (6.0,)})
    follows.close()
    stays.close()
    alone = Board.open(tmp_path, LAYOUT)
    assert numbers(tmp_path) == {0: (True, {})}
    alone.close()


def test_a_killed_worker_loses_nothing(tmp_path: Path) -> None:
    script = (
        "import os, sys, signal; from pathlib import Path; from inferway.observe.board import Board;"
        "from inferway.observe.families import families; f = families();"
        "b = Board.open(Path(sys.argv[1]), f.all()); at = b.place(f.error_answers, ('503', 'x', ''));"
        "[b.cells.__setitem__(at, b.cells[at] + 1) for _ in range(1000)]; os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], env=os.environ, timeout=50, check=False
    )
    assert ended.returncode == -signal.SIGKILL
    assert numbers(tmp_path) == {0: (False, {(COUNTER.name, ("503", "x", "")): (1000.0,)})}


def test_a_full_board_counts_what_finds_no_room_and_goes_on() -> None:
    board = Board.in_memory()
    wide = Family(name="wide", kind="histogram", about="", labels=("n",), bounds_s=(1.0,) * 28)
    places = [board.place(wide, (str(number),)) for number in range(10_000)]
    assert board.spilled > 0
    assert places[0] > 0
    spilled_at = places[-1]
    board.cells[spilled_at + 29] += 1
    assert len(board.numbers()) == 10_000 - board.spilled
    assert all(set(found) == {0.0} for found in board.numbers().values())


def test_the_numbers_of_another_version_are_not_read_as_ours(tmp_path: Path) -> None:
    other = (*LAYOUT, Family(name="new_total", kind="counter", about=""))
    old = Board.open(tmp_path, other)
    old.cells[old.place(COUNTER, ("500", "x", ""))] += 1
    assert numbers(tmp_path) == {}
    new = Board.open(tmp_path, LAYOUT)
    assert numbers(tmp_path) == {1: (True, {})}
    old.close()
    new.close()


@pytest.mark.parametrize("damage", [b"", b"x" * 10, b"\0" * 100])
def test_a_damaged_board_is_left_out_and_made_anew(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "board-00").write_bytes(damage)
    assert numbers(tmp_path) == {}
    board = Board.open(tmp_path, LAYOUT)
    board.cells[board.place(GAUGE, ("0",))] = 3
    assert numbers(tmp_path) == {0: (True, {(GAUGE.name, ("0",)): (3.0,)})}
    board.close()
