"""Shapes of charts: round scales, columns that add up, lines that break where nothing is known."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferway.http.dashboard.charts import (
    HEIGHT,
    PLOT,
    SERIES_MAX,
    TOP,
    Place,
    Series,
    columns,
    lines,
    steps,
    top_series,
)
from inferway.http.dashboard.frame import milliseconds, short_milliseconds, short_usd


def _text(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"


def _places(count: int) -> list[Place]:
    return [Place(text=f"d{number}", name=f"day {number}") for number in range(count)]


@pytest.mark.parametrize(
    ("most", "whole", "expected"),
    [
        (0, False, (0, 1)),
        (1, False, (0, 0.25, 0.5, 0.75, 1)),
        (9, False, (0, 2.5, 5, 7.5, 10)),
        (9, True, (0, 5, 10)),
        (1, True, (0, 1)),
        (3, True, (0, 1, 2, 3)),
        (0.003, False, (0, 0.001, 0.002, 0.003)),
        (1234567, True, (0, 500000, 1000000, 1500000)),
    ],
)
def test_a_scale_has_round_steps(most: float, *, whole: bool, expected: tuple[float, ...]) -> None:
    assert steps(most, whole=whole) == pytest.approx(expected)


@given(most=st.floats(min_value=1e-9, max_value=1e15), whole=st.booleans())
def test_a_scale_holds_its_largest_value_with_a_handful_of_lines(most: float, *, whole: bool) -> None:
    scale = steps(most, whole=whole)
    assert scale[0] == 0
    assert scale[-1] >= most * (1 - 1e-6)
    assert 2 <= len(scale) <= 6


@pytest.mark.parametrize("most", [float("nan"), float("inf"), -1.0])
def test_what_is_no_size_has_a_scale_all_the_same(most: float) -> None:
    assert steps(most) == (0, 1)


def test_parts_of_a_column_stand_on_each_other_and_fill_the_plot() -> None:
    drawn = columns(
        _places(2), [Series(name="a", values=(6, 1)), Series(name="b", values=(4, 0))], _text, _text
    )
    first = [box for box in drawn.boxes if box.x < 50]
    assert [box.color for box in first] == [1, 2]
    assert first[0].y + first[0].height == TOP + PLOT
    assert first[1].y + first[1].height == pytest.approx(first[0].y)
    assert first[1].y == TOP, "the highest column reaches the top of a scale that ends with it"
    assert len(drawn.boxes) == 3, "nothing is drawn for nothing"


def test_a_column_says_what_it_is_made_of() -> None:
    drawn = columns(
        _places(1), [Series(name="a", values=(6,)), Series(name="<b>", values=(4,))], _text, _text
    )
    assert drawn.spots[0].text == "day 0: 10\na: 6\n<b>: 4"
    assert drawn.rows == (("day 0", "6", "4"),)
    assert [(entry.name, entry.total) for entry in drawn.legend] == [("a", "6"), ("<b>", "4")]


def test_the_smallest_series_share_a_colour() -> None:
    series = [Series(name=str(number), values=(float(number),)) for number in range(1, 11)]
    kept = top_series(series)
    assert [each.name for each in kept] == ["10", "9", "8", "7", "6", "5", "4 others"]
    assert kept[-1].total == 1 + 2 + 3 + 4
    assert len(top_series(series[: SERIES_MAX + 1])) == SERIES_MAX + 1


def test_a_line_breaks_where_nothing_is_known() -> None:
    drawn = lines(_places(6), [Series(name="p50", values=(1, 2, None, 4, None, None))], _text, _text)
    (path,) = drawn.paths
    assert len(path.stretches) == 1
    assert list(path.dots) == [(58.33, TOP)], "one value alone is a dot"
    assert [row[0] for row in drawn.rows] == ["day 0", "day 1", "day 3"]


@pytest.mark.parametrize("count", [1, 7, 24, 30, 90, 400])
def test_words_below_do_not_crowd(count: int) -> None:
    drawn = columns(_places(count), [Series(name="a", values=(1.0,) * count)], _text, _text)
    assert 1 <= len(drawn.marks) <= 8
    assert all(0 <= mark.x <= 100 for mark in drawn.marks)
    assert all(box.x >= 0 and box.x + box.width <= 100.02 for box in drawn.boxes)
    assert all(box.y >= TOP and box.y + box.height <= HEIGHT for box in drawn.boxes)


def test_no_places_draw_nothing() -> None:
    assert columns([], [], _text, _text).boxes == ()
    assert lines([], [], _text, _text).paths == ()


@pytest.mark.parametrize(
    ("amount", "told"),
    [(0.0, "$0.00"), (0.0008, "$0.0008"), (0.000005, "$0.000005"), (0.25, "$0.25"), (1500.0, "$1,500.00")],
)
def test_money_beside_an_axis_has_no_more_digits_than_it_takes(amount: float, told: str) -> None:
    assert short_usd(amount) == told


@pytest.mark.parametrize("most", [1.3, 2, 9, 40, 800, 1000, 3400, 18_600, 240_000])
def test_an_axis_of_durations_has_a_word_of_its_own_for_each_step(most: float) -> None:
    drawn = lines(_places(1), [Series(name="p50", values=(most,))], milliseconds, short_milliseconds)
    words = [tick.text for tick in drawn.ticks]
    assert len(set(words)) == len(words)
    read = [float(word.split()[0]) * (1000 if word.endswith(" s") else 1) for word in words]
    assert read == pytest.approx(steps(most))
