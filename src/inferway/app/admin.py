"""The administration of one worker: its routes, and the looks at whether every part is well."""

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct
from starlette.routing import BaseRoute

from inferway.access.administration import Administration
from inferway.access.directory import Directory
from inferway.access.gate import Gate
from inferway.access.keyring import open_ring
from inferway.access.sessions import Sessions
from inferway.access.vault import Vault
from inferway.app.limits import terms_of
from inferway.cache.contents import Contents
from inferway.errors import BadRequest
from inferway.http.admin.credentials import FindCircuits
from inferway.http.admin.endpoint import Endpoint
from inferway.http.admin.health import Probe
from inferway.http.admin.metrics import MetricsRoutes
from inferway.http.admin.spend import CountsSpend
from inferway.http.admin.table import AdminParts, endpoints_of
from inferway.http.metrics import Scrape
from inferway.http.strangers import Doorkeeper
from inferway.pipeline.checking import CredentialChecks
from inferway.pipeline.lending import host_of
from inferway.pipeline.recall import Recall
from inferway.providers.registry import Registry
from inferway.settings import Settings
from inferway.store.work import SqlDatabase, check_reads, check_writes
from inferway.usage.ledger import Ledger

_FREE_BYTES = 64 * 1024 * 1024


class Books(Struct, frozen=True, kw_only=True):
    """What is stored, for those who administer."""

    directory: Directory
    ledger: Ledger
    contents: Contents


class Watched(Struct, frozen=True, kw_only=True):
    """What those who administer may look at while calls run."""

    circuits: FindCircuits
    spending: CountsSpend
    scrape: Scrape | None = None


class AdminOffice:
    """The administration of one worker."""

    def __init__(
        self,
        settings: Settings,
        books: Books,
        gate: Gate,
        registry: Registry,
        watched: Watched,
    ) -> None:
        directory = books.directory
        self._directory, self._ledger = directory, books.ledger
        self._gate, self._registry, self._watched = gate, registry, watched
        self._per_minute = terms_of(settings.limits).per_minute
        self.administration = Administration(directory, gate.forget)
        ring = open_ring(settings.secrets_key_file, settings.secrets_key)
        self.vault = Vault(directory, ring, gate.forget)
        self.recall = Recall(books.contents, ring)
        chosen = settings.dashboard
        self.sessions = Sessions(
            directory,
            self.administration,
            ring,
            lives_s=chosen.session_hours * 3600,
            link_minutes=chosen.link_minutes,
        )

    def endpoints(self, probes: dict[str, Probe]) -> tuple[Endpoint, ...]:
        """Every route, with what it needs."""
        parts = AdminParts(
            directory=self._directory,
            ledger=self._ledger,
            administration=self.administration,
            sessions=self.sessions,
            vault=self.vault,
            checks=CredentialChecks(self.vault),
            circuits=self._watched.circuits,
            spending=self._watched.spending,
            recall=self.recall,
            find_host=self._find_host,
            providers=self._registry,
            probes=probes,
            per_minute=self._per_minute,
        )
        scrape = self._watched.scrape
        metrics = () if scrape is None else MetricsRoutes(scrape, self._first_organization).endpoints()
        return (*endpoints_of(parts), *metrics)

    def routes(self, probes: dict[str, Probe], doorkeeper: Doorkeeper) -> list[BaseRoute]:
        """The routes, for the application."""
        endpoints = self.endpoints(probes)
        plain = frozenset(endpoint.path for endpoint in endpoints if "{" not in endpoint.path)
        return [endpoint.route(self._gate, doorkeeper, plain) for endpoint in endpoints]

    async def _first_organization(self) -> str:
        return (await self._directory.list_organizations())[0].organization_id

    def _find_host(self, name: str) -> tuple[str, str | None] | None:
        try:
            provider = self._registry.get(name)
        except BadRequest:
            return None
        return provider.name, host_of(provider)


class Probes:
    """Looks at the parts of one worker that play the roles of the deep health check.

    `cache`: what the gate remembers of keys is fresh. `metadata`: the database answers. `vector_store`: the database takes writes, where
    vectors are to be kept. `object_storage`: the data folder can be written and has room. `task_queue`: usage moves from the journal to the
    database, and its backlog is within bounds. `inference`: at least one provider can be called: it has a credential or is in this process,
    and its circuit is not open.
    """

    def __init__(
        self,
        settings: Settings,
        database: SqlDatabase,
        gate: Gate,
        registry: Registry,
        queue: Callable[[], bool],
        left_alone: Callable[[], frozenset[str]] = frozenset,
    ) -> None:
        self._settings, self._database, self._gate = settings, database, gate
        self._registry, self._queue = registry, queue
        self._left_alone = left_alone

    def all(self) -> dict[str, Probe]:
        """A probe for each role."""
        return {
            "cache": self._cache,
            "metadata": self._metadata,
            "vector_store": self._vectors,
            "object_storage": self._objects,
            "task_queue": self._tasks,
            "inference": self._inference,
        }

    async def _cache(self) -> str | None:
        return None if self._gate.is_fresh else "what is remembered of keys is too old"

    async def _metadata(self) -> str | None:
        await check_reads(self._database)
        return None

    async def _vectors(self) -> str | None:
        await check_writes(self._database)
        return None

    async def _objects(self) -> str | None:
        return await asyncio.to_thread(_folder_fault, self._settings.data_dir)

    async def _tasks(self) -> str | None:
        return None if self._queue() else "usage is not moved to the database"

    async def _inference(self) -> str | None:
        rows = self._registry.rows()
        able = [row.name for row in rows if row.credential is not None or row.address is None]
        if not able:
            return "no provider has a credential"
        return None if set(able) - self._left_alone() else "every provider is left alone after failures"


def _folder_fault(folder: Path) -> str | None:
    if not os.access(folder, os.W_OK | os.X_OK):
        return "the data folder cannot be written"
    return None if shutil.disk_usage(folder).free >= _FREE_BYTES else "the disk is full"
