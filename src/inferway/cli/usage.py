"""`inferway usage`: what was used and what it cost, from the data folder's own ledger."""

import asyncio
import csv
import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, TextIO, cast

import click
import msgspec
from msgspec.structs import replace

from inferway.app.desk import Office, open_office
from inferway.app.pricing import make_prices
from inferway.cli.columns import columns
from inferway.cli.keys import require_key
from inferway.cli.verb import Voice, examples, verb
from inferway.errors import OperatorError, UsageError
from inferway.settings import Settings
from inferway.usage.queries import Dimension, UsageQuery
from inferway.usage.reconcile import FIELDS, Count, Difference, Key, compare, count_rows, read_rows
from inferway.usage.records import UsageRecord
from inferway.usage.reports import add_up, shown, total_of
from inferway.usage.reprice import Moved, pages, replay

_BY = {"key": "key_id", "namespace": "namespace_id"}
_DIMENSIONS = ("day", "hour", "provider", "model", "operation", "status", "key", "namespace")
_DAYS = 30
_MICRO = 1_000_000
Function = Callable[..., Any]


@click.group(
    short_help="Show, export, reconcile and reprice what was used.",
    epilog=examples(
        "inferway usage show --by day --by model",
        "inferway usage show --from 2030-01-01 --to 2030-01-31 --key laptop",
        "inferway usage export --format jsonl --output january.jsonl --from 2030-01-01 --to 2030-01-31",
        "inferway usage reconcile openai-export.csv",
        "inferway usage reprice --model gpt-5.4-mini",
    ),
)
def usage() -> None:
    """The ledger: one row for each call, and sums by hour and day."""


def _picks(function: Function) -> Function:
    """The options that pick calls."""
    options = (
        click.option(
            "--from",
            "first",
            metavar="DAY",
            help="First day (UTC), such as 2030-01-31.  [default: 30 days ago]",
        ),
        click.option("--to", "last", metavar="DAY", help="Last day, which is included.  [default: today]"),
        click.option("--provider", help="Only this provider."),
        click.option("--model", help="Only this model."),
        click.option("--key", "key_name", metavar="KEY", help="Only this key, by id or name."),
        click.option("--namespace", metavar="NAME", help="Only this namespace, by id or name."),
    )
    for option in reversed(options):
        function = option(function)
    return function


@usage.command()
@_picks
@click.option(
    "--by",
    "dimensions",
    multiple=True,
    type=click.Choice(_DIMENSIONS),
    help="What to add up by; repeatable.  [default: provider and model]",
)
@verb()
def show(settings: Settings, voice: Voice, dimensions: tuple[str, ...], **picks: Any) -> None:
    """Show sums, from the rollups: quick however many calls there were."""
    names = dimensions or ("provider", "model")
    by = cast("tuple[Dimension, ...]", tuple(_BY.get(name, name) for name in names))

    async def work() -> tuple[UsageQuery, list[dict[str, Any]], dict[str, Any]]:
        async with open_office(settings) as books:
            query = await _query(books, **picks)
            groups = await add_up(books.ledger, query, by, with_latency=True)
            return query, [shown(each, by) for each in groups], shown(total_of(groups))

    query, rows, total = asyncio.run(work())
    voice.tell(
        {"start": query.start, "end": query.end, "results": rows, "total": total},
        _table([*rows, {**dict.fromkeys(by, ""), by[0]: "all", **total}], by),
    )


@usage.command(short_help="Write every call as CSV or JSON lines.")
@_picks
@click.option(
    "--format",
    "form",
    type=click.Choice(("csv", "jsonl")),
    default="csv",
    show_default=True,
    help="How a line is written.",
)
@click.option(
    "--attempts", is_flag=True, help="A line for each attempt of a call instead of one for the call."
)
@click.option(
    "--output", type=click.Path(path_type=Path), help="Write to this file instead of standard output."
)
@verb()
def export(
    settings: Settings, voice: Voice, form: str, output: Path | None, *, attempts: bool, **picks: Any
) -> None:
    """Write every call with all that is known of it, as CSV or JSON lines, some at a time. `--json` is JSON lines."""

    async def work(opened: TextIO) -> int:
        async with open_office(settings) as books:
            write = _writer(opened, is_csv=form == "csv" and not voice.as_json)
            count = 0
            async for page in pages(books.ledger, await _query(books, **picks)):
                for record in page:
                    for row in _attempt_rows(record) if attempts else (_row(record),):
                        write(row)
                        count += 1
            return count

    if output is None:
        asyncio.run(work(sys.stdout))
        return
    with output.open("w", encoding="utf-8", newline="") as opened:
        count = asyncio.run(work(opened))
    voice.tell({"lines": count, "file": str(output)}, [])
    voice.note(f"{count} lines in {output}")


