"""The pages of users: who is in the organization, and how they sign in."""

from typing import Any
from urllib.parse import quote

from starlette.responses import Response

from inferway.errors import GatewayError
from inferway.http.dashboard.api import Refused
from inferway.http.dashboard.asking import may, unless_forbidden
from inferway.http.dashboard.entry import Entry, pages_of, skip_of
from inferway.http.dashboard.view import View, Visitor

_LIST = "/settings/users"
_USERS = "/v1/organizations/users"
_USER = _USERS + "/{email}"
_PAGE = 50
ROLES = (
    ("viewer", "Viewer: looks"),
    ("member", "Member: calls models, works with namespaces"),
    ("admin", "Administrator: everything"),
)
_STATUSES = (
    ("active", "Active"),
    ("suspended", "Suspended: keys and sign-ins do not work"),
    ("pending", "Pending"),
)
_PLACES = {"email_invalid": "email", "user_taken": "email", "password_invalid": "password"}


class UserPages:
    """A list of users, and what is done with each."""

    def views(self) -> tuple[View, ...]:
        """The pages and forms."""
        one = _LIST + "/{email}"
        return (
            View(method="GET", path=_LIST, handler=self.list),
            View(method="GET", path=_LIST + "/new", handler=self.ask),
            View(method="POST", path=_LIST + "/new", handler=self.create),
            View(method="GET", path=one, handler=self.one),
            View(method="POST", path=one, handler=self.change),
            View(method="POST", path=one + "/password", handler=self.set_password),
            View(method="POST", path=one + "/link", handler=self.link),
            View(method="POST", path=one + "/delete", handler=self.remove),
        )

    async def list(self, visitor: Visitor) -> Response:
        """The users that the session may see."""
        asked = {name: visitor.query(name) for name in ("role", "status")}
        skip = skip_of(visitor.query("skip"))
        found = await unless_forbidden(visitor.api.get(_USERS, query=asked | {"skip": skip, "limit": _PAGE}))
        return await visitor.show(
            "users.html",
            users=None if found is None else found["results"],
            entry=Entry(asked),
            roles=(("", "Every role"), *ROLES),
            statuses=(("", "Every status"), *_STATUSES),
            is_admin=await may(visitor, "admin"),
            pages=pages_of(_LIST, asked, total=found["total"] if found else 0, skip=skip, limit=_PAGE),
        )

    async def ask(self, visitor: Visitor) -> Response:
        """A form for a new user."""
        return await self._form(visitor, Entry({"role": "member"}))

    async def create(self, visitor: Visitor) -> Response:
        """Makes a user."""
        entry = Entry.of(await visitor.form())
        body = {
            "email": entry.require("email", "Write an email address."),
            "user_name": entry.require("user_name", "Write a name."),
            "role": entry.value("role"),
        }
        if not entry.is_wrong:
            try:
                made = await visitor.api.post(_USERS, body)
                return visitor.go(_path(made), "user-made")
            except Refused as refused:
                entry.take(refused, _PLACES)
        return await self._form(visitor, entry)

    async def one(self, visitor: Visitor) -> Response:
        """A user, and forms to change it."""
        user = await self._find(visitor)
        return await self._show(visitor, user, _filled(user))

    async def change(self, visitor: Visitor) -> Response:
        """Changes a user."""
        user = await self._find(visitor)
        entry = Entry.of(await visitor.form())
        wanted = {name: entry.value(name).strip() for name in ("user_name", "role", "status")}
        changes = {name: value for name, value in wanted.items() if value != user[name]}
        try:
            if changes:
                await visitor.api.patch(_USER, changes, email=user["email"])
            return visitor.go(_path(user), "saved")
        except Refused as refused:
            entry.take(refused, _PLACES)
        return await self._show(visitor, user, entry)

    async def set_password(self, visitor: Visitor) -> Response:
        """Gives a user a password, or takes it away."""
        user = await self._find(visitor)
        form, entry = await visitor.form(), _filled(user)
        password = None if form.find("remove") else form.raw("password")
        try:
            await visitor.api.put(_USER + "/password", {"password": password}, email=user["email"])
            return visitor.go(_path(user), "password-removed" if password is None else "password-set")
        except Refused as refused:
            entry.take(refused, _PLACES)
        return await self._show(visitor, user, entry)

    async def link(self, visitor: Visitor) -> Response:
        """Makes a link that signs the user in once."""
        user = await self._find(visitor)
        made = await visitor.api.post(_USER + "/sign-in-link", email=user["email"])
        address = visitor.desk.cookies.address_of(visitor.request) + made["path"]
        return await self._show(visitor, user, _filled(user), link=address, minutes=made["minutes"])

    async def remove(self, visitor: Visitor) -> Response:
        """Removes a user with all its keys."""
        user = await self._find(visitor)
        entry = _filled(user)
        if (await visitor.form()).find("typed") != user["email"]:
            entry.refuse("typed", "Type the user's email, exactly as it is.")
            return await self._show(visitor, user, entry)
        await visitor.api.delete(_USER, email=user["email"])
        return visitor.go(_LIST, "user-deleted")

    async def _find(self, visitor: Visitor) -> dict[str, Any]:
        return dict(await visitor.api.get(_USER, email=visitor.place("email")))

    async def _form(self, visitor: Visitor, entry: Entry) -> Response:
        return await visitor.show("user-new.html", entry.status, entry=entry, roles=ROLES)

    async def _show(
        self, visitor: Visitor, user: dict[str, Any], entry: Entry, link: str = "", minutes: float = 0
    ) -> Response:
        return await visitor.show(
            "user.html",
            entry.status,
            user=user,
            entry=entry,
            roles=ROLES,
            statuses=_STATUSES,
            link=link,
            minutes=minutes,
            is_admin=await may(visitor, "admin"),
        )


class OwnPassword:
    """Changes the password of who is signed in, who must know the one that there is."""

    def views(self) -> tuple[View, ...]:
        """The page and its form."""
        path = "/settings/password"
        return (
            View(method="GET", path=path, handler=self.ask),
            View(method="POST", path=path, handler=self.change),
        )

    async def ask(self, visitor: Visitor) -> Response:
        """The form."""
        return await self._show(visitor, Entry())

    async def change(self, visitor: Visitor) -> Response:
        """Changes it; every other session of the user ends."""
        form, entry = await visitor.form(), Entry()
        new = form.raw("new")
        if new != form.raw("again"):
            entry.refuse("again", "That is not the same as above.")
            return await self._show(visitor, entry)
        session, desk = visitor.session, visitor.desk
        assert session is not None  # noqa: S101 - the page is for those who are signed in
        email = (await visitor.me())["user_email"]
        try:
            desk.passwords.require_calm(visitor.request, email)
            user = await desk.sessions.change_password(session, form.raw("current"), new, visitor.actor)
            begun, token = await desk.sessions.with_password(user.email, new, visitor.actor)
        except GatewayError as error:
            if error.status == 503:
                raise
            entry.refuse(
                "new" if error.code == "password_invalid" else "current", error.message, error.status
            )
            return await self._show(visitor, entry)
        answer = visitor.go("/", "password-set")
        desk.cookies.write(answer, visitor.request, token, begun)
        return answer

    async def _show(self, visitor: Visitor, entry: Entry) -> Response:
        return await visitor.show("password.html", entry.status, entry=entry)


def _filled(user: dict[str, Any]) -> Entry:
    return Entry({name: user[name] for name in ("user_name", "role", "status")})


def _path(user: dict[str, Any]) -> str:
    return f"{_LIST}/{quote(user['email'], safe='@')}"
