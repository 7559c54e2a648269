"""What observes a worker, put together from its settings: metrics, and whoever else is told how calls end."""

import asyncio
import contextlib
import os
import platform
from collections.abc import AsyncIterator, Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from msgspec.structs import replace
from starlette.applications import Starlette
from starlette.types import ASGIApp

from inferway.errors import GatewayError, OperatorError
from inferway.http.front import Answers
from inferway.http.metrics import CountedPages, Scrape, metrics_served
from inferway.http.server import listen
from inferway.http.traced import TracedCalls
from inferway.observe.board import Board
from inferway.observe.calls import CallLog
from inferway.observe.families import families
from inferway.observe.meter import CallMeter
from inferway.observe.trace import Exporter, Tracer
from inferway.observe.vitals import Sources, Vitals
from inferway.pipeline.ports import Observer
from inferway.settings import LogSettings, OtelSettings, Settings
from inferway.types import Parameters
from inferway.usage.records import UsageRecord

_HANDED_ON = ("service_name", "traces", "metrics", "sample_ratio", "metrics_every_s", "timeout_s", "ca_file")
_WITHIN_S = 0.05
_TOGETHER = 64


class Watching:
    """The observers of one worker; all None when everything is switched off. `address_of` tells a provider's base URL.

    Raises `OperatorError` when the data folder cannot hold the metrics, or when an extra is missing.
    """

    def __init__(self, settings: Settings, address_of: Callable[[str], str | None]) -> None:
        self._families = families()
        self._board: Board | None = None
        self._meter: CallMeter | None = None
        self._counting: Later | None = None
        self._vitals: Vitals | None = None
        self._looking: asyncio.Task[None] | None = None
        self._settings = settings
        self._calls = CallLog(settings.log.format) if _logs_calls(settings.log) else None
        self._tracer = _tracer(settings.otel, address_of)
        if settings.metrics.enabled:
            self._board = Board.open(_folder(settings), self._families.all())
            self._meter = CallMeter(self._board, self._families, models_max=settings.metrics.models_max)
            self._counting = Later(self._meter)

    @property
    def observer(self) -> Observer | None:
        """Who is told how each call ends; None: nobody."""
        all_of_them = tuple(each for each in (self._counting, self._calls, self._tracer) if each is not None)
        return Several(all_of_them) if len(all_of_them) > 1 else next(iter(all_of_them), None)

    @property
    def dropped(self) -> int:
        """Calls that no trace could be sent for."""
        return 0 if self._tracer is None else self._tracer.dropped

    def traced(self, route: str, inner: Answers) -> Answers:
        """A route of inference, under traces if there are any."""
        return inner if self._tracer is None else TracedCalls(route, inner, self._tracer)

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
        if self._counting is not None:
            self._counting.tell()
        if self._vitals is not None:
            self._vitals.look()
        return scrape_of(self._settings)(accept)

    def start(self, sources: Sources) -> None:
        """Begin to look at the worker itself, and to send."""
        if self._counting is not None:
            self._counting.running = sources.running
        if self._tracer is not None:
            self._tracer.start()
        if self._board is not None:
            tracer = self._tracer
            if tracer is not None:
                sources = replace(sources, undelivered=lambda: tracer.dropped)
            self._vitals = Vitals(self._board, self._families, sources)
            self._looking = asyncio.create_task(self._vitals.run())

    async def aclose(self) -> None:
        """Calls have ended."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        if self._counting is not None:
            self._counting.tell()
        if self._calls is not None:
            await self._calls.aclose()
        if self._tracer is not None:
            await asyncio.to_thread(self._tracer.close)
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


class Later:
    """Tells an observer of calls after their answers have left, some calls together: what it does is cheap when it does it in a row.

    While other calls are `running`, it learns of one within `_WITHIN_S` seconds; else in the loop's next turn, and at once by `tell`.
    """

    def __init__(self, observer: Observer) -> None:
        self.running: Callable[[], int] = lambda: 0
        self._observer = observer
        self._ended: list[tuple[UsageRecord, Parameters]] = []
        self._is_due = False

    def ended(self, record: UsageRecord, parameters: Parameters) -> None:
        """See `Observer`."""
        self._ended.append((record, parameters))
        if len(self._ended) >= _TOGETHER or not self.running():
            asyncio.get_running_loop().call_soon(self.tell)
        elif not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_later(_WITHIN_S, self._tell_due)

    def tell(self) -> None:
        """Tells what was not told yet."""
        ended, self._ended = self._ended, []
        for record, parameters in ended:
            self._observer.ended(record, parameters)

    def _tell_due(self) -> None:
        self._is_due = False
        self.tell()


class Several:
    """Observers side by side."""

    def __init__(self, observers: tuple[Observer, ...]) -> None:
        self._observers = observers

    def ended(self, record: UsageRecord, parameters: Parameters) -> None:
        """See `Observer`."""
        for observer in self._observers:
            observer.ended(record, parameters)


def _logs_calls(log: LogSettings) -> bool:
    wanted = log.format == "json" if log.calls is None else log.calls
    return wanted and log.level in ("debug", "info")


def _tracer(otel: OtelSettings, address_of: Callable[[str], str | None]) -> Tracer | None:
    if otel.endpoint is None:
        return None
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.exporter") is None:
        raise OperatorError("otel.endpoint needs the extra: pip install 'inferway[otel]'.")
    return Tracer(partial(_exporter, otel, address_of))


def _exporter(otel: OtelSettings, address_of: Callable[[str], str | None]) -> Exporter:
    """Reads the library, which takes a while: called in the thread that sends."""
    from inferway.observe.otlp import Destination, OtlpExporter  # noqa: PLC0415 - an extra

    assert otel.endpoint is not None  # noqa: S101 - there is no tracer without one
    destination = Destination(
        endpoint=otel.endpoint,
        headers={name: value.reveal() for name, value in otel.headers.items()},
        instance=f"{platform.node()}:{os.getpid()}",
        **{name: getattr(otel, name) for name in _HANDED_ON},
    )
    return OtlpExporter(destination, address_of)


def _folder(settings: Settings) -> Path:
    return settings.data_dir / "metrics"
