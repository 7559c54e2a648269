"""The form of an API key: what the API is sent for it, and how it is filled with a key that is there."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from inferway.http.dashboard.entry import Entry, shown_number

LEVELS = (
    ("read", "Look: usage, requests, namespaces"),
    ("write", "Call models, make and change namespaces"),
    ("delete", "… and delete namespaces"),
    ("admin", "Everything: keys, users, credentials, limits"),
)
KINDS = (
    ("namespace", "Namespace"),
    ("api_key", "API key"),
    ("user", "User"),
    ("secret", "Secret"),
    ("organization", "Organization"),
)
OPERATIONS = (
    ("execute_job", "call models"),
    ("read_data", "look"),
    ("write_data", "change"),
    ("delete_data", "delete"),
    ("manage_permissions", "administer"),
)
EXPIRIES = (
    ("never", "Never"),
    ("7", "In 7 days"),
    ("30", "In 30 days"),
    ("90", "In 90 days"),
    ("365", "In a year"),
    ("day", "At the end of the day below"),
)
KEEP = "keep"
PLACES = {
    "permissions": "permission",
    "expires_at": "expires_on",
    "email": "owner",
    "resource_id": "scopes",
    "resource_type": "scopes",
    "operations": "scopes",
    "key_name_taken": "name",
    "key_name_invalid": "name",
    "key_expiry_invalid": "expires_on",
    "permission_above_role": "permission",
    "user_not_found": "owner",
}
"""Where on the form stands what the API calls otherwise, or answers with a code."""

_LEVEL_NAMES = tuple(name for name, _ in LEVELS)
_ROWS_MIN, _ROWS_FREE, _ROWS_MAX = 3, 2, 100


def filled(key: Mapping[str, Any]) -> Entry:
    """The form as it is for a key that is there."""
    values: dict[str, Any] = {
        "name": key["name"],
        "owner": key["user_email"],
        "description": key["description"],
        "permission": level_of(key),
        "models": "\n".join(key["models"] or ()),
        "allowed_origins": "\n".join(key["allowed_origins"] or ()),
        "rate_limit_override": shown_number(key["rate_limit_override"]),
        "expires": KEEP,
        "daily_usd": shown_number(key["spend_budget"]["daily_usd"]),
        "monthly_usd": shown_number(key["spend_budget"]["monthly_usd"]),
    }
    for place, scope in enumerate(key["scopes"]):
        values[f"scope_kind_{place}"] = scope["resource_type"]
        values[f"scope_id_{place}"] = scope["resource_id"]
        values[f"scope_may_{place}"] = scope["operations"] or []
    return Entry(values)


def level_of(key: Mapping[str, Any]) -> str:
    """The highest of a key's permissions."""
    held: list[str] = key["permissions"]
    return max(held, key=_LEVEL_NAMES.index)


def rows_of(entry: Entry) -> range:
    """The rows that the form has for scopes: those that are used, and free ones."""
    used = [place for place in range(_ROWS_MAX) if entry.text(f"scope_id_{place}")]
    return range(min(_ROWS_MAX, max(_ROWS_MIN, (used[-1] + 1 if used else 0) + _ROWS_FREE)))


def body_of(entry: Entry) -> dict[str, Any]:
    """Every field as the API takes it, null where there is no restriction; what is wrong is noted in the entry."""
    level = entry.value("permission")
    if level not in _LEVEL_NAMES:
        entry.refuse("permission", "Choose what the key may do.")
        level = "read"
    body: dict[str, Any] = {
        "name": entry.require("name", "Give the key a name, such as the program that will use it."),
        "description": entry.text("description") or "",
        "permissions": list(_LEVEL_NAMES[: _LEVEL_NAMES.index(level) + 1]),
        "scopes": _scopes(entry) or None,
        "models": entry.lines("models"),
        "allowed_origins": entry.lines("allowed_origins"),
        "rate_limit_override": entry.whole("rate_limit_override"),
        "spend_budget": {"daily_usd": entry.usd("daily_usd"), "monthly_usd": entry.usd("monthly_usd")},
    }
    if entry.value("expires") != KEEP or entry.text("expires_on"):
        body["expires_at"] = _expiry(entry)
    return body


def changes_of(body: Mapping[str, Any], key: Mapping[str, Any]) -> dict[str, Any]:
    """What of a body is not as the key has it already."""
    return {name: value for name, value in body.items() if not _is_same(name, value, key)}


def _is_same(name: str, value: Any, key: Mapping[str, Any]) -> bool:
    if name == "permissions":
        return level_of(key) == str(value[-1])
    if name == "scopes":
        return _comparable(key["scopes"]) == _comparable(value or ())
    return name != "expires_at" and (key[name] or None) == (value or None)


def _scopes(entry: Entry) -> list[dict[str, Any]]:
    made = []
    for place in range(_ROWS_MAX):
        reference = entry.text(f"scope_id_{place}")
        if reference is None:
            continue
        scope: dict[str, Any] = {
            "resource_type": entry.value(f"scope_kind_{place}"),
            "resource_id": reference,
        }
        operations = entry.all(f"scope_may_{place}")
        made.append(scope | ({"operations": operations} if operations else {}))
    return made


def _comparable(scopes: Any) -> list[tuple[str, str, list[str]]]:
    return [
        (each["resource_type"], each["resource_id"], sorted(each.get("operations") or ())) for each in scopes
    ]


def _expiry(entry: Entry) -> str | None:
    """When the key ends. A day that is written counts, whatever else is chosen."""
    chosen, day = entry.value("expires"), entry.end_of_day("expires_on")
    if day is not None:
        return day.isoformat()
    if chosen == "day":
        entry.refuse("expires_on", "Choose a day.")
    if not chosen.isdecimal() or len(chosen) > 4:
        return None
    return (datetime.now(UTC) + timedelta(days=int(chosen))).isoformat()
