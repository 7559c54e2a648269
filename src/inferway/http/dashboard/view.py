"""What every page goes through: who is signed in, whether a form is this site's own, and how a page is made."""

import hashlib
import hmac
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp

from inferway.access.administration import Actor
from inferway.access.records import Session
from inferway.access.sessions import Sessions
from inferway.errors import GatewayError
from inferway.http.dashboard.api import Api, Refused
from inferway.http.dashboard.cookies import Cookies
from inferway.http.dashboard.form import Form
from inferway.http.dashboard.frame import Frame, page_headers
from inferway.http.dashboard.passwords import Passwords
from inferway.http.strangers import Doorkeeper
from inferway.http.wire import ClientLeft, Scope, find_header, read_body

_log = logging.getLogger("inferway.http")

_FORM_MAX_BYTES = 1024 * 1024
SIGN_IN = "/sign-in"


class Sample(Protocol):
    """A call that this server can answer."""

    @property
    def title(self) -> str: ...

    def curl(self, url: str, key: str, namespace: str) -> str:
        """The call for a shell."""
        ...


class Configured(Struct, frozen=True, kw_only=True):
    """A setting as it is, for people to read."""

    name: str
    value: str
    about: str


class Desk(Struct, frozen=True, kw_only=True):
    """What the pages work with. `api` is this server's own application, `inference` the way to its inference endpoint.

    `samples` blocks: it looks which local models are here.
    """

    sessions: Sessions
    frame: Frame
    cookies: Cookies
    doorkeeper: Doorkeeper
    api: ASGIApp
    inference: ASGIApp
    passwords: Passwords
    configured: Sequence[Configured]
    samples: Callable[[], Sequence[Sample]]


class Visitor:
    """Somebody at a page. `session` is None for one who is not signed in, and on pages that do not ask for it."""

    def __init__(self, desk: Desk, request: Request, session: Session | None, token: str) -> None:
        self.desk, self.request, self.session = desk, request, session
        self.api = Api(desk.api, request.scope, token)
        self.inference = Api(desk.inference, request.scope, token)
        self._token = token
        self._me: dict[str, Any] | None = None
        self._form: Form | None = None

    @property
    def csrf(self) -> str:
        """What every form of this session carries, and no other site can know."""
        return hmac.new(self._token.encode("utf-8"), b"form", hashlib.sha256).hexdigest()

    @property
    def actor(self) -> Actor:
        """Where a sign-in comes from, for the audit log."""
        client = self.request.client
        agent = self.request.headers.get("user-agent", "")[:200]
        return Actor(
            user_id="dashboard", ip_address=client.host if client else None, user_agent=agent or None
        )

    async def me(self) -> dict[str, Any]:
        """`GET /v1/me`: who is signed in. Raises `Refused`."""
        if self._me is None:
            self._me = await self.api.get("/v1/me")
        assert self._me is not None  # noqa: S101 - just set
        return self._me

    def place(self, name: str) -> str:
        """A part of the path."""
        return str(self.request.path_params[name])

    def query(self, name: str, default: str = "") -> str:
        """A value of the query."""
        return self.request.query_params.get(name, default)

    async def form(self) -> Form:
        """What a form has sent; raises `BadRequest` for one that is larger than 1 MB."""
        if self._form is None:
            received = await read_body(self.request.scope, self.request.receive, _FORM_MAX_BYTES)
            self._form = Form(received)
        return self._form

    async def show(self, template: str, status: int = 200, **values: Any) -> Response:
        """A page. Every template has `me` (None for strangers), `csrf`, `path`, `done` and what is given here."""
        shared = {
            "me": None if self.session is None else await self.me(),
            "csrf": self.csrf if self.session is not None else "",
            "path": self.request.url.path,
            "done": self.query("done"),
        }
        text = self.desk.frame.render(template, shared | values)
        return HTMLResponse(text, status, headers=page_headers(is_public=self.session is None))

    def go(self, path: str, done: str = "") -> Response:
        """Elsewhere on this site, after a form; `done` is a word of `NOTICES`, which the next page says."""
        joint = "&" if "?" in path else "?"
        headers = page_headers(is_public=self.session is None)
        return RedirectResponse(path + (f"{joint}done={done}" if done else ""), 303, headers=headers)


