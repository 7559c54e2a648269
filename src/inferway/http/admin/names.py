"""The names of what records know by id."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from inferway.access.directory import Directory


class Names(Struct, frozen=True, kw_only=True):
    """The names of an organization's keys and namespaces, by id; what was removed has none."""

    keys: Mapping[str, str]
    namespaces: Mapping[str, str]

    def named(self, told: dict[str, Any]) -> dict[str, Any]:
        """The same with `key_name` and `namespace_name` beside the ids that it tells."""
        found = dict(told)
        if "key_id" in told:
            found["key_name"] = self.keys.get(told["key_id"])
        if "namespace_id" in told:
            found["namespace_name"] = self.namespaces.get(told["namespace_id"])
        return found


async def read_names(directory: Directory, organization_id: str) -> Names:
    """The names of now. Raises `StoreUnavailable`."""
    keys = await directory.list_keys(organization_id)
    namespaces = await directory.list_namespaces(organization_id)
    return Names(
        keys={each.key_id: each.name for each in keys},
        namespaces={each.namespace_id: each.name for each in namespaces},
    )
