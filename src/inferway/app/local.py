"""The embedded models of one worker: the catalogue, the files, the pool of engines, and their row."""

import asyncio
import logging
from pathlib import Path

from inferway.providers.base import Provider
from inferway.providers.local.catalogue import load_catalogue
from inferway.providers.local.lane import PoolSettings
from inferway.providers.local.pool import EnginePool, LocalEnginePool, process_engines
from inferway.providers.local.provider import make_provider
from inferway.providers.local.pull import PullReport
from inferway.providers.local.remote import RemoteEnginePool
from inferway.providers.local.shelf import Shelf
from inferway.settings import Settings

_log = logging.getLogger("inferway.models")


class LocalModels:
    """The provider `local`, or nothing when it is switched off."""

    def __init__(self, settings: Settings, engine_socket: Path | None = None) -> None:
        self._settings = settings
        self.catalogue = load_catalogue()
        self.shelf = Shelf(settings.models_dir)
        self.own = None if engine_socket else make_pool(settings)
        self.pool: EnginePool = RemoteEnginePool(engine_socket) if engine_socket else self._require_own()
        self._pulling: asyncio.Task[None] | None = None

    def rows(self) -> tuple[Provider, ...]:
        """The row `local`, if it is enabled."""
        if not self._settings.local.enabled:
            return ()
        return (make_provider(self.catalogue, self.shelf, self.pool),)

    async def start(self) -> None:
        """Begin to fetch the default models that are missing, beside everything else."""
        if self.own is not None:
            self._pulling = begin_pulls(self._settings, self.own)

    async def aclose(self) -> None:
        """Stop fetching and end the engines."""
        if self._pulling is not None:
            self._pulling.cancel()
            await asyncio.gather(self._pulling, return_exceptions=True)
        await self.pool.aclose()

    def _require_own(self) -> LocalEnginePool:
        assert self.own is not None  # noqa: S101 - made above when there is no socket
        return self.own


def make_pool(settings: Settings) -> LocalEnginePool:
    """The pool of engines that this process owns."""
    local = settings.local
    shelf = Shelf(settings.models_dir)
    chosen = PoolSettings(
        memory_mb=local.memory_mb, cold_wait_s=local.cold_wait_s, idle_s=local.idle_s, threads=local.threads
    )
    start = process_engines(shelf, chosen, python=local.python)
    return LocalEnginePool(load_catalogue(), shelf, chosen, start)


def begin_pulls(settings: Settings, pool: LocalEnginePool) -> asyncio.Task[None] | None:
    """Fetch the default models that are missing in the background; each failure is one line in the log."""
    if not (settings.local.enabled and settings.local.pull_defaults):
        return None

    async def pull() -> None:
        for report in await pool.pull_defaults():
            if isinstance(report, PullReport):
                _log.info("fetched %s", report.model)

    return asyncio.create_task(pull())
