"""`python -m bench.ledger --rows 1_000_000 [--postgres [URL]]`: millions of calls in the ledger, by the way that real ones take.

Calls over ninety days go in by batches of a thousand, as the mover brings them (`--batch` makes them larger), each with its rollups; then
the questions of a dashboard are asked many times. Printed are rows a second (without making the rows up), our own CPU a row, the size on
disk, and for each question p50, p95 and the CPU time of this process, which other work on the machine does not stretch. With `--folder`,
or the URL of a PostgreSQL database, what was written is left there, and a run that was stopped goes on where it was: a batch is written
whole or not at all.
"""

import argparse
import asyncio
import os
import random
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from msgspec.structs import replace

from inferway.errors import StoreUnavailable
from inferway.store.ledger import SqlLedger
from inferway.store.sqlite.database import FILE_NAME, Database
from inferway.types import Usage
from inferway.usage.queries import Dimension, UsageQuery
from inferway.usage.recent import newest_calls
from inferway.usage.records import AttemptRecord, UsageRecord
from inferway.usage.reports import add_up

_DAYS = 90
_END = datetime(2026, 6, 1, tzinfo=UTC)
_START = _END - timedelta(days=_DAYS)
_ORGANIZATION = "org_bench0000000000000000"
_MODELS = (
    *(("openai", f"gpt-bench-{number}") for number in range(5)),
    *(("google", f"gemini-bench-{number}") for number in range(4)),
    *(("anthropic", f"claude-bench-{number}") for number in range(3)),
)
_STATUSES = ("ok",) * 96 + ("error",) * 2 + ("client_disconnected", "partial")
_RAW = b'{"prompt_tokens":1234,"completion_tokens":345,"total_tokens":1579,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0}}'
_TURNS = 40
_TOLD = 20

Measured = tuple[str, float, float, float, int]


