"""Journal bytes: whole entries come back, a torn end is told and nothing is made up."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferway.types import Usage
from inferway.usage import frames
from inferway.usage.frames import Entry, Torn, Unreadable, decode, encode_intent, encode_settled, read_batches
from inferway.usage.records import Intent, UsageRecord

COUNT = st.integers(0, 2**40)


def settled(name: str, count: int, raw: bytes | None, cost: int | None) -> UsageRecord:
    """A record that varies where its encoding does: text, numbers, bytes and what is absent."""
    return UsageRecord(
        record_id=name,
        request_id="r",
        organization_id="o",
        namespace_id="n",
        key_id="k",
        operation="chat",
        provider="p",
        model=name,
        status="ok",
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
        latency_ms=count / 7,
        upstream_ms=0.0,
        usage=Usage(input=count, raw=raw),
        cost_microusd=cost,
    )


SETTLED = st.builds(
    settled, st.text(max_size=12), COUNT, st.none() | st.binary(max_size=30), st.none() | COUNT
)


def whole_entries(content: bytes) -> tuple[list[Entry], int | None]:
    """All entries before a tear, and where it is."""
    entries: list[Entry] = []
    try:
        entries.extend(entry for entry, _ in decode(content))
    except Torn as torn:
        return entries, torn.offset
    return entries, None


@given(st.lists(SETTLED, max_size=5), st.data())
def test_a_cut_anywhere_loses_only_the_entry_it_cuts(records: list[UsageRecord], data: st.DataObject) -> None:
    parts = [encode_settled(record) for record in records]
    content = b"".join(parts)
    assert whole_entries(content) == (records, None)
    cut = data.draw(st.integers(0, len(content)))
    kept, sizes = [], 0
    for record, part in zip(records, parts, strict=True):
        if sizes + len(part) > cut:
            break
        kept.append(record)
        sizes += len(part)
    assert whole_entries(content[:cut]) == (kept, None if sizes == cut else sizes)


@given(SETTLED, SETTLED, st.data())
def test_a_changed_byte_is_never_read_as_a_record(
    one: UsageRecord, two: UsageRecord, data: st.DataObject
) -> None:
    first, second = encode_settled(one), encode_settled(two)
    at = data.draw(st.integers(0, len(second) - 1))
    flipped = bytearray(first + second)
    flipped[len(first) + at] ^= data.draw(st.integers(1, 255))
    assert whole_entries(bytes(flipped)) == ([one], len(first))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_and_nothing_else(content: bytes) -> None:
    try:
        list(decode(content))
    except (Torn, Unreadable):
        return


def test_zeros_after_the_last_entry_are_a_torn_end(intent: Callable[[str], Intent]) -> None:
    frame = encode_intent(intent("a"))
    assert whole_entries(frame + bytes(64)) == ([intent("a")], len(frame))


def test_an_entry_of_an_unknown_kind_is_not_skipped(
    monkeypatch: pytest.MonkeyPatch, intent: Callable[[str], Intent]
) -> None:
    monkeypatch.setattr(frames, "_INTENT", b"\x09")
    content = encode_intent(intent("a"))
    monkeypatch.undo()
    with pytest.raises(Unreadable, match="kind 9"):
        list(decode(content))


def test_a_file_is_read_in_pieces_with_nothing_lost(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, record: Callable[[str], UsageRecord]
) -> None:
    file = tmp_path / "one.journal"
    parts = [encode_settled(record(str(n))) for n in range(50)]
    file.write_bytes(b"".join(parts) + parts[0][:20])
    for size in (1, 7, 100, 333, 100_000):
        monkeypatch.setattr(frames, "_CHUNK", size)
        seen: list[str] = []
        with pytest.raises(Torn) as caught:
            seen.extend(entry.record_id for batch, _ in read_batches(file) for entry in batch)
        assert seen == [str(n) for n in range(50)]
        assert caught.value.offset == sum(map(len, parts))
        start, end = len(parts[0]), len(parts[0]) * 3
        ids = [entry.record_id for batch, _ in read_batches(file, start, end) for entry in batch]
        assert ids == ["1", "2"]