@usage.command(short_help="Compare a provider's usage export with the ledger.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_picks
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="FIELD=NAME",
    help=f"Which column holds what: {', '.join(FIELDS)}. A dotted name looks into objects. Usual names are guessed.",
)
@click.option(
    "--cost-unit",
    "unit",
    type=click.Choice(("usd", "cents", "microusd")),
    default="usd",
    show_default=True,
    help="What the costs of FILE are in.",
)
@click.option(
    "--tolerance", type=float, default=1.0, show_default=True, help="Percent that the two may be apart."
)
@verb()
def reconcile(
    settings: Settings,
    voice: Voice,
    file: Path,
    columns: tuple[str, ...],
    unit: Any,
    tolerance: float,
    **picks: Any,
) -> None:
    """Compare a provider's usage export (CSV, JSON or JSON lines) with the ledger, by day and model.

    Without --from and --to the days are those of the export. Exit status 1 when something is further apart than the tolerance.
    """
    theirs = count_rows(read_rows(file.read_text("utf-8")), _columns(columns), unit)
    if not theirs:
        raise OperatorError(
            f"{file}: no rows. Give a CSV, JSON or JSON lines with a date, a model and counts, and say with --column which is which."
        )
    days = sorted(day for day, _ in theirs)
    picks["first"] = picks["first"] or days[0].isoformat()
    picks["last"] = picks["last"] or days[-1].isoformat()

    async def work() -> list[Difference]:
        async with open_office(settings) as books:
            query = await _query(books, **picks)
            groups = await add_up(books.ledger, query, ("day", "model"))
            within = {
                key: count
                for key, count in theirs.items()
                if query.start.date() <= key[0] < query.end.date() and picks["model"] in (None, key[1])
            }
            return compare(_counted([shown(each, ("day", "model")) for each in groups]), within)

    found = asyncio.run(work())
    rows = [_difference(each, tolerance / 100) for each in found]
    apart = sum(row["differs"] for row in rows)
    voice.tell({"results": rows, "differing": apart}, _difference_lines(rows))
    if apart:
        raise click.exceptions.Exit(1)


@usage.command(short_help="Replay what calls cost with the prices of now.")
@_picks
@click.option("--apply", is_flag=True, help="Write the new costs; without it nothing is changed.")
@verb()
def reprice(settings: Settings, voice: Voice, *, apply: bool, **picks: Any) -> None:
    """Replay what calls cost with the prices of now (the settings' and the shipped table's) and show what moves."""

    async def work() -> dict[tuple[str, str], Moved]:
        async with open_office(settings) as books:
            return await replay(
                books.ledger, await _query(books, **picks), make_prices(settings), apply=apply
            )

    moved = asyncio.run(work())
    rows = [{"provider": key[0], "model": key[1], **_moved(of)} for key, of in sorted(moved.items())]
    changed = sum(row["changed"] for row in rows)
    voice.tell({"applied": apply, "results": rows, "changed": changed}, _moved_lines(rows))
    if changed and not apply:
        voice.note("Nothing was changed. Say --apply to write it.")


async def _query(
    books: Office,
    first: str | None,
    last: str | None,
    key_name: str | None,
    namespace: str | None,
    **picks: Any,
) -> UsageQuery:
    today = datetime.now(UTC).date()
    end = _day("--to", last) if last else today
    start = _day("--from", first) if first else end - timedelta(days=_DAYS)
    if start > end:
        raise UsageError("--from lies behind --to.")
    query = UsageQuery(
        organization_id=books.organization_id,
        start=datetime.combine(start, time(), UTC),
        end=datetime.combine(end, time(), UTC) + timedelta(days=1),
        **picks,
    )
    if key_name is not None:
        found = await require_key(books.directory, books.organization_id, key_name)
        query = replace(query, key_id=found.key_id)
    if namespace is not None:
        known = await books.directory.find_namespace(books.organization_id, namespace)
        # What was used in a namespace that is gone is found by its id. No name begins like one.
        if known is None and not namespace.startswith("ns_"):
            raise OperatorError(f"There is no namespace {namespace}. See: inferway namespace list")
        query = replace(query, namespaces=(namespace if known is None else known.namespace_id,))
    return query


def _day(option: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option} {text}: a day such as 2030-01-31.") from None


def _columns(given: tuple[str, ...]) -> dict[str, str]:
    found = dict(each.partition("=")[::2] for each in given)
    for field, name in found.items():
        if field not in FIELDS or not name:
            raise UsageError(f"--column {field}={name}: say one of {', '.join(FIELDS)}, and a column's name.")
    return found


def _table(rows: list[dict[str, Any]], by: tuple[str, ...]) -> Iterator[str]:
    head = (">CALLS", ">ERRORS", ">TOKENS", ">COST $", ">UNPRICED", ">P50 MS", ">P99 MS")
    cells = []
    for row in rows:
        latencies = (row["latency_ms"].get(name) for name in ("p50", "p99"))
        cells.append(
            [
                *(_cell(row[name]) for name in by),
                *(
                    row["calls"],
                    row["errors"],
                    row["tokens"]["total"],
                    f"{row['cost_usd']:.6f}",
                    row["unpriced_calls"],
                ),
                *(None if each is None else f"{each:.0f}" for each in latencies),
            ]
        )
    return columns((*(name.upper() for name in by), *head), cells)


