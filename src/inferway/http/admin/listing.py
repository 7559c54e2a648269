"""Picks, orders and pages namespaces as a list's query says."""

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from inferway.access.records import Namespace
from inferway.errors import InvalidShape
from inferway.http.admin.answers import Pagination
from inferway.http.admin.bodies import NamespaceQuery

_FIELDS: dict[str, Callable[[Namespace], Any]] = {
    "namespace_id": lambda each: each.namespace_id,
    "namespace_name": lambda each: each.name,
    "description": lambda each: each.description or "",
    "created_at": lambda each: each.created_at.isoformat(),
    "updated_at": lambda each: (each.updated_at or each.created_at).isoformat(),
}
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
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
_DEPTH_MAX = 8


class Page(Struct, frozen=True, kw_only=True):
    """Which part of a list is wanted."""

    offset: int
    limit: int


def pick(namespaces: list[Namespace], query: NamespaceQuery) -> list[Namespace]:
    """The namespaces that a query means, in its order; raises `InvalidShape` for a field or an operator that there is not."""
    found = [each for each in namespaces if query.filters is None or _passes(each, query.filters, 0)]
    if query.search:
        found = [each for each in found if _has(each, query.search, case_sensitive=query.case_sensitive)]
    for order in reversed(query.sorts or ((query.sort,) if query.sort else ())):
        name = _field(order.get("field"), "sort")
        is_down = str(order.get("direction", order.get("order", "asc"))).lower() in (
            "desc",
            "-1",
            "descending",
        )
        found.sort(key=_FIELDS[name], reverse=is_down)
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


def _passes(namespace: Namespace, filters: dict[str, Any], depth: int) -> bool:
    if depth > _DEPTH_MAX:
        raise InvalidShape.at(["body", "filters"], "value_error", "filters nest too deep")
    if "field" in filters:
        return _meets(namespace, filters)
    return all(_passes_one(namespace, name, wanted, depth) for name, wanted in filters.items())


def _passes_one(namespace: Namespace, name: str, wanted: Any, depth: int) -> bool:
    if name in ("AND", "OR", "NOT"):
        parts = wanted if isinstance(wanted, list) else [wanted]
        if not all(isinstance(part, dict) for part in parts):
            raise InvalidShape.at(["body", "filters", name], "type_error", f"{name} is a list of filters")
        met = [_passes(namespace, part, depth + 1) for part in parts]
        return {"AND": all(met), "OR": any(met) or not met, "NOT": not any(met)}[name]
    have = _FIELDS[_field(name, "filters")](namespace)
    return have in wanted if isinstance(wanted, list) else bool(have == wanted)


def _meets(namespace: Namespace, condition: dict[str, Any]) -> bool:
    have = _FIELDS[_field(condition.get("field"), "filters")](namespace)
    operator = str(condition.get("operator", "eq")).lower()
    if operator not in _OPERATORS:
        message = f"an operator is one of {', '.join(_OPERATORS)}"
        raise InvalidShape.at(["body", "filters", "operator"], "value_error", message)
    return _OPERATORS[operator](have, condition.get("value"))


def _field(name: Any, where: str) -> str:
    if not isinstance(name, str) or name not in _FIELDS:
        raise InvalidShape.at(["body", where], "value_error", f"a field is one of {', '.join(_FIELDS)}")
    return name


def _has(namespace: Namespace, text: str, *, case_sensitive: bool) -> bool:
    parts = (namespace.namespace_id, namespace.name, namespace.description or "")
    if case_sensitive:
        return any(text in part for part in parts)
    return any(text.lower() in part.lower() for part in parts)
