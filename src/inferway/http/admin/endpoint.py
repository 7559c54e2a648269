"""What every route of administration goes through: who calls, may they, and what they send."""

import functools
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Literal, Protocol, TypeVar

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from inferway.access.administration import Actor
from inferway.access.gate import require_permission
from inferway.access.records import Holder, Permission
from inferway.access.scopes import ResourceType, permits
from inferway.errors import BadRequest, Forbidden, GatewayError, InvalidShape
from inferway.http.front import json_response, respond_gateway_error
from inferway.http.inference import internal_error
from inferway.http.strangers import Doorkeeper
from inferway.http.wire import ClientLeft, find_header, read_body, request_id_of, require_json
from inferway.pipeline.body import decode_body

_log = logging.getLogger("inferway.http")

BODY_MAX_BYTES = 1024 * 1024
_USER_AGENT_MAX = 200
T = TypeVar("T", bound=Struct)

Reach = Literal["grant", "visible", "anyone", "operator"]
"""How scopes bear on a route that has no single kind of thing: `grant` checks what is granted, `visible` hides what is out of scope,
`operator` takes no key with scopes, as it shows the whole machine.
"""


class Identifies(Protocol):
    """Turns the Authorization and Origin headers into who administers; raises `GatewayError`."""

    async def identify(self, authorization: bytes | None, origin: bytes | None = None) -> Holder: ...


class Visit:
    """One request of somebody who may make it."""

    def __init__(self, request: Request, holder: Holder, need: Permission) -> None:
        self.request, self.holder, self.need = request, holder, need

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
        """The body; raises `BadRequest` and `InvalidShape`."""
        require_json(self.request.scope)
        received = await read_body(self.request.scope, self.request.receive, BODY_MAX_BYTES)
        return decode_body(decoder, received, ", ".join(decoder.type.__struct_fields__))

    async def optional_body(self, decoder: msgspec.json.Decoder[T]) -> T:
        """The body, or what an empty object means when there is none."""
        received = await read_body(self.request.scope, self.request.receive, BODY_MAX_BYTES)
        if received.strip():
            require_json(self.request.scope)
        return decode_body(decoder, received.strip() or b"{}", ", ".join(decoder.type.__struct_fields__))

    def number(self, name: str, default: int, least: int, most: int) -> int:
        """A whole number of the query."""
        text = self.request.query_params.get(name)
        if text is None:
            return default
        if not text.isascii() or not text.isdigit() or not least <= int(text[:12]) <= most:
            raise InvalidShape.at(
                ["query", name], "value_error", f"{name} is a whole number from {least} to {most}"
            )
        return int(text)

    def switch(self, name: str, *, default: bool = False) -> bool:
        """A yes or no of the query."""
        text = self.request.query_params.get(name)
        if text is None:
            return default
        words = {"true": True, "1": True, "false": False, "0": False}
        if text.lower() not in words:
            raise InvalidShape.at(["query", name], "value_error", f"{name} is true or false")
        return words[text.lower()]

    def moment(self, name: str) -> datetime | None:
        """A moment of the query, in ISO 8601; without a zone it is UTC."""
        text = self.request.query_params.get(name)
        if text is None:
            return None
        try:
            # A plus sign of the zone arrives as a space when the caller did not escape it.
            return aware(datetime.fromisoformat(text.strip().replace(" +", "+").replace(" ", "T", 1)))
        except ValueError:
            message = f"{name} is a moment such as 2030-01-31T12:00:00Z"
            raise InvalidShape.at(["query", name], "value_error", message) from None


Handler = Callable[[Visit], Awaitable[object]]


class Endpoint(Struct, frozen=True, kw_only=True):
    """A route of administration. `permission` is what the key must have at least.

    `scope` is the kind of thing that the route touches: a key with scopes needs one for it, by the last part of the path when there is one.
    A handler returns what is sent as JSON, or a whole response.
    """

    method: str
    path: str
    permission: Permission
    scope: ResourceType | Reach
    handler: Handler

    def route(self, gate: Identifies, doorkeeper: Doorkeeper | None = None) -> Route:
        """The route, for the application; `doorkeeper` judges those who send bad keys."""

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
        return Route(self.path, answer, methods=[self.method])

    async def _answer(self, request: Request, gate: Identifies) -> object:
        scope = request.scope
        holder = await gate.identify(find_header(scope, b"authorization"), find_header(scope, b"origin"))
        require_permission(holder, self.permission)
        visit = Visit(request, holder, self.permission)
        self._require_scope(visit)
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


def _judged(error: GatewayError, request: Request, doorkeeper: Doorkeeper | None) -> GatewayError:
    if doorkeeper is None:
        return error
    forwarded = find_header(request.scope, b"x-forwarded-for")
    return doorkeeper.judge(error, request.scope.get("client"), forwarded)


def aware(moment: datetime) -> datetime:
    """A moment with a zone: UTC when it names none. Raises `BadRequest` for one that no calendar here can hold."""
    made = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    try:
        return made.astimezone(UTC)
    except (OverflowError, ValueError):
        raise BadRequest("That moment lies too far away.", code="moment_invalid") from None
