"""What counting one call costs, in the table of memory and by asking an owner process: `python -m bench.limits`."""

import asyncio
import os
import socket
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal

from inferway.limits.book import SpendBook
from inferway.limits.table import Held, Table
from inferway.limits.terms import Terms, rules_of
from inferway.types import SpendCap
from inferway.usage.records import new_record_id

_CALLS = 2_000
_ROUNDS = 9


def main() -> None:
    """Prints the median of the rounds, in microseconds of wall and of this process's CPU for each call."""
    with tempfile.TemporaryDirectory() as folder:
        table = Table.open(Path(folder))
        rules = rules_of(Terms(per_minute=100_000_000, per_second=100_000_000, concurrent=200))

        async def count() -> None:
            held = table.enter("key_abcdefghijklmnopqrst", "org_abcdefghijklmnopqrst", rules)
            if isinstance(held, Held):
                table.leave(held.cell)

        _say("shared table, enter and leave", asyncio.run(_measure(count)))
        table.close()
        _say("spend book, reserve and settle", asyncio.run(_measure(_spending(Path(folder)))))
        _say("owner process, ask and release", asyncio.run(_owner(Path(folder) / "owner")))


def _spending(folder: Path) -> Callable[[], Awaitable[None]]:
    """A reservation under three caps, and its settlement."""
    book = SpendBook(folder)
    kinds: tuple[Literal["key", "namespace", "organization"], ...] = ("key", "namespace", "organization")
    caps = [
        SpendCap(
            resource=kind, id=f"{kind}_abcdefghijklmnopqrst", organization_id="org_a", monthly_microusd=10**12
        )
        for kind in kinds
    ]

    async def spend() -> None:
        record_id = new_record_id()
        book.reserve(caps, 1_000, record_id)
        book.settle(record_id, 10)

    return spend


async def _owner(path: Path) -> tuple[float, float]:
    """The least that asking another process can cost: it answers at once and does nothing."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen()
    child = os.fork()
    if child == 0:
        connection, _ = listening.accept()
        while data := connection.recv(64):
            connection.sendall(data)
        os._exit(0)
    reader, writer = await asyncio.open_unix_connection(path)

    async def ask() -> None:
        for _ in range(2):
            writer.write(b"key_abcdefghijklmnopqrst org_abc\n")
            await reader.readexactly(33)

    figures = await _measure(ask)
    writer.close()
    await writer.wait_closed()
    await asyncio.to_thread(os.waitpid, child, 0)
    return figures


async def _measure(work: Callable[[], Awaitable[None]]) -> tuple[float, float]:
    walls, cpus = [], []
    for _ in range(_ROUNDS):
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(_CALLS):
            await work()
        walls.append((time.perf_counter() - wall) / _CALLS * 1e6)
        cpus.append((time.process_time() - cpu) / _CALLS * 1e6)
    return statistics.median(walls), statistics.median(cpus)


def _say(what: str, figures: tuple[float, float]) -> None:
    print(f"{what:32} {figures[0]:6.1f} µs wall {figures[1]:6.1f} µs CPU")


if __name__ == "__main__":
    main()
