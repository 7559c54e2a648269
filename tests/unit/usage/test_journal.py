"""The journal and its mover: nothing acknowledged is lost, nothing is stored twice, and a full disk closes the door."""

import asyncio
import errno
import os
import stat
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from inferway.errors import JournalFull, OperatorError, StoreUnavailable
from inferway.store.memory.ledger import MemoryLedger
from inferway.usage.drain import Drain
from inferway.usage.frames import decode
from inferway.usage.journal import Journal, try_lock
from inferway.usage.records import Intent, UsageRecord, new_record_id

Intents = Callable[[str], Intent]
Records = Callable[[str], UsageRecord]


async def rows(ledger: MemoryLedger) -> dict[str, str]:
    """What the ledger holds: status by record."""
    return {each.record_id: each.status for each in await ledger.list_records("org_1", limit=10_000)}


def names(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(each.name for each in folder.iterdir())


def written(journal: Journal) -> list[str]:
    """What stands in the journal's files: `>` for an intent and `=` for a settled call."""
    content = b"".join(file.read_bytes() for file in sorted(journal.folder.glob("*.journal")))
    return [(">" if isinstance(entry, Intent) else "=") + entry.record_id for entry, _ in decode(content)]


def abandon(journal: Journal) -> None:
    """Ends a journal as a killed process does: its lock goes, its files stay."""
    os.close(journal._lock)
    os.close(journal._current.descriptor)


async def test_intent_and_record_are_in_the_file_when_the_calls_return(
    tmp_path: Path, intent: Intents, record: Records
) -> None:
    journal = Journal(tmp_path)
    await journal.intend(intent("a"))
    assert written(journal) == [">a"]
    assert journal.open_intents == 1
    await journal.settle(record("a"))
    assert written(journal) == [">a", "=a"]
    assert journal.open_intents == 0


async def test_settled_records_move_once_and_the_clean_journal_leaves_nothing(
    tmp_path: Path, intent: Intents, record: Records
) -> None:
    journal, ledger = Journal(tmp_path), MemoryLedger()
    drain = Drain(journal, ledger)
    for name in "abc":
        await journal.intend(intent(name))
        await journal.settle(record(name))
    assert await drain.move() == 3
    assert await drain.move() == 0
    assert journal.pending_bytes == 0
    assert await ledger.find_record("a") == record("a")
    await drain.aclose()
    await journal.aclose()
    assert names(tmp_path) == []


async def test_an_open_call_keeps_its_file_and_becomes_unknown_after_a_death(
    tmp_path: Path, intent: Intents, record: Records
) -> None:
    dead, ledger = Journal(tmp_path, file_bytes=1), MemoryLedger()
    for name in "abc":
        await dead.intend(intent(name))
    await dead.settle(record("b"))
    await Drain(dead, ledger).move()
    assert await rows(ledger) == {"b": "ok"}
    assert len(list(dead.folder.glob("*.journal"))) == 3, "a, c and the current one"
    abandon(dead)
    journal = Journal(tmp_path)
    assert await Drain(journal, ledger).adopt_orphans() == 2
    assert await rows(ledger) == {"a": "unknown", "b": "ok", "c": "unknown"}
    assert names(tmp_path) == [journal.folder.name]


async def test_a_living_workers_journal_is_not_adopted(tmp_path: Path, intent: Intents) -> None:
    alive, ledger = Journal(tmp_path), MemoryLedger()
    await alive.intend(intent("a"))
    assert try_lock(alive.folder) is None
    assert await Drain(Journal(tmp_path), ledger).adopt_orphans() == 0
    assert await rows(ledger) == {}


async def test_a_death_between_commit_and_deletion_stores_nothing_twice(
    tmp_path: Path, intent: Intents, record: Records
) -> None:
    dead, ledger = Journal(tmp_path), MemoryLedger()
    await dead.intend(intent("a"))
    await dead.settle(record("a"))
    await ledger.add([record("a")])
    abandon(dead)
    assert await Drain(Journal(tmp_path), ledger).adopt_orphans() == 0
    assert await rows(ledger) == {"a": "ok"}


async def test_a_torn_end_loses_only_itself(
    tmp_path: Path, intent: Intents, record: Records, caplog: pytest.LogCaptureFixture
) -> None:
    dead, ledger = Journal(tmp_path), MemoryLedger()
    await dead.intend(intent("a"))
    await dead.settle(record("a"))
    await dead.intend(intent("b"))
    await dead.settle(record("b"))
    file = dead._current.path
    abandon(dead)
    file.write_bytes(file.read_bytes()[:-3])
    await Drain(Journal(tmp_path), ledger).adopt_orphans()
    assert await rows(ledger) == {"a": "ok", "b": "unknown"}
    assert "torn" in caplog.text


async def test_what_another_version_wrote_is_kept_aside(tmp_path: Path, intent: Intents) -> None:
    dead, ledger = Journal(tmp_path), MemoryLedger()
    await dead.intend(intent("a"))
    body = b"\x09new"
    os.write(
        dead._current.descriptor,
        len(body).to_bytes(4, "little") + zlib.crc32(body).to_bytes(4, "little") + body,
    )
    abandon(dead)
    drain = Drain(Journal(tmp_path), ledger)
    await drain.adopt_orphans()
    assert (tmp_path / f"{dead.folder.name}.unreadable").is_dir()
    assert await drain.adopt_orphans() == 0


async def test_while_the_ledger_is_away_records_wait_and_are_moved_later(
    tmp_path: Path, intent: Intents, record: Records
) -> None:
    class Waiting(MemoryLedger):
        added, asked = asyncio.Event(), asyncio.Event()

        async def add(self, records: Sequence[UsageRecord]) -> int:
            self.asked.set()
            count = await super().add(records)
            self.added.set()
            return count

    journal, ledger = Journal(tmp_path), Waiting()
    drain = Drain(journal, ledger, every_s=0.01)
    ledger.is_away = True
    moving = asyncio.create_task(drain.run())
    await journal.intend(intent("a"))
    await journal.settle(record("a"))
    await asyncio.wait_for(ledger.asked.wait(), 5)
    assert journal.pending_bytes > 0
    ledger.is_away = False
    await asyncio.wait_for(ledger.added.wait(), 5)
    moving.cancel()
    assert await rows(ledger) == {"a": "ok"}


async def test_many_records_are_moved_before_it_is_time(
    tmp_path: Path, intent: Intents, record: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Waiting(MemoryLedger):
        added = asyncio.Event()

        async def add(self, records: Sequence[UsageRecord]) -> int:
            count = await super().add(records)
            self.added.set()
            return count

    monkeypatch.setattr("inferway.usage.journal._MANY", 3)
    journal, ledger = Journal(tmp_path), Waiting()
    moving = asyncio.create_task(Drain(journal, ledger, every_s=3600).run())
    for turn in ("a", "b"):
        await asyncio.sleep(0)
        for number in range(3):
            await journal.intend(intent(f"{turn}{number}"))
            await journal.settle(record(f"{turn}{number}"))
        await asyncio.sleep(0.01)
        assert not ledger.added.is_set(), "few of them wait"
        await journal.intend(intent(f"{turn}3"))
        await journal.settle(record(f"{turn}3"))
        await asyncio.wait_for(ledger.added.wait(), 5)
        ledger.added.clear()
    moving.cancel()
    assert len(await rows(ledger)) == 8


async def test_records_are_moved_from_memory_or_from_the_file_and_each_once(
    tmp_path: Path, intent: Intents, record: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inferway.usage.journal._MAX_KEPT", 3)
    journal, ledger = Journal(tmp_path, file_bytes=1500), MemoryLedger()
    drain = Drain(journal, ledger)

    async def write(first: int, last: int) -> None:
        for number in range(first, last):
            await journal.intend(intent(f"{number:03}"))
            await journal.settle(record(f"{number:03}"))

    await write(0, 2)
    assert [span.records is not None for span in journal.pending()] == [True]
    assert await drain.move() == 2, "what was handed over and not moved is read from the file"
    await write(2, 30)
    spans = journal.pending()
    assert any(span.records is None for span in spans), "too many are not kept"
    ledger.is_away = True
    with pytest.raises(StoreUnavailable):
        await drain.move()
    ledger.is_away = False
    await write(30, 31)
    assert await drain.move() == 29
    assert await drain.move() == 0
    assert sorted(await rows(ledger)) == [f"{number:03}" for number in range(31)]


async def test_a_record_that_the_ledger_refuses_holds_up_no_other(tmp_path: Path, record: Records) -> None:
    class Picky(MemoryLedger):
        async def add(self, records: Sequence[UsageRecord]) -> int:
            if any(each.record_id == "bad" for each in records):
                raise OverflowError
            return await super().add(records)

    journal, ledger = Journal(tmp_path), Picky()
    for name in ("a", "bad", "c"):
        await journal.settle(record(name))
    assert await Drain(journal, ledger).move() == 2
    assert await rows(ledger) == {"a": "ok", "c": "ok"}
    kept = [entry.record_id for entry, _ in decode((tmp_path / "refused.journal").read_bytes())]
    assert kept == ["bad"]


async def test_too_much_that_waits_closes_the_door(tmp_path: Path, intent: Intents, record: Records) -> None:
    journal, ledger = Journal(tmp_path, backlog_bytes=300), MemoryLedger()

    async def call(name: str) -> None:
        await journal.intend(intent(name))
        await journal.settle(record(name))

    with pytest.raises(JournalFull) as caught:
        await asyncio.gather(*map(call, "abcdefghij"))
    assert caught.value.retry_after_s
    await Drain(journal, ledger).move()
    await journal.intend(intent("after"))


class Disk:
    """Makes writes fail as a full disk does: `room` bytes are taken, then nothing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room: int | None = None
        self._write = os.write
        monkeypatch.setattr("inferway.usage.journal.os.write", self.write)

    def write(self, descriptor: int, content: bytes) -> int:
        if self.room is None:
            return self._write(descriptor, content)
        if self.room == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = self._write(descriptor, content[: self.room])
        self.room -= taken
        return taken


@pytest.mark.parametrize("room", [0, 1, 9, 60])
async def test_a_full_disk_is_a_503_and_the_record_is_written_when_there_is_room(
    room: int, tmp_path: Path, intent: Intents, record: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    journal, ledger = Journal(tmp_path), MemoryLedger()
    await journal.intend(intent("a"))
    disk.room = room
    with pytest.raises(JournalFull) as caught:
        await journal.settle(record("a"))
    assert caught.value.status == 503
    disk.room = 0
    with pytest.raises(JournalFull):
        await journal.intend(intent("b"))
    assert written(journal) == [">a"], "half an entry is taken back"
    disk.room = None
    await journal.intend(intent("c"))
    await journal.settle(record("c"))
    await Drain(journal, ledger).move()
    assert await rows(ledger) == {"a": "ok", "c": "ok"}
    assert journal.open_intents == 0


async def test_where_half_an_entry_cannot_be_taken_back_a_new_file_is_begun(
    tmp_path: Path, intent: Intents, record: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)

    def refuse(descriptor: int, size: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    journal, ledger = Journal(tmp_path), MemoryLedger()
    await journal.intend(intent("a"))
    with monkeypatch.context() as broken:
        broken.setattr("inferway.usage.journal.os.ftruncate", refuse)
        disk.room = 9
        with pytest.raises(JournalFull):
            await journal.intend(intent("b"))
    disk.room = None
    await journal.settle(record("a"))
    abandon(journal)
    await Drain(Journal(tmp_path), ledger).adopt_orphans()
    assert await rows(ledger) == {"a": "ok"}


async def test_power_durability_waits_for_the_disk_and_shares_syncs(
    tmp_path: Path, intent: Intents, record: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr("inferway.usage.journal.os.fdatasync", synced.append)
    journal = Journal(tmp_path, durability="power", file_bytes=4000)
    for n in range(100):
        await journal.intend(intent(str(n)))
    await asyncio.gather(*(journal.settle(record(str(n))) for n in range(100)))
    assert 1 <= len(synced) < 40
    await Drain(journal, MemoryLedger()).move()
    await journal.aclose()
    assert names(tmp_path) == []


async def test_process_durability_never_syncs(
    tmp_path: Path, intent: Intents, record: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("inferway.usage.journal.os.fdatasync")
    monkeypatch.delattr("inferway.usage.journal.os.fsync")
    journal = Journal(tmp_path)
    await journal.intend(intent("a"))
    await journal.settle(record("a"))
    assert written(journal) == [">a", "=a"]


async def test_after_a_failed_sync_nothing_is_accepted_any_more(
    tmp_path: Path, intent: Intents, record: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    journal = Journal(tmp_path, durability="power")
    await journal.intend(intent("a"))
    with monkeypatch.context() as broken:
        broken.setattr("inferway.usage.journal.os.fdatasync", fail)
        with pytest.raises(JournalFull):
            await journal.settle(record("a"))
    with pytest.raises(JournalFull):
        await journal.intend(intent("b"))


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OperatorError, match="--data-dir"):
        Journal(tmp_path / "file" / "journal")


def test_record_ids_sort_by_time_and_do_not_repeat() -> None:
    ids = [new_record_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert [each[:14] for each in ids] == sorted(each[:14] for each in ids)


async def test_only_the_owner_can_read_the_journal(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        journal = Journal(tmp_path / "journal")
    finally:
        os.umask(old)
    modes = {stat.S_IMODE(each.stat().st_mode) for each in (journal.folder.parent, journal.folder)}
    assert modes == {0o700}
    assert {stat.S_IMODE(each.stat().st_mode) for each in journal.folder.glob("*")} == {0o600}
