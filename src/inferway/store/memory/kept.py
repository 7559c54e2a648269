"""The answers kept for `Idempotency-Key` in memory."""

from collections.abc import Sequence

from msgspec.structs import replace

from inferway.cache.kept import NoRoom, Room, Row
from inferway.errors import StoreUnavailable


class MemoryKeptAnswers:
    """The `KeptAnswers` of this process. `is_away` makes every method raise, as a lost database does."""

    def __init__(self) -> None:
        self.is_away = False
        self._rows: dict[bytes, Row] = {}

    async def claim(self, row: Row, *, now_us: int, room: Room) -> Row | NoRoom | None:
        """See `KeptAnswers`."""
        self._require()
        found = self._rows.get(row.place)
        if found is not None and found.expires_us > now_us:
            return found
        owned = [each for each in self._rows.values() if each.namespace_id == row.namespace_id]
        if len(owned) - (found is not None) >= room.keys:
            return NoRoom(limit=room.keys, of="keys")
        if sum(map(_size, owned)) >= room.bytes:
            return NoRoom(limit=room.bytes, of="bytes")
        self._rows[row.place] = row
        return None

    async def find(self, place: bytes, *, now_us: int) -> Row | None:
        """See `KeptAnswers`."""
        self._require()
        found = self._rows.get(place)
        return found if found is not None and found.expires_us > now_us else None

    async def renew(self, claims: Sequence[tuple[bytes, str]], *, expires_us: int) -> None:
        """See `KeptAnswers`."""
        self._require()
        for place, owner in claims:
            found = self._rows.get(place)
            if found is not None and found.owner == owner and found.sealed is None:
                self._rows[place] = replace(found, expires_us=expires_us)

    async def keep(self, row: Row, *, now_us: int) -> Row | None:
        """See `KeptAnswers`."""
        self._require()
        found = self._rows.get(row.place)
        if found is not None and found.sealed is not None and found.expires_us > now_us:
            return found
        self._rows[row.place] = row
        return None

    async def drop(self, row: Row) -> None:
        """See `KeptAnswers`."""
        self._require()
        found = self._rows.get(row.place)
        if found is not None and found.owner == row.owner and found.sealed is None:
            del self._rows[row.place]

    async def sweep(self, *, now_us: int, limit: int) -> int:
        """See `KeptAnswers`."""
        self._require()
        expired = [row for row in self._rows.values() if row.expires_us <= now_us]
        gone = [row for row in expired if row.namespace_id == expired[0].namespace_id][:limit]
        for row in gone:
            del self._rows[row.place]
        return len(gone)

    async def list_under_other_keys(self, kek_id: str, *, after: bytes, limit: int) -> tuple[Row, ...]:
        """See `KeptAnswers`."""
        self._require()
        others = [
            self._rows[place]
            for place in sorted(self._rows)
            if place > after and _kek_of(self._rows[place]) not in (None, kek_id)
        ]
        return tuple(others[:limit])

    async def reseal(self, rows: Sequence[Row]) -> None:
        """See `KeptAnswers`."""
        self._require()
        for row in rows:
            found = self._rows.get(row.place)
            if found is not None and found.owner == row.owner and found.sealed is not None:
                self._rows[row.place] = replace(found, sealed=row.sealed)

    def _require(self) -> None:
        if self.is_away:
            raise StoreUnavailable("The database cannot be used right now.", retry_after_s=5)


def _size(row: Row) -> int:
    return 0 if row.sealed is None else len(row.sealed.ciphertext)


def _kek_of(row: Row) -> str | None:
    return None if row.sealed is None else row.sealed.kek_id
