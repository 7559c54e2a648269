"""Tables for people."""

import click
import pytest

from inferway.cli.columns import columns, width_of

ROWS = (("a short name", 5, None), ("schöner Name", 12345, "x"), ("日本語", 7, "tail"))


def lines(width: int | None = None, rows: tuple[tuple[object, ...], ...] = ROWS) -> list[str]:
    return [click.unstyle(line) for line in columns(("NAME", ">COUNT", "REST"), rows, width=width)]


def test_columns_are_as_wide_as_what_is_in_them() -> None:
    assert lines() == [
        "NAME          COUNT  REST",
        "a short name      5",
        "schöner Name  12345  x",
        "日本語            7  tail",
    ]


@pytest.mark.parametrize("width", [26, 30, 80])
def test_a_table_fits_the_terminal_and_numbers_stay_whole(width: int) -> None:
    long = ("a very long name indeed", 123456, "and a very long tail behind it")
    told = lines(width, (long,))
    assert all(width_of(line) <= width for line in told)
    assert "123456" in told[1]
    assert told[1].endswith("…") or width == 80


def test_what_cannot_be_cut_is_wider_than_the_terminal() -> None:
    assert "12345" in lines(5)[2]


def test_a_cell_is_one_line_and_steers_nothing() -> None:
    assert lines(None, (("a\nb\x1b[31m", 1, None),))[1] == "a b[31m      1"
