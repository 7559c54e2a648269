"""Reading a request off ASGI: headers, request id, body with a cap."""

import random
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from inferway.errors import BadRequest

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_JSON_TYPE = re.compile(
    rb"application/(?:json|[a-z0-9.+-]+\+json)\s*(?:;\s*charset\s*=\s*\"?utf-?8\"?\s*)?", re.IGNORECASE
)


class ClientLeft(Exception):
    """The client closed the connection before its request was complete."""


def find_header(scope: Scope, name: bytes) -> bytes | None:
    """The first header of that name (lower case), without the blanks around it, or None."""
    for key, value in scope["headers"]:
        if key == name:
            found: bytes = value.strip(b" \t")
            return found
    return None


def request_id_of(scope: Scope) -> str:
    """The caller's request id if it is one that may be echoed, else a new one."""
    return choose_request_id(find_header(scope, b"x-request-id"))


def choose_request_id(given: bytes | None) -> str:
    """The request id that a caller gave if it is one that may be echoed, else a new one."""
    if given is not None and REQUEST_ID.fullmatch(given := given.strip(b" \t")):
        return given.decode("ascii")
    # The time comes first, in milliseconds: the ledger's index of request ids then grows at its end.
    return "req_" + (time.time_ns() // 1_000_000 << 52 | random.getrandbits(52)).to_bytes(12, "big").hex()


def require_json(scope: Scope) -> None:
    """Raises `BadRequest` unless the body is said to be plain JSON in UTF-8."""
    require_json_type(find_header(scope, b"content-type"), find_header(scope, b"content-encoding"))


def require_json_type(kind: bytes | None, encoding: bytes | None) -> None:
    """Raises `BadRequest` unless a Content-Type and a Content-Encoding mean plain JSON in UTF-8."""
    if kind == b"application/json" and encoding is None:
        return
    if kind is None or not _JSON_TYPE.fullmatch(kind.strip()):
        raise BadRequest("send the body as Content-Type: application/json", code="unsupported_media_type")
    if encoding is not None and encoding.strip().lower() not in (b"", b"identity"):
        raise BadRequest("send the body without Content-Encoding", code="unsupported_media_type")


async def read_body(scope: Scope, receive: Receive, max_bytes: int) -> bytes:
    """The whole body.

    Raises `BadRequest` (code body_too_large) as soon as it is known to be larger than `max_bytes`, and `ClientLeft`.
    """
    refuse_announced(find_header(scope, b"content-length"), max_bytes)
    return await receive_body(receive, max_bytes)


def refuse_announced(declared: bytes | None, max_bytes: int) -> None:
    """Raises `BadRequest` (code body_too_large) when the Content-Length says so already."""
    if declared is not None and declared.isdigit() and int(declared[:20]) > max_bytes:
        raise too_large(max_bytes)


async def receive_body(receive: Receive, max_bytes: int) -> bytes:
    """The whole body as it comes; raises as `read_body`."""
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        body: bytes = message.get("body", b"")
        if len(body) > max_bytes:
            raise too_large(max_bytes)
        return body
    parts: list[bytes] = []
    try:
        return await _collect(message, receive, max_bytes, parts)
    finally:
        # What is raised keeps the frames, and with them the list, until the collector of cycles comes by.
        parts.clear()


async def _collect(message: Message, receive: Receive, max_bytes: int, parts: list[bytes]) -> bytes:
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            raise ClientLeft
        part = message.get("body", b"")
        size += len(part)
        if size > max_bytes:
            raise too_large(max_bytes)
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)
        message = await receive()


def too_large(max_bytes: int) -> BadRequest:
    return BadRequest(
        f"the body is larger than {max_bytes} bytes", code="body_too_large", details={"max_bytes": max_bytes}
    )
