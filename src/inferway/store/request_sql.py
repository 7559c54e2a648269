"""The statements that look for single calls: one text for every database."""

from collections.abc import Sequence
from typing import Any

from inferway.store.moments import to_microseconds
from inferway.store.work import Ask
from inferway.usage.queries import FILTERS, Place, UsageQuery

_NEWEST = "ORDER BY started_at DESC, record_id DESC"


def select_newest(
    columns: str, query: UsageQuery, error_code: str | None, after: Place | None, looks: int, limit: int
) -> Ask:
    """What is picked of the newest `looks` calls of a range."""
    where, values = _within(query, after)
    picks, picked = _picks(query, error_code)
    if not picks:
        text = f"SELECT {columns} FROM usage WHERE {where} {_NEWEST} LIMIT ?"  # noqa: S608 - names of ours
        return _numbered(text, [*values, min(looks, limit)])
    names = ", ".join(("record_id", "started_at", "namespace_id", "error_code", *FILTERS))
    looked = f"SELECT {names} FROM usage WHERE {where} {_NEWEST} LIMIT ?"  # noqa: S608 - names of ours
    found = f"SELECT record_id FROM ({looked}) AS looked WHERE {' AND '.join(picks)} {_NEWEST} LIMIT ?"  # noqa: S608 - as above
    text = f"SELECT {columns} FROM usage WHERE record_id IN ({found}) {_NEWEST}"  # noqa: S608 - as above
    return _numbered(text, [*values, looks, *picked, limit])


def select_last_looked(query: UsageQuery, after: Place | None, looks: int) -> Ask:
    """The last one of the newest `looks` calls of a range; no row when there are fewer."""
    where, values = _within(query, after)
    text = f"SELECT started_at, record_id FROM usage WHERE {where} {_NEWEST} LIMIT 1 OFFSET ?"  # noqa: S608 - names of ours
    return _numbered(text, [*values, looks - 1])


def select_request(columns: str, organization_id: str, request_id: str, limit: int) -> Ask:
    """The newest calls with a request id."""
    text = f"SELECT {columns} FROM usage WHERE organization_id = ? AND request_id = ? {_NEWEST} LIMIT ?"  # noqa: S608 - names of ours
    return _numbered(text, [organization_id, request_id, limit])


def _within(query: UsageQuery, after: Place | None) -> tuple[str, list[Any]]:
    first, end = to_microseconds(query.start), to_microseconds(query.end)
    where = "organization_id = ? AND started_at >= ? AND started_at < ?"
    if after is None:
        return where, [query.organization_id, first, end]
    at = to_microseconds(after.started_at)
    values = [query.organization_id, first, min(end, at + 1), at, after.record_id]
    return where + " AND (started_at, record_id) < (?, ?)", values


def _picks(query: UsageQuery, error_code: str | None) -> tuple[list[str], list[Any]]:
    wanted = {name: getattr(query, name) for name in FILTERS} | {"error_code": error_code}
    given = {name: value for name, value in wanted.items() if value is not None}
    picks, values = [f"{name} = ?" for name in given], list(given.values())
    if query.namespaces is not None:
        picks.append(f"namespace_id IN ({', '.join('?' * len(query.namespaces)) or 'NULL'})")
        values += query.namespaces
    return picks, values


def _numbered(text: str, values: Sequence[Any]) -> Ask:
    """The statement with its places numbered, which stand as `?` until here."""
    first, *rest = text.split("?")
    return Ask(first + "".join(f"${number}{part}" for number, part in enumerate(rest, 1)), tuple(values))
