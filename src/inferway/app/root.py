"""One worker, put together from its settings."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

from starlette.applications import Starlette

from inferway.access.directory import Directory
from inferway.access.gate import Gate
from inferway.app.admin import AdminOffice, Books, Probes, Watched
from inferway.app.dashboard import dashboard_routes
from inferway.app.keeping import make_keeping
from inferway.app.limits import Limits as CallLimits
from inferway.app.local import LocalModels
from inferway.app.once import make_once
from inferway.app.pricing import make_prices
from inferway.app.resilience import breakers, left_alone, make_attempts, make_lines, open_circuits
from inferway.app.rows import build_rows
from inferway.app.sharing import open_fellows, start_sharing
from inferway.app.stores import Store
from inferway.app.watching import Watching
from inferway.http.exchange import Exchange
from inferway.http.front import INFERENCE_PATH, AsgiAnswers, Front, pages_app
from inferway.http.inference import InferenceEndpoint
from inferway.http.openapi.description import Description
from inferway.http.pages import Pages
from inferway.http.strangers import Doorkeeper
from inferway.http.wire import Receive, Scope, Send
from inferway.media.loader import MediaLoader
from inferway.media.policy import MediaSettings as MediaPolicy
from inferway.observe.vitals import Sources
from inferway.pipeline.flights import Flights
from inferway.pipeline.keeping import Keeping
from inferway.pipeline.life import Bounds, Parts, Pipeline
from inferway.pipeline.once import Once
from inferway.pipeline.units import Units
from inferway.providers.registry import Registry
from inferway.providers.transport import HttpTransport, Limits
from inferway.resilience.adaptive import Valve
from inferway.resilience.memory import MemoryWatch
from inferway.settings import Settings
from inferway.usage.drain import Drain
from inferway.usage.journal import Journal
from inferway.usage.retention import Kept, Retention

_MIB = 1024 * 1024


def create(settings: Settings, engine_socket: Path | None = None) -> "Inferway":
    """The ASGI application of one worker; what a server process calls first.

    `engine_socket` is where another process offers the machine's pool of local engines; None: this worker has a pool of its own.
    Raises `StoreError` when the data folder or its database cannot be used.
    """
    return Inferway(settings, engine_socket)


class Inferway:
    """One worker: an ASGI application whose lifespan starts and stops its parts."""

    def __init__(self, settings: Settings, engine_socket: Path | None = None) -> None:
        self.settings = settings
        self.is_ready = False
        self.store = Store(settings)
        self.database, self.directory, self.ledger = (
            self.store.database,
            self.store.directory,
            self.store.ledger,
        )
        self.gate = _gate(settings, self.directory)
        self.limits = CallLimits(settings, self.ledger)
        self.circuits = open_circuits(settings)
        self.lines = make_lines(settings.calls, self.circuits)
        self.transport = HttpTransport(limits=_limits(settings))
        self.media = MediaLoader(_media_policy(settings))
        self.local = LocalModels(settings, engine_socket)
        self.registry = Registry([*self.local.rows(), *build_rows(settings, self.transport)])
        self.watching = Watching(settings, lambda provider: self.registry.get(provider).address)
        books = Books(directory=self.directory, ledger=self.ledger, contents=self.store.contents)
        watched = Watched(
            circuits=lambda: breakers(self.lines), spending=self.limits.spending, scrape=self.watching.scrape
        )
        self.office = AdminOffice(settings, books, self.gate, self.registry, watched)
        self.valve = Valve(
            calls_max=settings.server.calls_max, is_full=MemoryWatch(settings.server.memory_max_mb).is_full
        )
        self.fellows = open_fellows(settings)
        self.units = Units(make_attempts(settings.calls, self.lines), settings.calls.prompt_concurrency)
        self.flights = Flights(self.units, self.fellows)
        self._front = self._unstarted()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, or run the lifespan."""
        await self._front(scope, receive, send)

    def infer(self, exchange: Exchange) -> Coroutine[Any, Any, None]:
        """Answer one inference request that came without ASGI."""
        return self._front.infer(exchange)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Everything started; on the way out calls have ended, and what they used is in the ledger."""
        settings = self.settings
        await self.store.begin()
        journal = _journal(settings)
        drain = Drain(journal, self.ledger, every_s=settings.journal.drain_s)
        draining = asyncio.create_task(drain.run())
        content = make_keeping(settings, self.store.contents, self.directory)
        self.watching.start(
            Sources(
                running=lambda: journal.open_intents,
                backlog_bytes=lambda: journal.pending_bytes,
                breakers=lambda: breakers(self.lines),
                shed=lambda: self.valve.refused,
                unkept=lambda: content.dropped,
            )
        )
        keeping = asyncio.create_task(self.limits.keeper.run())
        await self.local.start()
        once = make_once(settings, self.store.kept, journal, self.watching.observer)
        tending = asyncio.create_task(once.run())
        sweeping = asyncio.create_task(Retention(self.ledger, _kept(settings)).run())
        writing = asyncio.create_task(content.run())
        await start_sharing(self.fellows, self.flights)
        self._front = self._started(journal, draining, once, content)
        self.is_ready = True
        try:
            yield
        finally:
            self.is_ready = False
            beside = (draining, keeping, tending, sweeping, writing)
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            await self.flights.aclose()
            if self.fellows is not None:
                await self.fellows.aclose()
            await self.local.aclose()
            await self.transport.aclose()
            await once.aclose()
            await content.aclose()
            await drain.aclose()
            await self.watching.aclose()
            await journal.aclose()
            await self.gate.aclose()
            self.media.close()
            await self.limits.aclose()
            self.circuits.close()
            await self.store.aclose()

    def _can_serve(self) -> bool:
        return self.is_ready and self.store.is_open

    def _unstarted(self) -> Front:
        """What there is before the lifespan began: the lifespan itself."""

        @contextlib.asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            async with self.running():
                yield

        pages = pages_app(Pages(self._can_serve).routes(), lifespan)
        return Front(inference=None, pages=pages)

    def _started(
        self, journal: Journal, draining: "asyncio.Task[None]", once: Once, content: Keeping
    ) -> Front:
        settings = self.settings
        doorkeeper = Doorkeeper(self.limits.strangers, settings.server.trusted_proxies)
        endpoint = InferenceEndpoint(
            gate=self.gate,
            pipeline=self._pipeline(journal, content),
            body_max_bytes=settings.server.body_max_mb * _MIB,
            on_error=self.watching.note_error,
            once=once,
            doorkeeper=doorkeeper,
        )
        probes = Probes(
            settings,
            self.database,
            self.gate,
            self.registry,
            lambda: not draining.done() and journal.pending_bytes <= settings.journal.backlog_max_mb * _MIB,
            lambda: left_alone(self.lines),
        )
        inference = self.watching.traced(INFERENCE_PATH, endpoint)
        open_pages = Pages(self._can_serve)
        described = Description(self.office.endpoints(probes.all()), open_pages.table())
        routes = [
            *open_pages.routes(),
            *described.routes(),
            *self.office.routes(probes.all(), doorkeeper),
        ]
        ways = (pages_app(routes), AsgiAnswers(inference), doorkeeper, described)
        # First, as the first page answers browsers where a program gets the index.
        shown = dashboard_routes(settings, self.office, self.gate, self.limits, ways)
        pages = self.watching.counted(pages_app([*shown, *routes]))
        return Front(inference=inference, pages=pages, allowed_hosts=settings.server.allowed_hosts)

    def _pipeline(self, journal: Journal, content: Keeping) -> Pipeline:
        calls = self.settings.calls
        parts = Parts(
            registry=self.registry,
            units=self.units,
            flights=self.flights if calls.coalesce else None,
            media=self.media,
            admission=self.limits.admission,
            ledger=journal,
            pricer=make_prices(self.settings),
            lender=self.office.vault,
            observer=self.watching.observer,
            content=content,
        )
        bounds = Bounds(
            timeout_s=calls.timeout_s,
            prompts_max=calls.prompts_max,
            texts_max=calls.texts_max,
            prompt_concurrency=calls.prompt_concurrency,
            answer_tokens=self.settings.limits.max_output_tokens,
        )
        return Pipeline(parts, bounds)


def _gate(settings: Settings, directory: Directory) -> Gate:
    access = settings.access
    return Gate(
        directory, cached_keys=access.cached_keys, refresh_s=access.refresh_s, grace_s=access.outage_grace_s
    )


def _kept(settings: Settings) -> Kept:
    """The section `[usage]`, field for field."""
    return Kept(**{name: getattr(settings.usage, name) for name in Kept.__struct_fields__})


def _journal(settings: Settings) -> Journal:
    chosen = settings.journal
    return Journal(
        settings.data_dir / "journal",
        durability=chosen.durability,
        file_bytes=chosen.file_mb * _MIB,
        backlog_bytes=chosen.backlog_max_mb * _MIB,
    )


def _limits(settings: Settings) -> Limits:
    calls = settings.calls
    return Limits(connect_timeout_s=calls.connect_timeout_s, body_bytes=calls.answer_max_mb * _MIB)


def _media_policy(settings: Settings) -> MediaPolicy:
    """The section `[media]`, field for field."""
    chosen = settings.media
    return MediaPolicy(**{name: getattr(chosen, name) for name in MediaPolicy.__struct_fields__})