def _cell(value: object) -> str:
    return f"{value:%Y-%m-%d %H:%M}".removesuffix(" 00:00") if isinstance(value, datetime) else str(value)


def _writer(opened: TextIO, *, is_csv: bool) -> Callable[[dict[str, Any]], None]:
    if not is_csv:
        return lambda row: _drop(opened.write(json.dumps(row, ensure_ascii=False) + "\n"))
    written = csv.writer(opened)
    is_begun = False

    def write(row: dict[str, Any]) -> None:
        nonlocal is_begun
        if not is_begun:
            written.writerow(row)
            is_begun = True
        written.writerow(
            [
                json.dumps(each, ensure_ascii=False) if isinstance(each, list | dict) else each
                for each in row.values()
            ]
        )

    return write


def _row(record: UsageRecord) -> dict[str, Any]:
    """All that is known of a call; meters have columns of their own, and the provider's raw usage is its text."""
    fields: dict[str, Any] = msgspec.structs.asdict(record)
    meters = msgspec.structs.asdict(fields.pop("usage"))
    raw = meters.pop("raw")
    fields.pop("attempts")
    return {
        **fields,
        "started_at": record.started_at.isoformat(),
        **{("usage_source" if name == "source" else name): value for name, value in meters.items()},
        "usage_raw": None if raw is None else raw.decode("utf-8", "replace"),
        "attempts": [_attempt(each) for each in record.itemized()],
    }


def _attempt_rows(record: UsageRecord) -> Iterator[dict[str, Any]]:
    shared = ("record_id", "request_id", "organization_id", "namespace_id", "key_id", "operation")
    for number, attempt in enumerate(record.itemized(), 1):
        yield {name: getattr(record, name) for name in shared} | {
            "started_at": (record.started_at + timedelta(milliseconds=attempt.started_ms)).isoformat(),
            "attempt": number,
            **_attempt(attempt),
        }


def _attempt(attempt: Any) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.structs.asdict(attempt)
    used = fields.pop("usage")
    meters = {} if used is None else msgspec.structs.asdict(used)
    meters.pop("raw", None)
    names = (
        name
        for name in ("input", "cached_read", "cache_write", "output", "reasoning", "audio_input", "audio_ms")
    )
    told = {name: meters.get(name) for name in (*names, "images", "vectors", "characters")}
    return {**fields, **told, "usage_source": meters.get("source")}


def _counted(rows: list[dict[str, Any]]) -> dict[Key, Count]:
    return {
        (row["day"].date(), row["model"]): Count(
            calls=row["calls"], tokens=row["tokens"]["total"], microusd=row["cost_microusd"]
        )
        for row in rows
    }


def _difference(each: Difference, tolerance: float) -> dict[str, Any]:
    told: dict[str, Any] = {"day": each.day.isoformat(), "model": each.model}
    for name in Count.__struct_fields__:
        ours, theirs = getattr(each.ours, name), getattr(each.theirs, name)
        apart = None if ours is None or theirs is None else ours - theirs
        told |= {f"{name}_ours": ours, f"{name}_theirs": theirs, f"{name}_difference": apart}
    return {**told, "differs": each.differs(tolerance)}


def _difference_lines(rows: list[dict[str, Any]]) -> Iterator[str]:
    head = (" ", "DAY", "MODEL", ">TOKENS HERE", ">THERE", ">COST HERE $", ">THERE $")
    cells = []
    for row in rows:
        told = [_known(row[f"tokens_{side}"]) for side in ("ours", "theirs")]
        told += [_usd(row[f"microusd_{side}"]) for side in ("ours", "theirs")]
        cells.append(["!" if row["differs"] else " ", row["day"], row["model"], *told])
    return columns(head, cells)


def _moved(of: Moved) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.structs.asdict(of)
    return {
        **told,
        "was_usd": of.was_microusd / _MICRO,
        "now_usd": of.now_microusd / _MICRO,
        "difference_usd": (of.now_microusd - of.was_microusd) / _MICRO,
    }


def _moved_lines(rows: list[dict[str, Any]]) -> Iterator[str]:
    head = ("PROVIDER", "MODEL", ">CALLS", ">CHANGED", ">WAS $", ">NOW $", ">UNPRICED")
    cells = []
    for row in rows:
        costs = (f"{row[name]:.6f}" for name in ("was_usd", "now_usd"))
        unpriced = f"{row['was_unpriced']} to {row['now_unpriced']}"
        cells.append([row["provider"], row["model"], row["calls"], row["changed"], *costs, unpriced])
    return columns(head, cells)


def _usd(microusd: int | None) -> str:
    return "-" if microusd is None else f"{microusd / _MICRO:.6f}"


def _known(count: int | None) -> str:
    return "-" if count is None else str(count)


def _drop(value: object) -> None:
    """Says that a write's answer is of no interest."""
    del value
