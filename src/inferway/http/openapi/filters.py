"""The description of what namespaces are picked by: names with values, conditions, and these joined."""

from typing import Any, get_args

from inferway.http.admin.bodies import NamespaceField
from inferway.http.admin.listing import OPERATORS

_ITSELF = {"$ref": "#/components/schemas/NamespaceFilter"}


def complete_filters(schemas: dict[str, Any]) -> None:
    """Says in the schemas what a query's filters may hold."""
    schemas["NamespaceFilter"] = _filter()
    filters = schemas["NamespaceQuery"]["properties"]["filters"]
    filters["anyOf"] = [_ITSELF, {"type": "null"}]


def _filter() -> dict[str, Any]:
    fields = list(get_args(NamespaceField))
    several = {"anyOf": [_ITSELF, {"type": "array", "items": _ITSELF}]}
    return {
        "description": "A condition, or names with their values (one of a list), or filters joined. They nest 8 deep.",
        "type": "object",
        "anyOf": [
            {
                "title": "A condition",
                "required": ["field"],
                "properties": {
                    "field": {"enum": fields},
                    "operator": {"enum": list(OPERATORS), "default": "eq"},
                    "value": {},
                },
            },
            {
                "title": "Names and joined filters",
                "properties": {name: {} for name in fields} | dict.fromkeys(("AND", "OR", "NOT"), several),
                "additionalProperties": False,
            },
        ],
    }
