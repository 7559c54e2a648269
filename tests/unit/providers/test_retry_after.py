"""Every form of a provider's hint how long to wait."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferway.providers.retry_after import find_retry_after_s

NOW = datetime(2026, 10, 21, 7, 27, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("0.5", 0.5),
        (" 7 ", 7.0),
        ("9999999", 9999999.0),
        ("7, 7", 7.0),
        ("7, 9", 9.0),
        ("junk, 9", 9.0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 60.0),
        ("Wed, 21 Oct 2026 07:28:00 GMT, Wed, 21 Oct 2026 07:29:00 GMT", 120.0),
        ("Wednesday, 21-Oct-26 07:28:00 GMT", 60.0),
        ("Wed Oct 21 07:28:00 2026", 60.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        ("1e309", None),
        ("1e99999", None),
        ("1_0", None),
        ("\u0667", None),
        ("7s", None),
        ("soon", None),
        ("", None),
        ("Wed, 99 Xyz 2026 07:28:00 GMT", None),
    ],
)
def test_the_forms(value: str, seconds: float | None) -> None:
    assert find_retry_after_s({"retry-after": value}, NOW) == seconds


def test_milliseconds_are_preferred_when_they_can_be_read() -> None:
    assert find_retry_after_s({"retry-after-ms": "1500", "retry-after": "7"}) == 1.5
    assert find_retry_after_s({"retry-after-ms": "soon", "retry-after": "7"}) == 7.0
    assert find_retry_after_s({}) is None


def test_a_date_counts_from_the_answers_own_clock() -> None:
    headers = {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT", "date": "Wed, 21 Oct 2026 07:27:50 GMT"}
    assert find_retry_after_s(headers, datetime(2001, 1, 1, tzinfo=UTC)) == 10.0


@given(st.text())
def test_no_value_does_harm(value: str) -> None:
    for name in ("retry-after", "retry-after-ms"):
        found = find_retry_after_s({name: value, "date": value}, NOW)
        assert found is None or 0 <= found < float("inf")
