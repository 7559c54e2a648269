"""`inferway models`: the files of the local models."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import msgspec

from inferway.app.desk import ModelDesk
from inferway.cli.columns import columns
from inferway.cli.verb import Voice, examples, verb
from inferway.errors import OperatorError, UsageError
from inferway.settings import Settings


@click.group(
    short_help="List, pull, verify and remove local models.",
    epilog=examples("inferway models list", "inferway models pull smollm2", "inferway models verify"),
)
def models() -> None:
    """Models that run on this machine. Every file is pinned by its SHA-256, wherever it comes from."""


@models.command("list")
@verb()
def list_models(settings: Settings, voice: Voice) -> None:
    """List the models that can be run here, and which files are here."""
    rows = ModelDesk(settings).list()
    cells = []
    for row in rows:
        state = "being pulled" if row.pulling else row.state + (" (default)" if row.default else "")
        cells.append((row.id, row.operation, f"{row.size / 1e6:.0f} MB", row.quality, row.licence, state))
    head = ("MODEL", "OPERATION", ">SIZE", "QUALITY", "LICENCE", "STATE")
    voice.tell(
        {"results": [msgspec.to_builtins(row) for row in rows], "total": len(rows)}, columns(head, cells)
    )


@models.command()
@click.argument("names", nargs=-1, metavar="[MODEL]...")
@click.option(
    "--from", "given", type=click.Path(path_type=Path), help="A folder or file that has the model's files."
)
@verb()
def pull(settings: Settings, voice: Voice, names: tuple[str, ...], given: Path | None) -> None:
    """Fetch models; without names, the default ones."""
    desk = ModelDesk(settings)
    if given is not None and len(names) != 1:
        raise UsageError("--from needs exactly one model's name.")
    wanted = [desk.require(name) for name in names or desk.defaults()]
    reports, failures = [], []
    for model in wanted:
        with _progress(model.id, voice) as show:
            try:
                reports.append(desk.pull(model.id, show, voice.note, given))
            except OperatorError as error:
                failures.append(str(error))
                voice.note(str(error))
    results = [msgspec.to_builtins(report) for report in reports]
    lines = [f"{report.model} is here ({', '.join(_origins(report.files))})" for report in reports]
    voice.tell({"results": results, "failures": failures}, lines)
    if failures:
        raise click.exceptions.Exit(1)


@models.command()
@click.argument("name", metavar="MODEL")
@verb()
def remove(settings: Settings, voice: Voice, name: str) -> None:
    """Delete a model's files."""
    desk = ModelDesk(settings)
    model = desk.require(name).id
    freed = desk.remove(model)
    line = f"{model}: freed {freed / 1e6:.1f} MB." if freed else f"{model}: its files were not here."
    voice.tell({"model": model, "freed_bytes": freed}, [line])


@models.command(short_help="Take the hash of every file again.")
@click.argument("names", nargs=-1, metavar="[MODEL]...")
@verb()
def verify(settings: Settings, voice: Voice, names: tuple[str, ...]) -> None:
    """Take the hash of every file again; without names, of all models that are here."""
    desk = ModelDesk(settings)
    here = [each.id for each in desk.list() if each.state != "missing"]
    wanted = [desk.require(name).id for name in names] or here
    results, lines = [], []
    for model in wanted:
        for report in desk.verify(model):
            state = "ok" if report.intact else ("missing" if report.found is None else "CORRUPT")
            results.append({"model": model, **msgspec.to_builtins(report), "state": state.lower()})
            lines.append(f"{state:8} {model}/{report.name} sha256:{report.sha256}")
    voice.tell(
        {"results": results, "total": len(results)},
        lines or ["No model is here yet: `inferway models pull`."],
    )
    bad = sorted({str(each["model"]) for each in results if each["state"] != "ok"})
    if bad:
        voice.note(f"Fetch them again: inferway models pull {' '.join(bad)}")
        raise click.exceptions.Exit(1)


@contextmanager
def _progress(model: str, voice: Voice) -> Iterator[Callable[[int, int], object]]:
    """A bar on a terminal; elsewhere a line when it begins."""
    if not voice.is_live:
        voice.note(f"{model} ...")
        yield lambda *_: None
        return
    # Only a terminal pays for the import.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn  # noqa: PLC0415

    columns: tuple[Any, ...] = (
        TextColumn("{task.description:28}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        bar = bars.add_task(model, total=None)
        yield lambda done, total: bars.update(bar, completed=done, total=total)


def _origins(files: tuple[Any, ...]) -> list[str]:
    return sorted({"was here" if file.source == "present" else f"from {file.source}" for file in files})
