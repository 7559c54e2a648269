"""Which operations go on with what another has made."""

from typing import Any

_USER = {"email": "$response.body#/email"}
_KEY = {"email": "$request.path.email", "key": "$response.body#/key_id"}
_NAMESPACE = {"namespace": "$response.body#/namespace_id"}
_SECRET = {"secret_name": "$response.body#/secret_name"}
_FOLLOWING: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    "create_user": (_USER, ("get_user", "change_user", "create_key", "list_keys", "remove_user")),
    "create_key": (_KEY, ("change_key", "rotate_key", "get_users_key_usage", "revoke_key")),
    "create_namespace": (
        _NAMESPACE,
        ("get_namespace", "change_namespace", "update_namespace", "list_calls", "remove_namespace"),
    ),
    "create_secret": (_SECRET, ("change_secret", "remove_secret")),
    "list_requests": ({"request": "$response.body#/results/0/record_id"}, ("get_request",)),
    "list_events": ({"audit_id": "$response.body#/results/0/audit_id"}, ("get_event",)),
}

LINKS: dict[str, Any] = {
    name: {next_name: {"operationId": next_name, "parameters": places} for next_name in following}
    for name, (places, following) in _FOLLOWING.items()
}
"""For an operation, the links of its answer."""
