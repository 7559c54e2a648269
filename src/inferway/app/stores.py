"""The store that the settings name."""

from msgspec import Struct

from inferway.settings import Settings
from inferway.store.migrations.revisions import is_current, revisions
from inferway.store.sqlite.database import FILE_NAME, Database


class StoreState(Struct, frozen=True, kw_only=True):
    """The tables of a database: their revision (None: there are none yet), and the newest that this program knows."""

    database: str
    revision: str | None
    newest: str
    is_current: bool


async def look_at_store(settings: Settings) -> StoreState:
    """The state of the tables, changing nothing. Raises `StoreError` for a database that cannot be used or is newer than this program."""
    file = settings.data_dir / FILE_NAME
    found = Database.find_revision(file)
    return StoreState(
        database=str(file),
        revision=found,
        newest=revisions()[-1],
        is_current=found is not None and is_current(found, str(file)),
    )


async def upgrade_store(settings: Settings) -> StoreState:
    """Brings the tables up to date, as every start does too. Raises `StoreError`."""
    Database.open(settings.data_dir / FILE_NAME).close()
    return await look_at_store(settings)
