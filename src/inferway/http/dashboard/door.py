"""Signing in and out: by a one-time link, by an API key, or by email and password."""

from starlette.responses import Response

from inferway.access.gate import Gate
from inferway.access.records import Session
from inferway.errors import GatewayError
from inferway.http.dashboard.passwords import forwarded_of
from inferway.http.dashboard.view import SIGN_IN, View, Visitor

_HOME = "/"


class Door:
    """The pages for strangers."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def views(self) -> tuple[View, ...]:
        """The pages and forms."""
        return (
            View(method="GET", path=SIGN_IN, handler=self.ask, is_public=True),
            View(method="POST", path=SIGN_IN, handler=self.enter, is_public=True),
            View(method="GET", path=SIGN_IN + "/{link}", handler=self.greet, is_public=True),
            View(method="POST", path=SIGN_IN + "/{link}", handler=self.follow, is_public=True),
            View(method="POST", path="/sign-out", handler=self.leave),
        )

    async def ask(self, visitor: Visitor) -> Response:
        """How to sign in."""
        if visitor.session is not None:
            return visitor.go(_HOME)
        return await self._show(visitor)

    async def enter(self, visitor: Visitor) -> Response:
        """Exchanges a key, or an email and a password, for a session."""
        form = await visitor.form()
        key, email, password = form.find("key"), form.find("email"), form.raw("password")
        try:
            if key is not None:
                session, token = await self._with_key(visitor, key)
            elif email is not None and password:
                visitor.desk.passwords.require_calm(visitor.request, email)
                session, token = await visitor.desk.sessions.with_password(email, password, visitor.actor)
            else:
                return await self._show(visitor, 422, "Give an API key, or an email and a password.")
        except GatewayError as error:
            told = self._judged(visitor, error)
            return await self._show(visitor, told.status, told.message)
        return _let_in(visitor, session, token)

    async def greet(self, visitor: Visitor) -> Response:
        """What a link leads to: a button, as looking at a page must not use it up."""
        return await visitor.show("link.html", error="")

    async def follow(self, visitor: Visitor) -> Response:
        """Uses a link."""
        try:
            session, token = await visitor.desk.sessions.with_link(visitor.place("link"), visitor.actor)
        except GatewayError as error:
            told = self._judged(visitor, error)
            return await visitor.show("link.html", told.status, error=told.message)
        return _let_in(visitor, session, token)

    async def leave(self, visitor: Visitor) -> Response:
        """Ends the session."""
        if visitor.session is not None:
            await visitor.desk.sessions.end(visitor.session)
        answer = visitor.go(SIGN_IN, "signed-out")
        visitor.desk.cookies.forget(answer, visitor.request)
        return answer

    async def _with_key(self, visitor: Visitor, key: str) -> tuple[Session, str]:
        origin = visitor.request.headers.get("origin", "").encode("utf-8")
        holder = await self._gate.identify(b"Bearer " + key.encode("utf-8", "replace"), origin or None)
        return await visitor.desk.sessions.with_key(holder.key, key)

    def _judged(self, visitor: Visitor, error: GatewayError) -> GatewayError:
        client = visitor.request.scope.get("client")
        return visitor.desk.doorkeeper.judge(error, client, forwarded_of(visitor.request))

    async def _show(self, visitor: Visitor, status: int = 200, error: str = "") -> Response:
        return await visitor.show("sign-in.html", status, error=error)


def _let_in(visitor: Visitor, session: Session, token: str) -> Response:
    answer = visitor.go(_HOME)
    visitor.desk.cookies.write(answer, visitor.request, token, session)
    return answer
