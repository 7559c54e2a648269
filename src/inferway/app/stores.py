"""The store that the settings name: a file of the data folder, or a PostgreSQL database."""

import asyncio
import logging
from typing import TYPE_CHECKING

from msgspec import Struct

from inferway.access.founding import found_or_recall
from inferway.errors import OperatorError, StoreUnavailable
from inferway.settings import Settings
from inferway.store.contents import SqlContents
from inferway.store.directory import SqlDirectory
from inferway.store.kept import SqlKeptAnswers
from inferway.store.ledger import SqlLedger
from inferway.store.migrations.revisions import is_current, revisions
from inferway.store.sqlite.database import FILE_NAME, Database
from inferway.store.work import SqlDatabase

if TYPE_CHECKING:
    from inferway.store.postgres.database import PostgresDatabase

_log = logging.getLogger("inferway.store")

DATABASE_FILE = FILE_NAME
"""The store's file in the data folder, unless the settings name a server."""

_TRY_EVERY_S = 1.0


class StoreState(Struct, frozen=True, kw_only=True):
    """The tables of a database: their revision (None: there are none yet), and the newest that this program knows."""

    database: str
    revision: str | None
    newest: str
    is_current: bool


class Store:
    """The database and what is kept in it; to be opened before it is used, and closed.

    Raises `StoreError` for a file that cannot be used, is another program's or newer than this one, and for an impossible URL.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._remote = find_remote(settings)
        self.database: SqlDatabase = self._remote or Database.open(settings.data_dir / FILE_NAME)
        self.directory = SqlDirectory(self.database)
        self.ledger = SqlLedger(self.database)
        self.kept = SqlKeptAnswers(self.database)
        self.contents = SqlContents(self.database)
        self.is_open = False
        self._opening: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Brings the tables up to date, and founds an empty store.

        Raises `StoreUnavailable`, and an `OperatorError` for what does not go away by waiting.
        """
        if self._remote is not None:
            await self._remote.bring_up_to_date()
        await found_or_recall(self.directory, self._settings.data_dir)
        self.is_open = True

    async def begin(self) -> None:
        """Opens it, or goes on trying beside while it is away. Raises an `OperatorError`, as `open` does."""
        try:
            await self.open()
        except StoreUnavailable:
            _log.warning("the database cannot be used yet: not ready before it can")
            self._opening = asyncio.create_task(self._keep_opening())

    async def aclose(self) -> None:
        """Ends a try that is under way, and every connection."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        await self.database.aclose()

    async def _keep_opening(self) -> None:
        told = ""
        while not self.is_open:
            await asyncio.sleep(_TRY_EVERY_S)
            try:
                await self.open()
            except StoreUnavailable:
                continue
            except OperatorError as error:
                # Whoever runs it may mend it there; to end now would only be another outage.
                if str(error) != told:
                    _log.error("%s", error)
                told = str(error)
        _log.info("the database can be used: ready")


async def look_at_store(settings: Settings) -> StoreState:
    """The state of the tables, changing nothing. Raises `StoreUnavailable`, and `StoreError` for a database that cannot be used."""
    remote = find_remote(settings)
    if remote is None:
        file = settings.data_dir / FILE_NAME
        return _state(str(file), Database.find_revision(file))
    try:
        return _state(remote.name, await remote.find_revision())
    finally:
        await remote.aclose()


async def upgrade_store(settings: Settings) -> StoreState:
    """Brings the tables up to date, as every start does too. Raises `StoreError` and `StoreUnavailable`."""
    remote = find_remote(settings)
    if remote is None:
        Database.open(settings.data_dir / FILE_NAME).close()
    else:
        try:
            await remote.bring_up_to_date()
        finally:
            await remote.aclose()
    return await look_at_store(settings)


def find_remote(settings: Settings) -> "PostgresDatabase | None":
    """The PostgreSQL database, if one is named; nothing is connected. Raises an `OperatorError`."""
    chosen = settings.database
    if chosen.url is None:
        return None
    try:
        from inferway.store.postgres.database import PostgresDatabase  # noqa: PLC0415 - an extra
    except ImportError:
        raise OperatorError("database.url needs the extra: pip install 'inferway[postgres]'.") from None
    return PostgresDatabase(chosen.url.reveal(), connections=chosen.connections, timeout_s=chosen.timeout_s)


def _state(name: str, revision: str | None) -> StoreState:
    return StoreState(
        database=name,
        revision=revision,
        newest=revisions()[-1],
        is_current=revision is not None and is_current(revision, name),
    )
