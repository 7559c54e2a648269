"""The routes beside inference that everybody may ask: what the server is, and whether it is well."""

from collections.abc import Callable
from typing import Literal

from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

import inferway
from inferway.http.front import INFERENCE_PATH, json_response
from inferway.http.wire import request_id_of


class About(Struct, frozen=True, kw_only=True):
    """What answers here, and where."""

    name: Literal["inferway"] = "inferway"
    version: str
    inference: str
    health: str
    openapi: str


class Health(Struct, frozen=True, kw_only=True):
    """The process is up."""

    status: Literal["ok"] = "ok"


class Readiness(Struct, frozen=True, kw_only=True):
    """Whether calls can be served now."""

    status: Literal["ready", "not_ready"]


class Page(Struct, frozen=True, kw_only=True):
    """A route that asks for no key. The handler gives the status, one of `statuses`, and what is sent as JSON."""

    name: str
    path: str
    handler: Callable[[], tuple[int, Struct]]
    statuses: tuple[int, ...] = (200,)

    def route(self) -> Route:
        """The route, for the application."""

        async def answer(request: Request) -> Response:
            status, told = self.handler()
            return json_response(told, request_id_of(request.scope), status=status)

        return Route(self.path, answer)


class Pages:
    """Health and the index. `is_ready` says whether this worker can serve calls now."""

    def __init__(self, is_ready: Callable[[], bool]) -> None:
        self._is_ready = is_ready

    def table(self) -> tuple[Page, ...]:
        """The routes and what each answers."""
        return (
            Page(name="about", path="/", handler=self.index),
            Page(name="check_health", path="/v1/health", handler=self.health),
            Page(name="check_liveness", path="/v1/health/liveness", handler=self.health),
            Page(
                name="check_readiness",
                path="/v1/health/readiness",
                handler=self.readiness,
                statuses=(200, 503),
            ),
        )

    def routes(self) -> list[BaseRoute]:
        """The routes, for `pages_app`."""
        return [
            *(page.route() for page in self.table()),
            Route(INFERENCE_PATH, self.only_post, methods=["POST"]),
        ]

    def index(self) -> tuple[int, About]:
        """What answers here."""
        return 200, About(
            version=inferway.__version__,
            inference=f"POST {INFERENCE_PATH}",
            health="/v1/health",
            openapi="/openapi.json",
        )

    def health(self) -> tuple[int, Health]:
        """The process is up."""
        return 200, Health()

    def readiness(self) -> tuple[int, Readiness]:
        """Whether calls can be served now: 200, or 503 while starting and stopping."""
        is_ready = self._is_ready()
        return (200 if is_ready else 503), Readiness(status="ready" if is_ready else "not_ready")

    async def only_post(self, _: Request) -> Response:
        """Names the method of the inference path, which is answered before it comes here."""
        raise HTTPException(405)
