"""What observes a worker, put together from its settings: metrics, and whoever else is told how calls end."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.applications import Starlette
from starlette.types import ASGIApp

from inferway.errors import GatewayError
from inferway.http.metrics import CountedPages, Scrape, metrics_served
from inferway.http.server import listen
from inferway.observe.board import Board
from inferway.observe.families import families
from inferway.observe.meter import CallMeter
from inferway.observe.vitals import Sources, Vitals
from inferway.pipeline.ports import Observer
from inferway.settings import Settings


class Watching:
    """The observers of one worker; all None when everything is switched off.

    Raises `OperatorError` when the data folder cannot hold the metrics.
    """

    def __init__(self, settings: Settings) -> None:
        self._families = families()
        self._board: Board | None = None
        self._meter: CallMeter | None = None
        self._vitals: Vitals | None = None
        self._looking: asyncio.Task[None] | None = None
        self._settings = settings
        if settings.metrics.enabled:
            self._board = Board.open(_folder(settings), self._families.all())
            self._meter = CallMeter(self._board, self._families, models_max=settings.metrics.models_max)

    @property
    def observer(self) -> Observer | None:
        """Who is told how each call ends; None: nobody."""
        return self._meter

    def counted(self, pages: Starlette) -> ASGIApp:
        """The routes beside inference, with their requests counted."""
        return pages if self._meter is None else CountedPages(pages, self._meter.served)

    def note_error(self, error: GatewayError) -> None:
        """An error that the inference route answers with."""
        if self._meter is not None:
            self._meter.answered_error(error.status, error.type, error.code)

    @property
    def scrape(self) -> Scrape | None:
        """Makes the page of metrics of all workers."""
        return None if self._board is None else self._scrape

    def _scrape(self, accept: str) -> tuple[str, bytes]:
        if self._vitals is not None:
            self._vitals.look()
        return scrape_of(self._settings)(accept)

    def start(self, sources: Sources) -> None:
        """Begin to look at the worker itself."""
        if self._board is not None:
            self._vitals = Vitals(self._board, self._families, sources)
            self._looking = asyncio.create_task(self._vitals.run())

    async def aclose(self) -> None:
        """Calls have ended."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        if self._vitals is not None:
            self._vitals.look()
        if self._board is not None:
            self._board.close()


def scrape_of(settings: Settings) -> Scrape:
    """Makes the page of metrics of a data folder's workers, in whatever process."""
    folder = _folder(settings)

    def scrape(accept: str) -> tuple[str, bytes]:
        # The library is read at the first scrape: most processes are never scraped.
        from inferway.observe.exposition import scrape as scrape_folder  # noqa: PLC0415 - see above

        return scrape_folder(folder, accept)

    return scrape


@contextlib.asynccontextmanager
async def metrics_port(settings: Settings) -> AsyncIterator[None]:
    """Serves the metrics on the port of their own, if there is to be one; raises `ListenError`."""
    metrics = settings.metrics
    if not metrics.enabled or metrics.port is None:
        yield
        return
    with listen(metrics.bind, metrics.port) as bound:
        async with metrics_served(bound, scrape_of(settings)):
            yield


def _folder(settings: Settings) -> Path:
    return settings.data_dir / "metrics"
