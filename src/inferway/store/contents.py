"""The calls whose request and answer a namespace keeps, in SQL."""

from collections.abc import Mapping, Sequence

from inferway.cache.contents import CallHead, CallPlace, KeptCall
from inferway.cache.kept import Sealed
from inferway.store.work import Each, Fill, Kind, Row, SqlDatabase, Work, ask

_HEAD: Mapping[str, Kind] = {
    **dict.fromkeys(("record_id", "organization_id", "namespace_id", "request_id"), "text"),
    "at_us": "integer",
    **dict.fromkeys(("operation", "provider", "model", "status"), "text"),
}
_COLUMNS: Mapping[str, Kind] = {**_HEAD, "kek_id": "text", "wrapped_key": "blob", "ciphertext": "blob"}
_HEADS = f"SELECT {', '.join(_HEAD)} FROM kept_calls "  # noqa: S608 - names of our own columns
_CALLS = f"SELECT {', '.join(_COLUMNS)} FROM kept_calls "  # noqa: S608 - names of our own columns
_SOME = "SELECT 1 FROM kept_calls WHERE namespace_id = $1 AND at_us < $2 LIMIT 1"
_LATEST_US = 10**18 - 1
"""Behind every moment: microseconds until the year 33658."""


class SqlContents:
    """The `Contents` over a database."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    async def add(self, calls: Sequence[KeptCall]) -> None:
        """See `Contents`."""
        rows = [_values(call) for call in calls]

        def add() -> Work[None]:
            yield Fill("kept_calls", "record_id", _COLUMNS, rows)

        await self._database.fill(add())

    async def list_heads(
        self, namespace_id: str, *, since_us: int, before: CallPlace | None, limit: int
    ) -> tuple[CallHead, ...]:
        """See `Contents`."""
        place = before or CallPlace(at_us=_LATEST_US, record_id="")
        rows = await self._database.select(
            _HEADS + "WHERE namespace_id = $1 AND at_us >= $2 AND (at_us, record_id) < ($3, $4) "
            "ORDER BY at_us DESC, record_id DESC LIMIT $5",
            namespace_id,
            since_us,
            place.at_us,
            place.record_id,
            limit,
        )
        return tuple(map(_head, rows))

    async def find(self, namespace_id: str, reference: str, *, since_us: int) -> KeptCall | None:
        """See `Contents`."""
        for name in ("record_id", "request_id"):
            rows = await self._database.select(
                _CALLS + f"WHERE namespace_id = $1 AND {name} = $2 AND at_us >= $3 "
                "ORDER BY at_us DESC, record_id DESC LIMIT 1",
                namespace_id,
                reference,
                since_us,
            )
            if rows:
                return _call(rows[0])
        return None

    async def next_owner(self, after: str) -> tuple[str, str] | None:
        """See `Contents`."""
        rows = await self._database.select(
            "SELECT organization_id, namespace_id FROM kept_calls WHERE namespace_id > $1 "
            "ORDER BY namespace_id LIMIT 1",
            after,
        )
        return (rows[0][0], rows[0][1]) if rows else None

    async def delete(self, namespace_id: str, *, before_us: int, limit: int) -> int:
        """See `Contents`."""
        # Asked every minute, and mostly in vain: looking does not keep those waiting who write.
        if not await self._database.select(_SOME, namespace_id, before_us):
            return 0

        def delete() -> Work[int]:
            gone = yield ask(
                "DELETE FROM kept_calls WHERE record_id IN (SELECT record_id FROM kept_calls "
                "WHERE namespace_id = $1 AND at_us < $2 ORDER BY at_us LIMIT $3) RETURNING 1",
                namespace_id,
                before_us,
                limit,
            )
            return len(gone)

        return await self._database.change(delete())

    async def list_under_other_keys(self, kek_id: str, *, after: str, limit: int) -> tuple[KeptCall, ...]:
        """See `Contents`."""
        rows = await self._database.select(
            _CALLS + "WHERE record_id > $1 AND kek_id <> $2 ORDER BY record_id LIMIT $3", after, kek_id, limit
        )
        return tuple(map(_call, rows))

    async def reseal(self, calls: Sequence[KeptCall]) -> None:
        """See `Contents`."""
        values = [
            (call.sealed.kek_id, call.sealed.wrapped_key, call.head.record_id, call.sealed.ciphertext)
            for call in calls
        ]

        def reseal() -> Work[None]:
            yield Each(
                "UPDATE kept_calls SET kek_id = $1, wrapped_key = $2 WHERE record_id = $3 AND ciphertext = $4",
                values,
            )

        await self._database.change(reseal())


def _values(call: KeptCall) -> tuple[object, ...]:
    sealed = call.sealed
    heads = (getattr(call.head, name) for name in _HEAD)
    return (*heads, sealed.kek_id, sealed.wrapped_key, sealed.ciphertext)


def _head(row: Row) -> CallHead:
    return CallHead(**{name: row[name] for name in _HEAD})


def _call(row: Row) -> KeptCall:
    sealed = Sealed(kek_id=row["kek_id"], wrapped_key=row["wrapped_key"], ciphertext=row["ciphertext"])
    return KeptCall(head=_head(row), sealed=sealed)
