"""The pages of API keys."""

import asyncio
from typing import Any

from starlette.responses import Response

from inferway.errors import NotFound
from inferway.http.dashboard.api import Refused
from inferway.http.dashboard.asking import may, namespaces_of, unless_forbidden, users_of
from inferway.http.dashboard.entry import Entry, pages_of, skip_of
from inferway.http.dashboard.key_form import (
    EXPIRIES,
    KEEP,
    KINDS,
    LEVELS,
    OPERATIONS,
    PLACES,
    body_of,
    changes_of,
    filled,
    level_of,
    rows_of,
)
from inferway.http.dashboard.view import View, Visitor

_LIST = "/settings/keys"
_ALL = "/v1/organizations/api-keys"
_OF_USER = "/v1/organizations/users/{email}/api-keys"
_ONE = _OF_USER + "/{key}"
_PAGE = 50
_OVERLAPS = (
    ("0", "Stops at once"),
    ("3600", "Works for another hour"),
    ("86400", "Works for another day"),
    ("604800", "Works for another week"),
    ("2592000", "Works for another 30 days"),
)


class KeyPages:
    """A list of keys, and what is done with each."""

    def views(self) -> tuple[View, ...]:
        """The pages and forms."""
        one = _LIST + "/{key_id}"
        return (
            View(method="GET", path=_LIST, handler=self.list),
            View(method="GET", path=_LIST + "/new", handler=self.ask),
            View(method="POST", path=_LIST + "/new", handler=self.create),
            View(method="GET", path=one, handler=self.one),
            View(method="POST", path=one, handler=self.change),
            View(method="POST", path=one + "/rotate", handler=self.rotate),
            View(method="POST", path=one + "/revoke", handler=self.revoke),
        )

    async def list(self, visitor: Visitor) -> Response:
        """The keys that the session may see."""
        asked = {name: visitor.query(name) for name in ("search", "user_email", "include_revoked")}
        query = asked | {"include_revoked": "true" if asked["include_revoked"] else ""}
        skip = skip_of(visitor.query("skip"))
        found = await unless_forbidden(visitor.api.get(_ALL, query=query | {"skip": skip, "limit": _PAGE}))
        total = 0 if found is None else found["total"]
        return await visitor.show(
            "keys.html",
            keys=None if found is None else found["results"],
            entry=Entry(asked),
            users=await users_of(visitor),
            level_of=level_of,
            levels=dict(LEVELS),
            pages=pages_of(_LIST, query, total=total, skip=skip, limit=_PAGE),
        )

    async def ask(self, visitor: Visitor) -> Response:
        """A form for a new key."""
        me = await visitor.me()
        entry = Entry({"owner": me["user_email"], "permission": "write", "expires": "never"})
        return await self._form(visitor, entry)

    async def create(self, visitor: Visitor) -> Response:
        """Makes a key, and shows it this once."""
        entry = Entry.of(await visitor.form())
        body = body_of(entry)
        owner = entry.require("owner", "Choose whose key it is.")
        if not entry.is_wrong:
            try:
                made = await visitor.api.post(_OF_USER, body, email=owner)
                return await self._once(visitor, made, owner, "made")
            except Refused as refused:
                entry.take(refused, PLACES)
        return await self._form(visitor, entry)

    async def one(self, visitor: Visitor) -> Response:
        """A key, and a form to change it."""
        key = await self._find(visitor)
        return await self._show(visitor, key, filled(key))

    async def change(self, visitor: Visitor) -> Response:
        """Changes a key."""
        key = await self._find(visitor)
        entry = Entry.of(await visitor.form())
        changes = changes_of(body_of(entry), key)
        if not entry.is_wrong:
            try:
                if changes:
                    await visitor.api.patch(_ONE, changes, email=key["user_email"], key=key["key_id"])
                return visitor.go(f"{_LIST}/{key['key_id']}", "saved")
            except Refused as refused:
                entry.take(refused, PLACES)
        return await self._show(visitor, key, entry)

    async def rotate(self, visitor: Visitor) -> Response:
        """Gives a key a new text, and shows it this once."""
        key = await self._find(visitor)
        form = await visitor.form()
        chosen = form.find("overlap_s")
        overlap_s = int(chosen) if chosen in dict(_OVERLAPS) else 0
        body = {"overlap_s": overlap_s}
        made = await visitor.api.post(_ONE + "/rotate", body, email=key["user_email"], key=key["key_id"])
        return await self._once(visitor, made, key["user_email"], "rotated", dict(_OVERLAPS)[str(overlap_s)])

    async def revoke(self, visitor: Visitor) -> Response:
        """Takes a key back for good."""
        key = await self._find(visitor)
        if (await visitor.form()).find("sure") is None:
            entry = filled(key)
            entry.refuse("sure", "Check the box: this cannot be undone.")
            return await self._show(visitor, key, entry)
        await visitor.api.delete(_ONE, email=key["user_email"], key=key["key_id"])
        return visitor.go(_LIST, "key-revoked")

    async def _find(self, visitor: Visitor) -> dict[str, Any]:
        key_id = visitor.place("key_id")
        query = {"search": key_id, "include_revoked": "true", "limit": 1000}
        found = await visitor.api.get(_ALL, query=query)
        for key in found["results"]:
            if key["key_id"] == key_id:
                return dict(key)
        raise NotFound("There is no such key.", code="key_not_found")

    async def _form(self, visitor: Visitor, entry: Entry) -> Response:
        return await visitor.show("key-new.html", entry.status, **await self._choices(visitor, entry))

    async def _show(self, visitor: Visitor, key: dict[str, Any], entry: Entry) -> Response:
        choices = await self._choices(visitor, entry)
        choices["expiries"] = ((KEEP, "As it is now"), *EXPIRIES)
        return await visitor.show("key.html", entry.status, key=key, overlaps=_OVERLAPS, **choices)

    async def _choices(self, visitor: Visitor, entry: Entry) -> dict[str, Any]:
        rows = rows_of(entry)
        kinds = (
            dict(KINDS)
            | {kind: kind for row in rows if (kind := entry.value(f"scope_kind_{row}"))}
            | dict(KINDS)
        )
        return {
            "entry": entry,
            "users": await users_of(visitor),
            "namespaces": await namespaces_of(visitor),
            "is_admin": await may(visitor, "admin"),
            "levels": LEVELS,
            "kinds": tuple(kinds.items()),
            "operations": OPERATIONS,
            "expiries": EXPIRIES,
            "rows": rows,
        }

    async def _once(
        self, visitor: Visitor, made: dict[str, Any], owner: str, word: str, old: str = ""
    ) -> Response:
        namespaces = await namespaces_of(visitor)
        samples = await asyncio.to_thread(visitor.desk.samples)
        namespace = next((each["namespace_name"] for each in namespaces), "default")
        address = visitor.desk.cookies.address_of(visitor.request)
        return await visitor.show(
            "key-once.html",
            key=made,
            owner=owner,
            word=word,
            old=old,
            may_call=level_of(made) != "read",
            calls=[(each.title, each.curl(address, made["key"], namespace)) for each in samples],
        )
