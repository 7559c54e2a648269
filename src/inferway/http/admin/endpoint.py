"""What every route of administration goes through: who calls, may they, and what they send."""

import functools
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Literal, Protocol, TypeVar

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from inferway.access.administration import Actor
from inferway.access.gate import require_permission
from inferway.access.records import Holder, Permission
from inferway.access.scopes import ResourceType, permits
from inferway.errors import Forbidden, GatewayError
from inferway.http.admin.query import Parameter, read_query
from inferway.http.front import json_response, respond_gateway_error
from inferway.http.inference import internal_error
from inferway.http.strangers import Doorkeeper
from inferway.http.wire import ClientLeft, Scope, find_header, read_body, request_id_of, require_json
from inferway.pipeline.body import decode_body

_log = logging.getLogger("inferway.http")

BODY_MAX_BYTES = 1024 * 1024
_USER_AGENT_MAX = 200
_BEHIND_KEYS = (b"rotate", b"usage", b"endpoints")
T = TypeVar("T", bound=Struct)
V = TypeVar("V")

Reach = Literal["grant", "visible", "anyone", "operator"]
"""How scopes bear on a route that has no single kind of thing: `grant` checks what is granted, `visible` hides what is out of scope,
`operator` takes no key with scopes, as it shows the whole machine.
"""


class Identifies(Protocol):
    """Turns the Authorization and Origin headers into who administers; raises `GatewayError`."""

    async def identify(self, authorization: bytes | None, origin: bytes | None = None) -> Holder: ...


class Visit:
    """One request of somebody who may make it, to the endpoint that declares what may be asked and sent."""

    def __init__(self, request: Request, holder: Holder, endpoint: "Endpoint") -> None:
        self.request, self.holder, self.endpoint = request, holder, endpoint
        self._asked: dict[str, Any] | None = None

    @property
    def need(self) -> Permission:
        """What the key must be allowed at least."""
        return self.endpoint.permission

    @property
    def organization_id(self) -> str:
        """The caller's own organization: nothing else is ever looked at."""
        return self.holder.organization.organization_id

    @property
    def actor(self) -> Actor:
        """Who it is, for the audit log."""
        client = self.request.client
        agent = self.request.headers.get("user-agent")
        return Actor(
            user_id=self.holder.user.user_id,
            email=self.holder.user.email,
            key_name=self.holder.key.name,
            ip_address=client.host if client else None,
            user_agent=agent[:_USER_AGENT_MAX] if agent else None,
        )

    def place(self, name: str) -> str:
        """A part of the path."""
        return str(self.request.path_params[name])

    def may_see(self, kind: ResourceType, *names: str) -> bool:
        """Whether the key's scopes let it do what this route does with a thing."""
        return permits(self.holder.key.scopes, kind, names, self.organization_id, str(self.need))

    async def body(self, decoder: msgspec.json.Decoder[T]) -> T:
        """The body, as the endpoint declares it; nothing at all counts as an empty object where it need not be there.

        Raises `BadRequest` and `InvalidShape`.
        """
        assert decoder is self.endpoint.body, "a route reads the body that it declares"  # noqa: S101 - so that the API's document is true
        received = await read_body(self.request.scope, self.request.receive, BODY_MAX_BYTES)
        if not received.strip() and self.endpoint.may_lack_body:
            received = b"{}"
        else:
            require_json(self.request.scope)
        return decode_body(decoder, received, ", ".join(decoder.type.__struct_fields__))

    def ask(self, parameter: Parameter[V]) -> V:
        """What the query gives for a parameter that the endpoint declares."""
        assert self._asked is not None  # noqa: S101 - `read_query` came first
        value: V = self._asked[parameter.name]
        return value

    def read_query(self) -> None:
        """Reads every declared parameter; raises `InvalidShape`."""
        self._asked = read_query(self.endpoint.query, self.request.query_params.multi_items())


