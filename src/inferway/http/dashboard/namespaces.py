"""The pages of namespaces."""

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from inferway.http.dashboard.api import Refused
from inferway.http.dashboard.asking import may, providers_of, secrets_of
from inferway.http.dashboard.entry import Entry, pages_of, shown_number, skip_of
from inferway.http.dashboard.view import View, Visitor

_LIST = "/namespaces"
_API = "/v1/namespaces"
_ONE = _API + "/{namespace}"
_PAGE = 50
_PLACES = {
    "namespace_name_invalid": "namespace_name",
    "namespace_name_taken": "namespace_name",
    "days": "keep_days",
    "keep_content": "keep_days",
    "unknown_provider": "credentials",
    "secret_not_found": "credentials",
    "llm_credentials": "credentials",
}
CREDENTIAL = "credential_"
"""What the names of fields begin with that choose a secret for a provider."""


class NamespacePages:
    """A list of namespaces, and what is done with each."""

    def views(self) -> tuple[View, ...]:
        """The pages and forms."""
        one = _LIST + "/{namespace}"
        return (
            View(method="GET", path=_LIST, handler=self.list),
            View(method="GET", path=_LIST + "/new", handler=self.ask),
            View(method="POST", path=_LIST + "/new", handler=self.create),
            View(method="GET", path=one, handler=self.one),
            View(method="POST", path=one, handler=self.change),
            View(method="POST", path=one + "/delete", handler=self.remove),
        )

    async def list(self, visitor: Visitor) -> Response:
        """The namespaces that the session may see."""
        search, skip = visitor.query("search")[:200], min(skip_of(visitor.query("skip")), 10_000)
        sort = {"field": "namespace_name", "direction": "asc"}
        body = {"search": search, "sort": sort, "offset": skip, "limit": _PAGE}
        found = await visitor.api.post(_API + "/list", body)
        return await visitor.show(
            "namespaces.html",
            namespaces=found["results"],
            entry=Entry({"search": search}),
            may_write=await may(visitor, "write"),
            pages=pages_of(_LIST, {"search": search}, total=found["total_count"], skip=skip, limit=_PAGE),
        )

    async def ask(self, visitor: Visitor) -> Response:
        """A form for a new namespace."""
        return await self._form(visitor, Entry())

    async def create(self, visitor: Visitor) -> Response:
        """Makes a namespace."""
        entry = Entry.of(await visitor.form())
        body = _body_of(entry, is_admin=await may(visitor, "admin"))
        if not entry.is_wrong:
            try:
                made = await visitor.api.post(_API, {name: body[name] for name in body if body[name]})
                return visitor.go(f"{_LIST}/{made['namespace_id']}", "namespace-made")
            except Refused as refused:
                entry.take(refused, _PLACES)
        return await self._form(visitor, entry)

    async def one(self, visitor: Visitor) -> Response:
        """A namespace, and forms to change it."""
        namespace = await self._find(visitor)
        return await self._show(visitor, namespace, _filled(namespace))

    async def change(self, visitor: Visitor) -> Response:
        """Changes a namespace."""
        namespace = await self._find(visitor)
        entry = Entry.of(await visitor.form())
        body = _body_of(entry, is_admin=await may(visitor, "admin"))
        if not entry.is_wrong:
            changes = {
                name: value for name, value in body.items() if (value or None) != (namespace[name] or None)
            }
            try:
                if changes:
                    await visitor.api.patch(_ONE, changes, namespace=namespace["namespace_id"])
                return visitor.go(f"{_LIST}/{namespace['namespace_id']}", "saved")
            except Refused as refused:
                entry.take(refused, _PLACES)
        return await self._show(visitor, namespace, entry)

    async def remove(self, visitor: Visitor) -> Response:
        """Removes a namespace."""
        namespace = await self._find(visitor)
        if (await visitor.form()).find("typed") != namespace["namespace_name"]:
            entry = _filled(namespace)
            entry.refuse("typed", "Type the namespace's name, exactly as it is.")
            return await self._show(visitor, namespace, entry)
        await visitor.api.delete(_ONE, namespace=namespace["namespace_id"])
        return visitor.go(_LIST, "namespace-deleted")

    async def _find(self, visitor: Visitor) -> dict[str, Any]:
        return dict(await visitor.api.get(_ONE, namespace=visitor.place("namespace")))

    async def _form(self, visitor: Visitor, entry: Entry) -> Response:
        return await visitor.show("namespace-new.html", entry.status, **await _choices(visitor, entry))

    async def _show(self, visitor: Visitor, namespace: dict[str, Any], entry: Entry) -> Response:
        choices = await _choices(visitor, entry)
        return await visitor.show(
            "namespace.html",
            entry.status,
            namespace=namespace,
            may_write=await may(visitor, "write"),
            may_delete=await may(visitor, "delete"),
            **choices,
        )


async def _choices(visitor: Visitor, entry: Entry) -> dict[str, Any]:
    is_admin = await may(visitor, "admin")
    return {
        "entry": entry,
        "is_admin": is_admin,
        "providers": await providers_of(visitor) if is_admin else [],
        "secrets": await secrets_of(visitor) or [] if is_admin else [],
    }


def _filled(namespace: Mapping[str, Any]) -> Entry:
    """The form as it is for a namespace that is there."""
    kept, budget = namespace["keep_content"], namespace["spend_budget"]
    values = {
        "namespace_name": namespace["namespace_name"],
        "description": namespace["description"] or "",
        "daily_usd": shown_number(budget["daily_usd"]),
        "monthly_usd": shown_number(budget["monthly_usd"]),
        "keep_days": "" if kept is None else str(kept["days"]),
    }
    chosen = {CREDENTIAL + provider: secret for provider, secret in namespace["llm_credentials"].items()}
    return Entry(values | chosen)


def _body_of(entry: Entry, *, is_admin: bool) -> dict[str, Any]:
    """What the API is sent; what only administrators may say is left out for others."""
    body: dict[str, Any] = {
        "namespace_name": entry.require("namespace_name", "Give the namespace a name."),
        "description": entry.text("description"),
    }
    if not is_admin:
        return body
    days = entry.whole("keep_days")
    return body | {
        "spend_budget": {"daily_usd": entry.usd("daily_usd"), "monthly_usd": entry.usd("monthly_usd")},
        "keep_content": None if days is None else {"days": days},
        "llm_credentials": entry.named(CREDENTIAL),
    }
