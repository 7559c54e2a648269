"""Twenty killed workers: no acknowledged call is lost, none is stored twice, and every open one is found."""

import random
import subprocess
import sys
from pathlib import Path

from inferway.store.ledger import SqlLedger
from inferway.store.sqlite.database import Database
from inferway.usage.drain import Drain
from inferway.usage.journal import Journal

KILLS = 20
WRITER = Path(__file__).with_name("journal_writer.py")


def run_and_kill(home: Path, run: int, lines_before_kill: int) -> tuple[set[str], set[str]]:
    """Calls that went out and answers that left, as the worker told before it died."""
    with subprocess.Popen([sys.executable, WRITER, home, str(run)], stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        heard = [worker.stdout.readline() for _ in range(lines_before_kill)]
        worker.kill()
        heard += worker.stdout.readlines()
    told = [line.decode().split() for line in heard if line.endswith(b"\n")]
    return {each[1] for each in told if each[0] == ">"}, {each[1] for each in told if each[0] == "="}


async def test_nothing_acknowledged_is_lost_when_workers_are_killed(tmp_path: Path) -> None:
    chance = random.Random(20260304)
    went_out: set[str] = set()
    answered: set[str] = set()
    for run in range(KILLS):
        out, back = run_and_kill(tmp_path, run, chance.randint(1, 1500))
        went_out |= out
        answered |= back
    assert len(answered) > 1000

    database = Database.open(tmp_path / "inferway.db")
    ledger = SqlLedger(database)
    journal = Journal(tmp_path / "journal")
    await Drain(journal, ledger).adopt_orphans()
    rows = await ledger.list_records("org_1", limit=10_000_000)
    whole = (await database.select("PRAGMA integrity_check"))[0][0]
    database.close()

    status = {row.record_id: row.status for row in rows}
    assert len(rows) == len(status)
    assert whole == "ok"
    assert {each for each in answered if status.get(each) != "ok"} == set()
    assert went_out - set(status) == set()
    # A worker dies between writing a line here and writing it there: at most one call of each of its four callers.
    assert len(set(status) - went_out) <= 4 * KILLS
    assert sum(each == "unknown" for each in status.values()) <= 4 * KILLS
    assert [each.name for each in sorted((tmp_path / "journal").iterdir())] == [journal.folder.name]
