"""Picks, orders and pages namespaces as a list's query says."""

from collections.abc import Callable
from typing import Any

from msgspec import UNSET, Struct

from inferway.access.records import Namespace
from inferway.errors import InvalidShape
from inferway.http.admin.answers import Pagination
from inferway.http.admin.bodies import NamespaceQuery

_DOWN = ("desc", "-1", "descending")
_FIELDS: dict[str, Callable[[Namespace], Any]] = {
    "namespace_id": lambda each: each.namespace_id,
    "namespace_name": lambda each: each.name,
    "description": lambda each: each.description or "",
    "created_at": lambda each: each.created_at.isoformat(),
    "updated_at": lambda each: (each.updated_at or each.created_at).isoformat(),
}
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda have, want: bool(have == want),
    "ne": lambda have, want: bool(have != want),
    "in": lambda have, want: isinstance(want, list) and have in want,
    "nin": lambda have, want: isinstance(want, list) and have not in want,
    "contains": lambda have, want: str(want) in have,
    "starts_with": lambda have, want: have.startswith(str(want)),
    "ends_with": lambda have, want: have.endswith(str(want)),
    "gt": lambda have, want: have > str(want),
    "gte": lambda have, want: have >= str(want),
    "lt": lambda have, want: have < str(want),
    "lte": lambda have, want: have <= str(want),
}
"""How a field may be compared with a value."""

_JOINTS = ("AND", "OR", "NOT")
_DEPTH_MAX = 8


class Page(Struct, frozen=True, kw_only=True):
    """Which part of a list is wanted."""

    offset: int
    limit: int


def pick(namespaces: list[Namespace], query: NamespaceQuery) -> list[Namespace]:
    """The namespaces that a query means, in its order; raises `InvalidShape` for a field or an operator that there is not."""
    filters = query.filters or {}
    _check(filters, 0)
    found = [each for each in namespaces if _passes(each, filters)]
    if query.search:
        found = [each for each in found if _has(each, query.search, case_sensitive=query.case_sensitive)]
    for order in reversed(query.sorts or ((query.sort,) if query.sort else ())):
        direction = order.order if order.direction is UNSET else order.direction
        found.sort(key=_FIELDS[order.field], reverse=str(direction).lower() in _DOWN)
    return found


def pagination(total: int, page: Page) -> Pagination:
    """Where a page stands in a list of so many."""
    end = page.offset + page.limit
    return Pagination(
        total=total,
        page=page.offset // page.limit + 1,
        page_size=page.limit,
        total_pages=-(-total // page.limit),
        next_page=f"?limit={page.limit}&offset={end}" if end < total else None,
        previous_page=f"?limit={page.limit}&offset={max(0, page.offset - page.limit)}"
        if page.offset
        else None,
        next_cursor=str(end) if end < total else None,
    )


def _check(filters: Any, depth: int) -> None:
    """Raises `InvalidShape` for what no filter may say."""
    if not isinstance(filters, dict):
        raise InvalidShape.at(["body", "filters"], "type_error", "a filter is an object")
    if depth > _DEPTH_MAX:
        raise InvalidShape.at(["body", "filters"], "value_error", "filters nest too deep")
    if "field" in filters:
        _check_field(filters["field"])
        _operator(filters)
        return
    for name, wanted in filters.items():
        if name not in _JOINTS:
            _check_field(name)
            continue
        for part in wanted if isinstance(wanted, list) else [wanted]:
            _check(part, depth + 1)


def _check_field(name: Any) -> None:
    if not isinstance(name, str) or name not in _FIELDS:
        message = f"a field is one of {', '.join(_FIELDS)}"
        raise InvalidShape.at(["body", "filters"], "value_error", message)


def _operator(condition: dict[str, Any]) -> str:
    operator = str(condition.get("operator", "eq")).lower()
    if operator not in OPERATORS:
        message = f"an operator is one of {', '.join(OPERATORS)}"
        raise InvalidShape.at(["body", "filters", "operator"], "value_error", message)
    return operator


def _passes(namespace: Namespace, filters: dict[str, Any]) -> bool:
    if "field" in filters:
        have = _FIELDS[filters["field"]](namespace)
        return OPERATORS[_operator(filters)](have, filters.get("value"))
    return all(_passes_one(namespace, name, wanted) for name, wanted in filters.items())


def _passes_one(namespace: Namespace, name: str, wanted: Any) -> bool:
    if name in _JOINTS:
        met = [_passes(namespace, part) for part in (wanted if isinstance(wanted, list) else [wanted])]
        return {"AND": all(met), "OR": any(met) or not met, "NOT": not any(met)}[name]
    have = _FIELDS[name](namespace)
    return have in wanted if isinstance(wanted, list) else bool(have == wanted)


def _has(namespace: Namespace, text: str, *, case_sensitive: bool) -> bool:
    parts = (namespace.namespace_id, namespace.name, namespace.description or "")
    if case_sensitive:
        return any(text in part for part in parts)
    return any(text.lower() in part.lower() for part in parts)
