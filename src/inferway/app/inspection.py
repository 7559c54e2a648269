"""What an examination reads of an installation: calls without a price, and usage that waits."""

from collections import Counter
from pathlib import Path

from msgspec import Struct

from inferway.app.stores import Store
from inferway.settings import Settings
from inferway.usage.journal import SUFFIX

_RECENT = 1000
_ANSWERED = ("ok", "partial")


class Waiting(Struct, frozen=True, kw_only=True):
    """Usage that is not in the database: bytes, and files that were set aside because they cannot be read or stored."""

    size: int
    set_aside: tuple[Path, ...]


async def count_unpriced(settings: Settings) -> dict[tuple[str, str], int]:
    """How many of each organization's last thousand calls have no known cost, by provider and model.

    Raises `StoreError` and `StoreUnavailable`.
    """
    store = Store(settings)
    try:
        found: Counter[tuple[str, str]] = Counter()
        for organization in await store.directory.list_organizations():
            for record in await store.ledger.list_records(organization.organization_id, limit=_RECENT):
                if record.cost_microusd is None and record.status in _ANSWERED:
                    found[record.provider, record.model] += 1
        return dict(found)
    finally:
        await store.aclose()


def find_waiting(settings: Settings) -> Waiting:
    """What the journals of this data folder hold."""
    folder = settings.data_dir / "journal"
    files = [file for file in folder.glob(f"*/*{SUFFIX}") if ".unreadable" not in file.parent.name]
    aside = [*folder.glob("*.unreadable"), *folder.glob(f"refused{SUFFIX}")]
    return Waiting(size=sum(file.stat().st_size for file in files), set_aside=tuple(sorted(aside)))
