"""The answers kept for `Idempotency-Key` in SQL."""

from collections.abc import Sequence

from inferway.cache.kept import NoRoom, Room, Row, Sealed
from inferway.store.work import Each, SqlDatabase, Work, ask
from inferway.store.work import Row as Found

_COLUMNS = "place, namespace_id, digest, owner, expires_us, kek_id, wrapped_key, ciphertext"
_FIND = f"SELECT {_COLUMNS} FROM kept_answers WHERE place = $1"  # noqa: S608 - the columns are named above
_PUT = (
    f"INSERT INTO kept_answers ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) "  # noqa: S608
    "ON CONFLICT (place) DO UPDATE SET digest = excluded.digest, owner = excluded.owner, "
    "expires_us = excluded.expires_us, kek_id = excluded.kek_id, wrapped_key = excluded.wrapped_key, "
    "ciphertext = excluded.ciphertext"
)
_OTHERS = f"SELECT {_COLUMNS} FROM kept_answers WHERE place > $1 AND kek_id <> $2 ORDER BY place LIMIT $3"  # noqa: S608
_ENTER = (
    "INSERT INTO kept_totals (namespace_id, answers, bytes) VALUES ($1, 0, 0) "
    "ON CONFLICT (namespace_id) DO UPDATE SET answers = kept_totals.answers RETURNING answers, bytes"
)
_COUNT = "UPDATE kept_totals SET answers = answers + $2, bytes = bytes + $3 WHERE namespace_id = $1"


class SqlKeptAnswers:
    """The `KeptAnswers` over a database.

    What each namespace keeps is counted beside. Whoever changes rows of a namespace writes its count first: so two that want the same
    place come one after the other, on a database that locks rows too.
    """

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    async def claim(self, row: Row, *, now_us: int, room: Room) -> Row | NoRoom | None:
        """See `KeptAnswers`."""

        def claim() -> Work[Row | NoRoom | None]:
            keys, size = yield from _enter(row.namespace_id)
            found = yield from _find(row.place)
            if found is not None and found.expires_us > now_us:
                return found
            if keys - (found is not None) >= room.keys:
                return NoRoom(limit=room.keys, of="keys")
            if size >= room.bytes:
                return NoRoom(limit=room.bytes, of="bytes")
            yield from _put(row, found)
            return None

        return await self._database.change(claim())

    async def find(self, place: bytes, *, now_us: int) -> Row | None:
        """See `KeptAnswers`."""
        rows = await self._database.select(_FIND, place)
        found = _row(rows[0]) if rows else None
        return found if found is not None and found.expires_us > now_us else None

    async def renew(self, claims: Sequence[tuple[bytes, str]], *, expires_us: int) -> None:
        """See `KeptAnswers`."""

        def renew() -> Work[None]:
            yield Each(
                "UPDATE kept_answers SET expires_us = $1 WHERE place = $2 AND owner = $3 AND ciphertext IS NULL",
                [(expires_us, place, owner) for place, owner in sorted(claims)],
            )

        await self._database.change(renew())

    async def keep(self, row: Row, *, now_us: int) -> Row | None:
        """See `KeptAnswers`."""

        def keep() -> Work[Row | None]:
            yield from _enter(row.namespace_id)
            found = yield from _find(row.place)
            if found is not None and found.sealed is not None and found.expires_us > now_us:
                return found
            yield from _put(row, found)
            return None

        return await self._database.change(keep())

    async def drop(self, row: Row) -> None:
        """See `KeptAnswers`."""

        def drop() -> Work[None]:
            yield from _enter(row.namespace_id)
            gone = yield ask(
                "DELETE FROM kept_answers WHERE place = $1 AND owner = $2 AND ciphertext IS NULL RETURNING 0",
                row.place,
                row.owner,
            )
            yield ask(_COUNT, row.namespace_id, -len(gone), 0)

        await self._database.change(drop())

    async def sweep(self, *, now_us: int, limit: int) -> int:
        """See `KeptAnswers`."""
        oldest = await self._database.select(
            "SELECT namespace_id FROM kept_answers WHERE expires_us <= $1 ORDER BY expires_us LIMIT 1", now_us
        )
        if not oldest:
            return 0
        namespace_id = oldest[0][0]

        def sweep() -> Work[int]:
            yield from _enter(namespace_id)
            gone = yield ask(
                "DELETE FROM kept_answers WHERE place IN (SELECT place FROM kept_answers WHERE expires_us <= $1 "
                "AND namespace_id = $2 ORDER BY expires_us LIMIT $3) RETURNING COALESCE(LENGTH(ciphertext), 0)",
                now_us,
                namespace_id,
                limit,
            )
            yield ask(_COUNT, namespace_id, -len(gone), -sum(row[0] for row in gone))
            yield ask("DELETE FROM kept_totals WHERE namespace_id = $1 AND answers <= 0", namespace_id)
            return len(gone)

        return await self._database.change(sweep())

    async def list_under_other_keys(self, kek_id: str, *, after: bytes, limit: int) -> tuple[Row, ...]:
        """See `KeptAnswers`."""
        return tuple(map(_row, await self._database.select(_OTHERS, after, kek_id, limit)))

    async def reseal(self, rows: Sequence[Row]) -> None:
        """See `KeptAnswers`."""
        values = [
            (row.sealed.kek_id, row.sealed.wrapped_key, row.place, row.owner, row.sealed.ciphertext)
            for row in rows
            if row.sealed is not None
        ]

        def reseal() -> Work[None]:
            yield Each(
                "UPDATE kept_answers SET kek_id = $1, wrapped_key = $2 "
                "WHERE place = $3 AND owner = $4 AND ciphertext = $5",
                values,
            )

        await self._database.change(reseal())


def _enter(namespace_id: str) -> Work[tuple[int, int]]:
    """Begins a change of a namespace's rows: how many there are, and how many bytes."""
    rows = yield ask(_ENTER, namespace_id)
    return rows[0][0], rows[0][1]


def _find(place: bytes) -> Work[Row | None]:
    rows = yield ask(_FIND, place)
    return _row(rows[0]) if rows else None


def _put(row: Row, was: Row | None) -> Work[None]:
    sealed = row.sealed
    parts = (None, None, None) if sealed is None else (sealed.kek_id, sealed.wrapped_key, sealed.ciphertext)
    yield ask(_PUT, row.place, row.namespace_id, row.digest, row.owner, row.expires_us, *parts)
    grown = _size(row) - (0 if was is None else _size(was))
    yield ask(_COUNT, row.namespace_id, int(was is None), grown)


def _size(row: Row) -> int:
    return 0 if row.sealed is None else len(row.sealed.ciphertext)


def _row(found: Found) -> Row:
    sealed = None
    if found["ciphertext"] is not None:
        sealed = Sealed(
            kek_id=found["kek_id"], wrapped_key=found["wrapped_key"], ciphertext=found["ciphertext"]
        )
    return Row(
        place=found["place"],
        namespace_id=found["namespace_id"],
        digest=found["digest"],
        owner=found["owner"],
        expires_us=found["expires_us"],
        sealed=sealed,
    )