Handler = Callable[[Visitor], Awaitable[Response]]


class View(Struct, frozen=True, kw_only=True):
    """A page or a form of the dashboard. `is_public` is for strangers too."""

    method: str
    path: str
    handler: Handler
    is_public: bool = False

    def route(self, desk: Desk) -> Route:
        """The route, for the application."""

        async def answer(request: Request) -> Response:
            stranger = Visitor(desk, request, None, "")
            try:
                return await self._answer(stranger, desk, request)
            except ClientLeft:
                return Response(status_code=400)
            except (Refused, GatewayError) as error:
                return await _refused(stranger, error.status, error.message)
            except Exception:  # noqa: BLE001 - the outermost layer of the pages: a defect must not reset the connection
                _log.exception("page %s failed", self.path)
                return await stranger.show(
                    "refused.html", 500, why="Something went wrong; the server's log says what."
                )

        answer.__doc__ = self.handler.__doc__
        route = PageRoute(self.path, answer, methods=[self.method])
        route.is_public = self.is_public
        return route

    async def _answer(self, stranger: Visitor, desk: Desk, request: Request) -> Response:
        is_form = self.method == "POST"
        if is_form and not is_own(request):
            return await stranger.show("refused.html", 403, why="This form came from another site.")
        token = desk.cookies.read(request)
        session = await desk.sessions.find(token) if token else None
        if session is None:
            return await self.handler(stranger) if self.is_public else await _sign_in_first(stranger)
        visitor = Visitor(desk, request, session, token)
        if is_form and not await _has_token(visitor):
            why = "This form is not of your session: load its page again."
            return await visitor.show("refused.html", 403, why=why)
        try:
            return await self.handler(visitor)
        except (Refused, GatewayError) as error:
            if error.status in (401, 503):
                raise
            return await _refused(visitor, error.status, error.message)


class PageRoute(Route):
    """A page or a form. The first page is for browsers only: programs get the index of the API there."""

    is_public = False

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if (
            scope["type"] == "http"
            and scope["path"] == "/"
            and b"text/html" not in (find_header(scope, b"accept") or b"")
        ):
            return Match.NONE, {}
        return super().matches(scope)


def is_own(request: Request) -> bool:
    """Whether a request was not sent by a page of another site, as far as a browser tells: by Sec-Fetch-Site, else by Origin."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is None or origin.partition("://")[2] == request.headers.get("host")


async def _has_token(visitor: Visitor) -> bool:
    """Whether what was sent carries the session's own token: in a header, for scripts, or in the form."""
    given = visitor.request.headers.get("x-csrf-token")
    if given is None:
        kind = visitor.request.headers.get("content-type", "")
        if not kind.startswith("application/x-www-form-urlencoded"):
            return False
        given = (await visitor.form()).find("csrf") or ""
    return hmac.compare_digest(given.encode("utf-8", "replace"), visitor.csrf.encode("ascii"))


async def _sign_in_first(visitor: Visitor) -> Response:
    if visitor.request.method != "GET" or "text/html" not in visitor.request.headers.get("accept", ""):
        return await visitor.show("refused.html", 401, why="Sign in first.")
    return visitor.go(SIGN_IN)


async def _refused(visitor: Visitor, status: int, message: str) -> Response:
    """What the API says no to; somebody whose key has ended is a stranger from now on."""
    if status != 401:
        return await visitor.show("refused.html", status, why=message)
    answer = visitor.go(SIGN_IN, "ended")
    visitor.desk.cookies.forget(answer, visitor.request)
    return answer
