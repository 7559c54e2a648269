"""The event-stream parser gives the same events however the body is cut, and never holds more than its cap."""

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferway.errors import ProviderBadAnswer
from inferway.providers.sse import Event, SseParser


def parse(*chunks: bytes) -> list[Event]:
    parser = SseParser()
    events = [event for chunk in chunks for event in parser.feed(chunk)]
    return events + parser.finish()


def reference(body: bytes) -> list[Event]:
    """The standard's algorithm on the whole body, line by line, as plainly as it can be written."""
    text = body.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    events, name, data = [], "", list[bytes]()
    for line in [*text.split(b"\n"), b""]:
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if not line:
            if data:
                events.append((name, b"\n".join(data)))
            name, data = "", []
        elif field == b"data":
            data.append(value)
        elif field == b"event":
            name = value.decode("utf-8", "replace")
    return events


LINES = st.sampled_from(
    [
        b"data: {}",
        b"data:{}",
        b"data:  two blanks kept ",
        b"data",
        b"data:",
        b"data: \xc3\xa9\xe2\x82\xac",
        b"event: message_start",
        b"event:x",
        b"event",
        b"id: 7",
        b"retry: 10",
        b": ping",
        b":",
        b"datax: no",
        b"\xef\xbb\xbfdata: bom inside",
        b"",
        b"",
        b"",
    ]
)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    parts = draw(st.lists(st.tuples(LINES, ENDS), max_size=30))
    body = b"".join(line + end for line, end in parts)
    body = draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + body
    return body + draw(st.sampled_from([b"", b"data: cut off", b"eve", b"data: x\r"]))


@given(bodies(), st.data())
def test_any_chunking_gives_the_events_of_the_standard(body: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(body)))))
    bounds = [0, *cuts, len(body)]
    chunks = [body[start:end] for start, end in itertools.pairwise(bounds)]
    assert parse(*chunks) == reference(body)


@given(st.binary(max_size=200), st.integers(1, 7))
def test_any_bytes_in_any_step_give_the_events_of_the_standard(body: bytes, step: int) -> None:
    assert parse(*(body[at : at + step] for at in range(0, len(body), step))) == reference(body)


def test_names_data_and_comments_are_told_apart() -> None:
    body = b": hello\nevent: delta\ndata: a\ndata:  b \n\ndata: [DONE]\n\n"
    assert parse(body) == [("delta", b"a\n b "), ("", b"[DONE]")]


def test_a_name_without_data_is_no_event_and_does_not_reach_the_next_one() -> None:
    assert parse(b"event: ping\n\ndata: x\n\n") == [("", b"x")]


def test_crlf_cut_between_its_bytes_is_one_line_end() -> None:
    assert parse(b"data: a\r", b"\ndata: b\r", b"\n\r", b"\n") == [("", b"a\nb")]


def test_an_event_is_given_as_soon_as_its_blank_line_is_there() -> None:
    parser = SseParser()
    assert parser.feed(b"data: a\n") == []
    assert parser.feed(b"\r") == [("", b"a")]


def test_a_last_event_without_blank_line_is_given_at_the_end() -> None:
    assert parse(b"data: [DONE]") == [("", b"[DONE]")]
    assert parse(b"data: [DONE]\n") == [("", b"[DONE]")]


@pytest.mark.parametrize(
    "chunk", [b"x" * 50, b"data: " + b"x" * 50 + b"\n", b"data:\n" * 10, b"event: y\n" * 10]
)
def test_an_event_above_the_cap_is_refused_while_it_arrives(chunk: bytes) -> None:
    parser = SseParser(max_event_bytes=200)
    with pytest.raises(ProviderBadAnswer):
        [parser.feed(chunk) for _ in range(10)]


def test_many_small_events_never_reach_the_cap() -> None:
    parser = SseParser(max_event_bytes=30)
    for at in range(200):
        assert parser.feed(b"event: e\ndata: %d" % at) == []
        assert parser.feed(b"\n\n: a comment that takes room but is not an event\n") == [("e", b"%d" % at)]


def test_a_large_event_that_drips_in_costs_time_in_proportion_to_its_size() -> None:
    parser = SseParser()
    started = time.process_time()
    for _ in range(1_000_000):
        parser.feed(b"data: x"[:4])
    assert time.process_time() - started < 5
