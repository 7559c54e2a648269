"""Moves what the journals hold to the ledger: this worker's own, and those of workers that died."""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from inferway.errors import StoreUnavailable
from inferway.usage.frames import Torn, Unreadable, encode_settled, read_batches
from inferway.usage.journal import SUFFIX, Journal, remove_folder, try_lock
from inferway.usage.ledger import Ledger
from inferway.usage.records import Intent, UsageRecord, unknown_of

ORPHANS_EVERY_S = 10.0
"""How often the folders of dead workers are looked for; their open calls are `unknown` rows well within a minute."""

_BATCH = 1000
_UNREADABLE_SUFFIX = ".unreadable"
_LOG = logging.getLogger(__name__)


class Drain:
    """The background mover of one worker. `run` until it is cancelled, then `aclose` once no call is under way."""

    def __init__(
        self,
        journal: Journal,
        ledger: Ledger,
        *,
        every_s: float = 1.0,
        orphans_every_s: float = ORPHANS_EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal, self._ledger = journal, ledger
        self._every_s, self._orphans_every_s = every_s, orphans_every_s
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()
        self._was_away = False

    async def run(self) -> None:
        """Moves records every `every_s` seconds for ever; a ledger that is away is tried again.

        Many that wait are moved sooner: they take memory.
        """
        orphans_due = self._clock()
        while True:
            with_orphans = self._clock() >= orphans_due
            if with_orphans:
                orphans_due = self._clock() + self._orphans_every_s
            await self._tick(with_orphans=with_orphans)
            if self._was_away:
                await asyncio.sleep(self._every_s)
            else:
                await self._journal.wait_for_many(self._every_s)

    async def aclose(self) -> None:
        """Moves what is left, if the ledger is there; what it does not take stays in the journal for the next start."""
        await self._tick(with_orphans=False)

    async def move(self) -> int:
        """Moves this worker's own settled records and says how many were new. Raises `StoreUnavailable`."""
        moved = 0
        async with self._one_at_a_time:
            for span in self._journal.pending():
                if span.records is not None:
                    moved += await self._add(span.records)
                    self._journal.mark_drained(span.file, span.end)
                    continue
                batches = read_batches(span.file, span.start, span.end)
                while (batch := await asyncio.to_thread(next, batches, None)) is not None:
                    entries, end = batch
                    moved += await self._add([entry for entry in entries if isinstance(entry, UsageRecord)])
                    self._journal.mark_drained(span.file, end)
        return moved

    async def adopt_orphans(self) -> int:
        """Moves what dead workers left, their open calls as `unknown`, and says how many rows were new. Raises `StoreUnavailable`."""
        moved = 0
        async with self._one_at_a_time:
            for folder in await asyncio.to_thread(_folders, self._journal.folder.parent):
                lock = None if folder == self._journal.folder else try_lock(folder)
                if lock is None:
                    continue
                try:
                    moved += await self._adopt(folder)
                finally:
                    os.close(lock)
        return moved

    async def _tick(self, *, with_orphans: bool) -> None:
        try:
            await self.move()
            if with_orphans:
                await self.adopt_orphans()
            self._was_away = False
        except StoreUnavailable:
            if not self._was_away:
                _LOG.warning("usage waits in the journal: the database cannot be used")
            self._was_away = True
        except Exception:  # noqa: BLE001 -- a background task
            # The mover must outlive whatever it meets; the records stay in the journal.
            _LOG.exception("usage could not be moved from the journal")

    async def _adopt(self, folder: Path) -> int:
        """One dead worker's folder: every record, then a row for each call that was left open."""
        moved = 0
        left_open: dict[str, Intent] = {}
        files = await asyncio.to_thread(_files, folder)
        try:
            for file in files:
                moved += await self._adopt_file(file, left_open)
        except Unreadable as unreadable:
            # Another version's records are not ours to throw away.
            aside = folder.with_name(folder.name + _UNREADABLE_SUFFIX)
            _LOG.error("%s: cannot be read (%s), kept as %s", folder, unreadable, aside)
            await asyncio.to_thread(folder.rename, aside)
            return moved
        moved += await self._add([unknown_of(intent) for intent in left_open.values()])
        await asyncio.to_thread(_remove, folder, files)
        _LOG.info("took over the journal of a worker that ended: %d rows, %d unknown", moved, len(left_open))
        return moved

    async def _adopt_file(self, file: Path, left_open: dict[str, Intent]) -> int:
        moved = 0
        batches = read_batches(file)
        try:
            while (batch := await asyncio.to_thread(next, batches, None)) is not None:
                for entry in batch[0]:
                    if isinstance(entry, Intent):
                        left_open[entry.record_id] = entry
                    else:
                        left_open.pop(entry.record_id, None)
                moved += await self._add([entry for entry in batch[0] if isinstance(entry, UsageRecord)])
        except Torn as torn:
            # The process died within this write, so nobody was told that the call is recorded.
            _LOG.warning("%s: the last entry is torn at byte %d and left out", file, torn.offset)
        return moved

    async def _add(self, records: Sequence[UsageRecord]) -> int:
        moved = 0
        for start in range(0, len(records), _BATCH):
            batch = records[start : start + _BATCH]
            try:
                moved += await self._ledger.add(batch)
            except StoreUnavailable:
                raise
            except Exception:  # noqa: BLE001 - a background task
                _LOG.exception("the ledger refused a batch of usage; its records are tried one by one")
                moved += await self._add_singly(batch)
        return moved

    async def _add_singly(self, records: Sequence[UsageRecord]) -> int:
        """Lets no record that the ledger refuses hold up the others: it is kept in a file of its own."""
        moved = 0
        for record in records:
            try:
                moved += await self._ledger.add([record])
            except StoreUnavailable:
                raise
            except Exception:  # noqa: BLE001 - a background task
                aside = self._journal.folder.parent / f"refused{SUFFIX}"
                _LOG.exception(
                    "usage record %s is refused by the ledger and kept in %s", record.record_id, aside
                )
                await asyncio.to_thread(_append, aside, encode_settled(record))
        return moved


def _append(file: Path, content: bytes) -> None:
    with file.open("ab") as opened:
        opened.write(content)


def _remove(folder: Path, files: list[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)
    remove_folder(folder)


def _folders(parent: Path) -> list[Path]:
    return sorted(
        each
        for each in parent.iterdir()
        if each.is_dir() and not each.name.startswith(".") and not each.name.endswith(_UNREADABLE_SUFFIX)
    )


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*{SUFFIX}"))