Handler = Callable[[Visit], Awaitable[object]]


class Endpoint(Struct, frozen=True, kw_only=True):
    """A route of administration. `permission` is what the key must have at least.

    `scope` is the kind of thing that the route touches: a key with scopes needs one for it, by the last part of the path when there is one.
    A handler returns what is sent as JSON, or a whole response; what it says that it returns stands in the API's document, with the first
    sentence of its docstring. `name` is the operation's there and never changes. `refusals` are the statuses that the route
    answers beside those that follow from the rest, and `media_type` is that of a whole response.
    """

    name: str
    method: str
    path: str
    permission: Permission
    scope: ResourceType | Reach
    handler: Handler
    body: msgspec.json.Decoder[Any] | None = None
    may_lack_body: bool = False
    query: tuple[Parameter[Any], ...] = ()
    refusals: tuple[int, ...] = ()
    media_type: str = "application/json"

    def route(
        self, gate: Identifies, doorkeeper: Doorkeeper | None = None, plain: frozenset[str] = frozenset()
    ) -> Route:
        """The route, for the application; `doorkeeper` judges those who send bad keys.

        `plain` are the paths that other routes have written out: no place in this one's path takes their words.
        """

        async def answer(request: Request) -> Response:
            request_id = request_id_of(request.scope)
            try:
                given = await self._answer(request, gate)
            except GatewayError as error:
                return respond_gateway_error(request, _judged(error, request, doorkeeper))
            except ClientLeft:
                return Response(status_code=400)
            except Exception:  # noqa: BLE001 - the outermost layer of these routes: a defect must not reset the connection
                _log.exception("request %s failed", request_id)
                return respond_gateway_error(request, internal_error(request_id))
            return given if isinstance(given, Response) else json_response(given, request_id)

        functools.update_wrapper(answer, self.handler, assigned=("__doc__",), updated=())
        route = _EndpointRoute(self.path, answer, methods=[self.method])
        route.plain = plain
        return route

    async def _answer(self, request: Request, gate: Identifies) -> object:
        scope = request.scope
        holder = await gate.identify(find_header(scope, b"authorization"), find_header(scope, b"origin"))
        require_permission(holder, self.permission)
        visit = Visit(request, holder, self)
        self._require_scope(visit)
        visit.read_query()
        return await self.handler(visit)

    def _require_scope(self, visit: Visit) -> None:
        if not visit.holder.key.scopes or self.scope in ("anyone", "visible"):
            return
        if self.scope == "operator":
            allowed = False
        elif self.scope == "grant":
            allowed = any(scope.allows(str(self.permission)) for scope in visit.holder.key.scopes)
        else:
            last = list(visit.request.path_params.values())[-1:]
            allowed = visit.may_see(self.scope, *map(str, last))  # type: ignore[arg-type] # the other words returned above
        if not allowed:
            raise Forbidden("This key's scopes leave that out.", code="scope_denied")


class _EndpointRoute(Route):
    """A route to which only those paths belong that no other route describes better."""

    plain: frozenset[str] = frozenset()

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] == "http" and "{" in self.path:
            is_others = scope["path"] in self.plain
            if is_others or (self.path.endswith("{key:path}") and _goes_on(scope)):
                return Match.NONE, {}
        return super().matches(scope)


def _goes_on(scope: Scope) -> bool:
    """Whether what follows a key in the path is more than its name, which may hold slashes: escaped ones, if they end like this."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode("utf-8")
    words = raw.partition(b"?")[0].partition(b"/api-keys/")[2].split(b"/")
    return len(words) > 1 and words[-1] in _BEHIND_KEYS


def _judged(error: GatewayError, request: Request, doorkeeper: Doorkeeper | None) -> GatewayError:
    if doorkeeper is None:
        return error
    forwarded = find_header(request.scope, b"x-forwarded-for")
    return doorkeeper.judge(error, request.scope.get("client"), forwarded)
