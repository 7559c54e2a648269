"""What the address of a page of usage asks for, and the addresses of what lies beside it."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from msgspec import Struct

from inferway.http.dashboard.figures import GROUPS, MEASURES
from inferway.http.dashboard.period import Period, read_period

PICKS = ("model", "key", "namespace", "provider", "operation", "status")
"""What calls can be picked by, under the names of the API."""

_USUAL_GROUP, _USUAL_MEASURE = "model", "cost"


class Asked(Struct, frozen=True, kw_only=True):
    """A period, how to group, what to draw, and which calls to pick."""

    period: Period
    by: str
    measure: str
    picks: Mapping[str, str]

    @property
    def fields(self) -> dict[str, str]:
        """All of it as the fields of an address, without what is usual."""
        chosen = {"period": self.period.name, "by": self.by, "measure": self.measure, **self.picks}
        if self.period.name == "custom":
            chosen |= {"start": self.period.first_day, "end": self.period.last_day}
        return {name: value for name, value in chosen.items() if value}

    def link(self, path: str = "/usage", /, **changes: str) -> str:
        """The address with some fields changed; an empty text leaves one out."""
        fields = {name: value for name, value in (self.fields | changes).items() if value}
        return f"{path}?{urlencode(fields)}"

    @property
    def span(self) -> dict[str, str]:
        """The period as the API is asked."""
        return {"start": self.period.start.isoformat(), "end": self.period.end.isoformat()}

    def query(self, group_by: str, *, is_picked: bool = True) -> dict[str, Any]:
        """What the API is asked."""
        return {
            **self.span,
            "group_by": group_by,
            **(self.picks if is_picked else {}),
        }


def read_asked(query: Callable[[str], str], now: datetime) -> Asked:
    """Reads the fields of an address; what cannot be understood is as if it were not there."""
    by, measure = query("by"), query("measure")
    return Asked(
        period=read_period(query, now),
        by=by if by in GROUPS else _USUAL_GROUP,
        measure=measure if measure in MEASURES else _USUAL_MEASURE,
        picks={name: query(name) for name in PICKS if query(name)},
    )
