"""What somebody enters in a form of the dashboard."""

from datetime import UTC, datetime

import pytest

from inferway.http.dashboard.api import Refused
from inferway.http.dashboard.entry import Entry, pages_of, skip_of


def test_fields_are_read_as_what_they_mean() -> None:
    entry = Entry(
        {"rate": " 60 ", "daily": "$12.50", "models": "a/*, b\n\nc", "until": "2030-01-31", "none": "  "}
    )
    assert entry.whole("rate") == 60
    assert entry.usd("daily") == 12.5
    assert entry.lines("models") == ["a/*", "b", "c"]
    assert entry.end_of_day("until") == datetime(2030, 2, 1, tzinfo=UTC)
    assert entry.text("none") is None
    assert [read("missing") for read in (entry.usd, entry.whole, entry.lines)] == [None, None, None]
    assert not entry.is_wrong


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "1e999", "12,50", "x", "$"])
def test_what_is_no_amount_is_told_beside_its_field(text: str) -> None:
    entry = Entry({"daily": text})
    assert entry.usd("daily") is None
    assert entry.is_wrong is (text != "$")
    assert set(entry.errors) <= {"daily"}


@pytest.mark.parametrize("text", ["1.5", "-3", "²", "\uff19", "9" * 400])
def test_what_is_no_whole_number_is_told(text: str) -> None:
    entry = Entry({"rate": text})
    assert entry.whole("rate") is None
    assert "whole number" in entry.errors["rate"]


@pytest.mark.parametrize("text", ["31.1.2030", "9999-12-31", "2030-02-30", "x"])
def test_what_is_no_day_is_told(text: str) -> None:
    entry = Entry({"until": text})
    assert entry.end_of_day("until") is None
    assert entry.status == 422


def test_a_refusal_stands_beside_the_field_that_it_is_about() -> None:
    entry = Entry()
    where = [{"location": ["body", "models", 3], "message": "is too long"}]
    entry.take(Refused(422, {"message": "m", "details": {"validation_errors": where}}))
    assert entry.errors == {"models": "Is too long."}

    entry = Entry()
    entry.take(
        Refused(409, {"message": "The name is taken.", "code": "key_name_taken"}), {"key_name_taken": "name"}
    )
    assert (entry.status, entry.errors, entry.message) == (409, {"name": "The name is taken."}, "")


def test_a_refusal_that_is_about_no_field_is_about_the_form() -> None:
    entry = Entry()
    entry.take(Refused(403, {"message": "this is not yours", "code": "grant_denied"}))
    assert (entry.status, entry.errors, entry.message) == (403, {}, "This is not yours.")


@pytest.mark.parametrize("status", [401, 503])
def test_a_refusal_that_no_field_can_help_goes_on(status: int) -> None:
    with pytest.raises(Refused):
        Entry().take(Refused(status, {"message": "m"}))


def test_pages_know_their_neighbours() -> None:
    middle = pages_of("/audit", {"action": "a&b", "actor": ""}, total=250, skip=100, limit=100)
    assert (middle.first, middle.last) == (101, 200)
    assert middle.previous == "/audit?action=a%26b&skip=0"
    assert middle.next == "/audit?action=a%26b&skip=200"
    only = pages_of("/audit", {}, total=0, skip=0, limit=100)
    assert (only.first, only.last, only.previous, only.next) == (0, 0, None, None)


@pytest.mark.parametrize(("text", "skip"), [("", 0), ("20", 20), ("-1", 0), ("x", 0), ("9" * 30, 0)])
def test_what_is_no_place_in_a_list_is_its_beginning(text: str, skip: int) -> None:
    assert skip_of(text) == skip
