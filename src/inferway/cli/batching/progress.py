"""Shows how far a batch is: a bar on a terminal, a line now and then elsewhere."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from inferway.cli.batching.tally import Tally, dollars
from inferway.cli.verb import Voice

_BAR_EVERY_S = 0.2


@asynccontextmanager
async def shown(tally: Tally, voice: Voice, line_every_s: float = 10.0) -> AsyncIterator[None]:
    """Shows the tally on standard error while the block runs."""
    every_s = _BAR_EVERY_S if voice.is_live else line_every_s
    with _bar(tally) if voice.is_live else _line(tally, voice) as refresh:
        task = asyncio.create_task(_repeat(refresh, every_s))
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            if voice.is_live:
                refresh()


async def _repeat(refresh: Callable[[], None], every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        refresh()


@contextmanager
def _line(tally: Tally, voice: Voice) -> Iterator[Callable[[], None]]:
    def refresh() -> None:
        total = "" if tally.total is None else f" of {tally.total}"
        voice.note(
            f"{tally.done}{total} done, {tally.failed} failed, {tally.tokens['total']} tokens, "
            f"{dollars(tally.cost_usd)}, {tally.per_s:.1f}/s"
        )

    yield refresh


@contextmanager
def _bar(tally: Tally) -> Iterator[Callable[[], None]]:
    # Only a terminal pays for the import.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns: tuple[Any, ...] = (
        BarColumn(bar_width=None),
        TextColumn("{task.fields[told]}", markup=False),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=Console(stderr=True), expand=True, auto_refresh=False) as bars:
        bar = bars.add_task("batch", total=tally.total, completed=tally.done, told="")

        def refresh() -> None:
            total = "" if tally.total is None else f"/{tally.total:,}"
            failed = f" {tally.failed:,} failed" if tally.failed else ""
            told = f"{tally.done:,}{total}{failed} {tally.tokens['total']:,} tok {dollars(tally.cost_usd)} {tally.per_s:.1f}/s"
            bars.update(bar, completed=tally.done, told=told)
            bars.refresh()

        yield refresh
