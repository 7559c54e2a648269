"""Serves the description of the API: made when it is first asked for, and kept as bytes."""

import asyncio
import hashlib
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from inferway.http.admin.endpoint import Endpoint
from inferway.http.pages import Page
from inferway.http.wire import request_id_of

PATH = "/openapi.json"


class Description:
    """The description of the routes in two tables, and of inference."""

    def __init__(self, endpoints: Iterable[Endpoint], pages: Iterable[Page]) -> None:
        self._endpoints, self._pages = tuple(endpoints), tuple(pages)

    def routes(self) -> list[Route]:
        """The route, for the application."""
        return [Route(PATH, self.send)]

    async def send(self, request: Request) -> Response:
        """The document; 304 for who has it already."""
        body = await asyncio.to_thread(lambda: self.body)
        tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        headers = {
            "etag": tag,
            "cache-control": "no-cache",
            "x-content-type-options": "nosniff",
            "x-request-id": request_id_of(request.scope),
            # Pages of other sites may read what says nothing of anybody: tools that draw it run there.
            "access-control-allow-origin": "*",
        }
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers, media_type="application/json")

    @cached_property
    def body(self) -> bytes:
        """The document as JSON."""
        return msgspec.json.encode(self.document())

    def document(self) -> dict[str, Any]:
        """The document."""
        # Most workers are never asked for it.
        from inferway.http.openapi.document import make_document  # noqa: PLC0415 - see above
        from inferway.http.openapi.inference import of_inference  # noqa: PLC0415 - see above
        from inferway.http.openapi.operation import (  # noqa: PLC0415 - see above
            of_description,
            of_endpoint,
            of_page,
        )

        return make_document(
            [
                of_inference(),
                *map(of_endpoint, self._endpoints),
                *map(of_page, self._pages),
                of_description(PATH),
            ]
        )