def main() -> None:
    """Fill, ask, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.ledger", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="calls to record")
    parser.add_argument("--keys", type=int, default=200, help="keys that make them, in 20 namespaces")
    parser.add_argument("--batch", type=int, default=1000, help="calls of one transaction")
    parser.add_argument(
        "--postgres",
        nargs="?",
        const="",
        metavar="URL",
        help="in PostgreSQL instead of an SQLite file: the database at this URL, or a server that is started and goes away",
    )
    parser.add_argument(
        "--folder", type=Path, help="where the database is made and left; by default a folder that goes away"
    )
    asked = parser.parse_args()
    asyncio.run(_run(asked))


async def _run(asked: argparse.Namespace) -> None:
    with TemporaryDirectory(prefix="inferway-ledger-") as made:
        folder = asked.folder or Path(made)
        opened = _sqlite(folder) if asked.postgres is None else _postgres(asked.postgres)
        async with opened as (ledger, size):
            there = await _there(ledger)
            if there < asked.rows:
                await _fill(ledger, _batches(asked.rows, asked.keys, asked.batch, there), asked.rows, there)
            _say(
                f"{asked.rows:,} calls of {asked.keys} keys in batches of {asked.batch:,}: {await size() / 1e6:,.0f} MB"
            )
            _say(f"{'question over 90 days, ms':44} {'p50':>8} {'p95':>8} {'CPU':>8} {'rows':>7}")
            for name, middle, high, cpu, count in [each async for each in _questions(ledger)]:
                _say(f"{name:44} {middle:>8.1f} {high:>8.1f} {cpu:>8.1f} {count:>7}")


@asynccontextmanager
async def _sqlite(folder: Path) -> AsyncIterator[tuple[SqlLedger, Callable[[], Awaitable[int]]]]:
    database = Database.open(folder / FILE_NAME)
    try:
        yield SqlLedger(database), lambda: _size(folder)
    finally:
        database.close()


async def _size(folder: Path) -> int:
    return sum(each.stat().st_size for each in folder.glob(f"{FILE_NAME}*"))  # noqa: ASYNC240 - nobody else waits


@asynccontextmanager
async def _postgres(url: str) -> AsyncIterator[tuple[SqlLedger, Callable[[], Awaitable[int]]]]:
    from bench.postgres import running  # noqa: PLC0415 - needs a driver that an installation without PostgreSQL lacks

    async with running(url) as (database, size):
        yield SqlLedger(database), size


async def _there(ledger: SqlLedger) -> int:
    """How many calls a run before has left."""
    whole = UsageQuery(organization_id=_ORGANIZATION, start=_START, end=_END)
    return sum(each.sums["calls"] for each in await ledger.sums(whole))


async def _fill(ledger: SqlLedger, batches: Iterator[list[UsageRecord]], rows: int, there: int) -> None:
    """Records the calls and says now and then how many went in a second, and microseconds of our CPU for each."""
    spent = cpu_s = 0.0
    done = told = 0
    for batch in batches:
        began, cpu_began = time.perf_counter(), time.process_time()
        await _add(ledger, batch)
        spent += time.perf_counter() - began
        cpu_s += time.process_time() - cpu_began
        done += len(batch)
        if done - told >= rows / _TOLD or there + done >= rows:
            told = done
            _say(
                f"{there + done:,} calls are there; {done / spent:,.0f} rows/s with their rollups, {cpu_s / done * 1e6:.0f} us of CPU each"
            )


async def _add(ledger: SqlLedger, batch: list[UsageRecord]) -> None:
    """Tries again what took too long on a crowded machine, as the mover does."""
    while True:
        try:
            await ledger.add(batch)
        except StoreUnavailable:
            await asyncio.sleep(1)
        else:
            return


def _batches(rows: int, keys: int, size: int, there: int) -> Iterator[list[UsageRecord]]:
    """All calls in order, without the first ones: those are there."""
    draw = random.Random(1)
    holders = [
        (f"ns_{number % 20:020}", f"key_{number:020}", draw.sample(_MODELS, k=3)) for number in range(keys)
    ]
    # A few keys make most of the calls.
    weights = [1 / (number + 1) for number in range(keys)]
    step = timedelta(days=_DAYS) / rows
    batch: list[UsageRecord] = []
    for number, holder in enumerate(draw.choices(holders, weights, k=rows)):
        call = _call(draw, number, _START + step * number, holder)
        if number < there:
            continue
        batch.append(call)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _call(draw: random.Random, number: int, at: datetime, holder: tuple[str, str, Any]) -> UsageRecord:
    namespace, key_id, models = holder
    provider, model = models[draw.randrange(3)]
    latency_ms = draw.lognormvariate(6.5, 0.8)
    given, made = draw.randrange(50, 4000), draw.randrange(1, 800)
    return UsageRecord(
        record_id=f"{int(at.timestamp() * 1e6):014x}{number:016x}",
        request_id=f"req_{number:024x}",
        organization_id=_ORGANIZATION,
        namespace_id=namespace,
        key_id=key_id,
        operation=_operation(model, draw),
        provider=provider,
        model=model,
        status=draw.choice(_STATUSES),
        started_at=at,
        latency_ms=latency_ms,
        upstream_ms=latency_ms - 2,
        usage=Usage(input=given, output=made, source="provider", raw=_RAW),
        attempts=(AttemptRecord(provider=provider, model=model, outcome="ok", duration_ms=latency_ms - 2),),
        cost_microusd=given * 2 + made * 8 if draw.random() < 0.99 else None,
        price_version="genai-prices 0.2.3",
        streamed=number % 3 == 0,
    )


def _operation(model: str, draw: random.Random) -> str:
    """A model that embeds does nothing else, and one that talks sees now and then."""
    if model.endswith("0"):
        return "text_embedding"
    return "vision" if draw.random() < 0.1 else "chat"


async def _questions(ledger: SqlLedger) -> AsyncIterator[Measured]:
    whole = UsageQuery(organization_id=_ORGANIZATION, start=_START, end=_END)
    odd = replace(whole, start=_START + timedelta(hours=7, minutes=20), end=_END - timedelta(hours=3))
    last_day = replace(whole, start=_END - timedelta(days=1))
    key = replace(whole, key_id="key_" + "0" * 20)
    space = replace(whole, namespaces=(f"ns_{0:020}",))
    some = replace(whole, namespaces=tuple(f"ns_{number:020}" for number in range(5)))
    model = replace(whole, model=_MODELS[1][1])

    def ask(query: UsageQuery, *by: Dimension, with_latency: bool = False) -> Callable[[], Awaitable[Any]]:
        return lambda: add_up(ledger, query, by, with_latency=with_latency)

    def find(query: UsageQuery, code: str | None = None) -> Callable[[], Awaitable[Any]]:
        return lambda: _newest(ledger, query, code)

    asked: dict[str, Callable[[], Awaitable[Any]]] = {
        "by day": ask(whole, "day"),
        "by day, with percentiles": ask(whole, "day", with_latency=True),
        "by model, with percentiles": ask(whole, "provider", "model", with_latency=True),
        "by provider": ask(whole, "provider"),
        "by day and model": ask(whole, "day", "model"),
        "by namespace": ask(whole, "namespace_id"),
        "by namespace, with percentiles": ask(whole, "namespace_id", with_latency=True),
        "by day and namespace": ask(whole, "day", "namespace_id"),
        "by key": ask(whole, "key_id"),
        "by key, with percentiles": ask(whole, "key_id", with_latency=True),
        "errors: by status": ask(whole, "status"),
        "errors of each key: by key and status": ask(whole, "key_id", "status"),
        "one key by day, with percentiles": ask(key, "day", with_latency=True),
        "one key by model": ask(key, "model"),
        "one namespace by day": ask(space, "day"),
        "one namespace by key": ask(space, "key_id"),
        "five namespaces by model": ask(some, "model"),
        "one model by day, with percentiles": ask(model, "day", with_latency=True),
        "one model by namespace": ask(model, "namespace_id"),
        "one model by key": ask(model, "key_id"),
        "odd hours: by model, with percentiles": ask(odd, "model", with_latency=True),
        "odd hours: by namespace": ask(odd, "namespace_id"),
        "odd hours: by key": ask(odd, "key_id"),
        "odd hours: one key by model": ask(replace(odd, key_id=key.key_id), "model"),
        "the last day by hour and model": ask(last_day, "hour", "model", with_latency=True),
        "the newest 100 calls": lambda: ledger.list_records(_ORGANIZATION, limit=100),
        "the newest 50 that failed": find(replace(whole, status="error")),
        "the newest 50 of one key": find(replace(whole, key_id=f"key_{199:020}")),
        "the newest 50 with an error that is none": find(whole, "nobody-saw-it"),
    }
    for name, put in asked.items():
        found = await put()
        times = []
        spent = time.process_time()
        for _ in range(_TURNS):
            began = time.perf_counter()
            await put()
            times.append((time.perf_counter() - began) * 1000)
        cpu_ms = (time.process_time() - spent) * 1000 / _TURNS
        yield name, statistics.median(times), statistics.quantiles(times, n=20)[-1], cpu_ms, len(found)


async def _newest(ledger: SqlLedger, query: UsageQuery, code: str | None) -> Sequence[UsageRecord]:
    return (await newest_calls(ledger, query, error_code=code, limit=50)).records


def _say(line: str) -> None:
    sys.stdout.write(line + os.linesep)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
