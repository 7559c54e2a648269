"""The routes beside inference: what the server is, and whether it is well."""

from collections.abc import Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

import inferway
from inferway.http.front import INFERENCE_PATH, json_response
from inferway.http.wire import request_id_of


class Pages:
    """Health and the index. `is_ready` says whether this worker can serve calls now."""

    def __init__(self, is_ready: Callable[[], bool]) -> None:
        self._is_ready = is_ready

    def routes(self) -> list[BaseRoute]:
        """The routes, for `pages_app`."""
        return [
            Route("/", self.index),
            Route("/v1/health", self.health),
            Route("/v1/health/liveness", self.health),
            Route("/v1/health/readiness", self.readiness),
            Route(INFERENCE_PATH, self.only_post, methods=["GET", "PUT", "PATCH", "DELETE", "OPTIONS"]),
        ]

    async def index(self, request: Request) -> Response:
        """What answers here."""
        about = {
            "name": "inferway",
            "version": inferway.__version__,
            "inference": f"POST {INFERENCE_PATH}",
            "health": "/v1/health",
        }
        return json_response(about, request_id_of(request.scope))

    async def health(self, request: Request) -> Response:
        """The process is up."""
        return json_response({"status": "ok"}, request_id_of(request.scope))

    async def readiness(self, request: Request) -> Response:
        """Whether calls can be served now: 200, or 503 while starting and stopping."""
        ready = self._is_ready()
        body = {"status": "ready" if ready else "not_ready"}
        return json_response(body, request_id_of(request.scope), status=200 if ready else 503)

    async def only_post(self, _: Request) -> Response:
        """The inference path takes POST only."""
        raise HTTPException(405, headers={"allow": "POST"})
