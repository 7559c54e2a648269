"""What the filters of a page offer."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from inferway.http.dashboard.figures import name_of
from inferway.usage.rollups import STATUSES


class Choice(Struct, frozen=True, kw_only=True):
    """Something that can be picked."""

    value: str
    name: str


def choices_of(usage: Mapping[str, Any], picks: Mapping[str, str]) -> dict[str, list[Choice]]:
    """What the usage of a period has, and what is picked already; by the name of the filter, in the order of the names."""
    models = usage["by_model"]
    offered = {
        "model": [(each["model"], each["model"]) for each in models],
        "provider": [(each["provider"], each["provider"]) for each in models],
        "namespace": [
            (each["namespace_id"], name_of(each, "namespace")[0]) for each in usage["by_namespace"]
        ],
        "key": [(each["key_id"], name_of(each, "key")[0]) for each in usage["by_key"]],
        "status": [(each, each.replace("_", " ")) for each in STATUSES],
    }
    return {name: _listed(dict(pairs), picks.get(name)) for name, pairs in offered.items()}


def _listed(known: dict[str, str], picked: str | None) -> list[Choice]:
    if picked and picked not in known:
        known[picked] = picked
    ordered = sorted(known.items(), key=lambda pair: pair[1].lower())
    return [Choice(value=value, name=name) for value, name in ordered]
