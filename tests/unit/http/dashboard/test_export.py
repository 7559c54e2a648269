"""Files for other programs."""

import csv
import io

import pytest

from inferway.http.dashboard.export import write_csv
from inferway.http.dashboard.frame import compact, percent


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("http://x")'])
def test_no_cell_is_taken_for_a_formula(text: str) -> None:
    written = write_csv(["a", "b"], [{"a": text, "b": -1.5}]).decode()
    (_, row) = csv.reader(io.StringIO(written))
    assert row == ["'" + text, "-1.5"]


def test_a_table_has_its_names_and_blanks_for_what_is_not_there() -> None:
    assert write_csv(["a", "b"], [{"a": 'x,"y'}]) == b'a,b\r\n"x,""y",\r\n'


def test_numbers_fit_in_little_room() -> None:
    assert [compact(each) for each in (0, 950, 1200, 3_400_000, 2e9, None)] == [
        "0",
        "950",
        "1.2k",
        "3.4M",
        "2G",
        "–",
    ]


def test_what_is_not_nothing_is_not_told_as_nothing() -> None:
    assert [percent(each) for each in (0, 0.00001, 0.0123, 1, None)] == [
        "0 %",
        "< 0.1 %",
        "1.2 %",
        "100 %",
        "–",
    ]
