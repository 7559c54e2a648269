"""Asks this server's own API on behalf of who is signed in, inside the process: pages have no other power."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote, urlencode

import msgspec
from msgspec import Struct
from starlette.types import ASGIApp

from inferway.http.wire import Message, Receive, Scope, Send


class Refused(Exception):
    """The API said no. `message` is for a person; `fields` tells what is wrong with which field of what was sent."""

    def __init__(self, status: int, error: Mapping[str, Any]) -> None:
        self.status = status
        self.message = str(error.get("message", "That did not work."))
        self.code = error.get("code")
        self.details: Mapping[str, Any] = error.get("details") or {}
        super().__init__(self.message)

    @property
    def fields(self) -> dict[str, str]:
        """What is wrong, by the name of the field."""
        found = self.details.get("validation_errors", ())
        # The name of the field itself where the place within it is a number.
        names = [[part for part in each.get("location", ()) if isinstance(part, str)] for each in found]
        return {place[-1]: str(each["message"]) for place, each in zip(names, found, strict=True) if place}


class Reply(Struct, frozen=True, kw_only=True):
    """An answer of the API."""

    status: int
    headers: dict[str, str]
    body: bytes


class Api:
    """The API as one session sees it. Paths are templates: `{name}` takes a value, escaped."""

    def __init__(self, app: ASGIApp, scope: Scope, token: str) -> None:
        self._app, self._scope, self._token = app, scope, token

    async def get(self, path: str, /, *, query: Mapping[str, Any] | None = None, **names: str) -> Any:
        """Decoded JSON; raises `Refused`."""
        return await self._json("GET", path, names, query, None)

    async def post(self, path: str, body: object = None, /, **names: str) -> Any:
        """Decoded JSON; raises `Refused`."""
        return await self._json("POST", path, names, None, body)

    async def patch(self, path: str, body: object, /, **names: str) -> Any:
        """Decoded JSON; raises `Refused`."""
        return await self._json("PATCH", path, names, None, body)

    async def put(self, path: str, body: object, /, **names: str) -> Any:
        """Decoded JSON; raises `Refused`."""
        return await self._json("PUT", path, names, None, body)

    async def delete(self, path: str, /, **names: str) -> Any:
        """Decoded JSON; raises `Refused`."""
        return await self._json("DELETE", path, names, None, None)

    async def ask(
        self, method: str, path: str, query: Mapping[str, Any] | None = None, body: object = None
    ) -> Reply:
        """An answer as it is, for what is not JSON."""
        content = b"" if body is None else msgspec.json.encode(body)
        chosen = {name: value for name, value in (query or {}).items() if value not in (None, "")}
        scope = _scope_of(self._scope, method, path, self._token)
        scope["query_string"] = urlencode(chosen, doseq=True).encode("ascii")
        if body is not None:
            scope["headers"] += [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(content)).encode("ascii")),
            ]
        return await _gather(self._app, scope, content)

    async def forward(self, path: str, headers: Mapping[bytes, bytes], receive: Receive, send: Send) -> None:
        """Hands the body of the request at hand on as a POST, and what comes back, piece by piece, to its client."""
        scope = _scope_of(self._scope, "POST", path, self._token)
        scope["headers"] += list(headers.items())
        await self._app(scope, receive, send)

    async def _json(
        self,
        method: str,
        path: str,
        names: Mapping[str, str],
        query: Mapping[str, Any] | None,
        body: object,
    ) -> Any:
        filled = path.format(**{name: quote(value, safe="") for name, value in names.items()})
        reply = await self.ask(method, filled, query, body)
        told = msgspec.json.decode(reply.body) if reply.body else {}
        if reply.status >= 400:
            raise Refused(reply.status, told.get("error", {}) if isinstance(told, dict) else {})
        return told


def _scope_of(outer: Scope, method: str, path: str, token: str) -> Scope:
    """A request of the same client, with the session's key and none of what its browser sent."""
    kept = {b"host", b"user-agent", b"x-forwarded-for"}
    headers = [(name, value) for name, value in outer["headers"] if name in kept]
    headers.append((b"authorization", b"Bearer " + token.encode("ascii")))
    raw, _, _ = path.partition("?")
    return {
        **{name: outer[name] for name in ("type", "asgi", "http_version", "scheme", "server", "client")},
        "method": method,
        "path": unquote(raw),
        "raw_path": raw.encode("ascii"),
        "root_path": "",
        "query_string": b"",
        "headers": headers,
    }


async def _gather(app: ASGIApp, scope: Scope, content: bytes) -> Reply:
    status, headers, parts = 500, {}, []
    is_told = False

    async def receive() -> Message:
        nonlocal is_told
        if is_told:
            return {"type": "http.disconnect"}
        is_told = True
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
            headers.update(
                {name.decode("latin-1"): value.decode("latin-1") for name, value in message["headers"]}
            )
        else:
            parts.append(message.get("body", b""))

    await app(scope, receive, send)
    return Reply(status=status, headers=headers, body=b"".join(parts))
