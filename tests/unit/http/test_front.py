"""What a client is told when a route of ours breaks."""

from typing import Any

import msgspec
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from inferway.http.front import pages_app


async def _broken(request: Request) -> Response:
    raise RuntimeError("a defect with a secret in it")


async def test_a_defect_of_a_route_is_told_in_the_envelope() -> None:
    sent: list[Any] = []
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/x",
        "raw_path": b"/x",
        "root_path": "",
        "query_string": b"",
        "headers": [(b"x-request-id", b"req_1")],
        "server": None,
        "scheme": "http",
    }

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    with pytest.raises(RuntimeError):
        await pages_app([Route("/x", _broken)])(scope, receive, send)
    assert sent[0]["status"] == 500
    told = msgspec.json.decode(sent[1]["body"])
    assert told["error"]["type"] == "InternalServerError"
    assert told["request_id"] == "req_1"
    assert "secret" not in str(told)
