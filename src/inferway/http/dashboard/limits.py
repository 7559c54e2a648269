"""The page of limits and budgets: what may be spent and what is, and the limits that the server was started with."""

from typing import Any

from starlette.responses import Response

from inferway.http.dashboard.api import Refused
from inferway.http.dashboard.asking import may, unless_forbidden
from inferway.http.dashboard.entry import Entry, shown_number
from inferway.http.dashboard.view import View, Visitor

_PATH = "/settings/limits"
_ORGANIZATION = "/v1/organizations"
_CAPS = ("daily_usd", "monthly_usd", "namespace_default_daily_usd", "namespace_default_monthly_usd")


class LimitsPage:
    """Limits and budgets."""

    def views(self) -> tuple[View, ...]:
        """The page and its form."""
        return (
            View(method="GET", path=_PATH, handler=self.show),
            View(method="POST", path=_PATH, handler=self.change),
        )

    async def show(self, visitor: Visitor) -> Response:
        """What may be spent, and what is."""
        organization = await unless_forbidden(visitor.api.get(_ORGANIZATION))
        limits = {} if organization is None else organization["spend_limits"]
        return await self._show(visitor, Entry({name: shown_number(limits.get(name)) for name in _CAPS}))

    async def change(self, visitor: Visitor) -> Response:
        """Changes what the organization, and a namespace without a budget of its own, may spend."""
        entry = Entry.of(await visitor.form())
        limits = {name: entry.usd(name) for name in _CAPS}
        if not entry.is_wrong:
            try:
                await visitor.api.patch(_ORGANIZATION, {"spend_limits": limits})
                return visitor.go(_PATH, "saved")
            except Refused as refused:
                entry.take(refused)
        return await self._show(visitor, entry)

    async def _show(self, visitor: Visitor, entry: Entry) -> Response:
        spend: dict[str, Any] | None = await unless_forbidden(visitor.api.get(_ORGANIZATION + "/spend"))
        own = (await visitor.me())["rate_limits"]["compute"]
        return await visitor.show(
            "limits.html",
            entry.status,
            entry=entry,
            lines=None if spend is None else _lines(spend),
            own_rate=own,
            configured=visitor.desk.configured,
            is_admin=await may(visitor, "admin"),
        )


def _lines(spend: dict[str, Any]) -> list[dict[str, Any]]:
    """Whose caps there are: the organization's first."""
    own = spend["organization"]
    return [*([] if own is None else [own]), *spend["namespaces"], *spend["keys"]]
