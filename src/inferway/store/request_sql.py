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
    """What is picked of the newest `looks` calls of a range, or of those with an error's code."""
    where, values = _within(query, error_code, after)
    picks, picked = _picks(query)
    if not picks:
        text = f"SELECT {columns} FROM usage WHERE {where} {_NEWEST} LIMIT ?"  # noqa: S608 - names of ours
        return _numbered(text, [*values, min(looks, limit)])
    names = ", ".join(("record_id", "started_at", "namespace_id", *FILTERS))
    looked = f"SELECT {names} FROM usage WHERE {where} {_NEWEST} LIMIT ?"  # noqa: S608 - names of ours
    found = f"SELECT record_id FROM ({looked}) AS looked WHERE {' AND '.join(picks)} {_NEWEST} LIMIT ?"  # noqa: S608 - as above
    text = f"SELECT {columns} FROM usage WHERE record_id IN ({found}) {_NEWEST}"  # noqa: S608 - as above
    return _numbered(text, [*values, looks, *picked, limit])


def select_last_looked(query: UsageQuery, error_code: str | None, after: Place | None, looks: int) -> Ask:
    """The last one of the newest `looks` calls of a range, or of those with an error's code; no row when there are fewer."""
    where, values = _within(query, error_code, after)
    text = f"SELECT started_at, record_id FROM usage WHERE {where} {_NEWEST} LIMIT 1 OFFSET ?"  # noqa: S608 - names of ours
    return _numbered(text, [*values, looks - 1])


def select_request(columns: str, organization_id: str, request_id: str, limit: int) -> Ask:
    """The newest calls with a request id."""
    text = f"SELECT {columns} FROM usage WHERE organization_id = ? AND request_id = ? {_NEWEST} LIMIT ?"  # noqa: S608 - names of ours
    return _numbered(text, [organization_id, request_id, limit])


def _within(query: UsageQuery, error_code: str | None, after: Place | None) -> tuple[str, list[Any]]:
    """What an index leads to."""
    where = "organization_id = ?"
    values: list[Any] = [query.organization_id]
    if error_code is not None:
        where, values = where + " AND error_code = ?", [*values, error_code]
    first, end = to_microseconds(query.start), to_microseconds(query.end)
    where += " AND started_at >= ? AND started_at < ?"
    if after is None:
        return where, [*values, first, end]
    at = to_microseconds(after.started_at)
    return where + " AND (started_at, record_id) < (?, ?)", [
        *values,
        first,
        min(end, at + 1),
        at,
        after.record_id,
    ]


def _picks(query: UsageQuery) -> tuple[list[str], list[Any]]:
    wanted = {name: getattr(query, name) for name in FILTERS}
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
