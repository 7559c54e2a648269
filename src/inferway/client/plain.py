"""A small blocking client on the standard library: one call, whole or streamed."""

import json
import math
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

_PATH = "/v1/inference"


class ServerUnreachable(Exception):
    """No server answers at the address, or it stopped in the middle."""


class CallFailed(Exception):
    """The server refused or failed; `envelope` is its whole answer, `retry_after_s` its hint."""

    def __init__(self, status: int, envelope: dict[str, Any], retry_after_s: float | None) -> None:
        error = envelope.get("error")
        self.error: dict[str, Any] = error if isinstance(error, dict) else {}
        super().__init__(str(self.error.get("message") or f"the server answered with status {status}"))
        self.status = status
        self.envelope = envelope
        self.retry_after_s = retry_after_s

    @property
    def code(self) -> str | None:
        """The machine-readable word."""
        return self.error.get("code")


class Event(Struct, frozen=True, kw_only=True):
    """One event of a stream: its name, and its data."""

    name: str
    data: dict[str, Any]


class Client:
    """Calls one server with one key in one namespace. `timeout_s` is the longest silence."""

    def __init__(self, url: str, api_key: str, namespace: str, *, timeout_s: float = 150.0) -> None:
        self._address = urlsplit(url)
        self._headers = {
            "Authorization": f"Bearer {api_key}",
            "X-Namespace": namespace,
            "Content-Type": "application/json",
        }
        self._timeout_s = timeout_s

    def infer(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The answer of a call; raises `CallFailed` and `ServerUnreachable`."""
        with self._send(body) as response:
            return _object(response.read())

    def stream(self, body: Mapping[str, Any]) -> Iterator[Event]:
        """The events of a streamed call up to `done`; an `error` event is raised as `CallFailed`."""
        with self._send({**body, "stream": True}) as response:
            for event in _events(response):
                if event.name == "error":
                    raise CallFailed(int(event.data.get("status", 500)), event.data, None)
                yield event
                if event.name == "done":
                    return
        raise ServerUnreachable("the answer broke off before its end")

    @contextmanager
    def _send(self, body: Mapping[str, Any]) -> Iterator[HTTPResponse]:
        connection = self._connection()
        try:
            content = json.dumps(body).encode("utf-8")
            connection.request("POST", self._address.path.rstrip("/") + _PATH, content, self._headers)
            response = connection.getresponse()
            if response.status != 200:
                raise CallFailed(response.status, _object(response.read()), _hint_s(response))
            yield response
        except (OSError, HTTPException) as error:
            raise ServerUnreachable(_reason(error)) from None
        finally:
            connection.close()

    def _connection(self) -> HTTPConnection:
        host, port = self._address.hostname or "", self._address.port
        if self._address.scheme == "https":
            return HTTPSConnection(host, port, timeout=self._timeout_s, context=ssl.create_default_context())
        return HTTPConnection(host, port, timeout=self._timeout_s)


def try_connection(url: str, timeout_s: float = 5.0) -> None:
    """Connects to the host of a URL (with TLS for https) and hangs up; raises `ServerUnreachable`."""
    address = urlsplit(url)
    is_tls = address.scheme == "https"
    try:
        place = (address.hostname or "", address.port or (443 if is_tls else 80))
        with socket.create_connection(place, timeout_s) as connection:
            if is_tls:
                ssl.create_default_context().wrap_socket(connection, server_hostname=address.hostname).close()
    except OSError as error:
        raise ServerUnreachable(_reason(error)) from None


def _events(response: HTTPResponse) -> Iterator[Event]:
    """Reads server-sent events as this API writes them: one `event` line and one `data` line each."""
    name = ""
    for line in response:
        text = line.decode("utf-8").rstrip("\r\n")
        if text.startswith("event: "):
            name = text.removeprefix("event: ")
        elif text.startswith("data: "):
            yield Event(name=name, data=_object(text.removeprefix("data: ").encode()))


def _object(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {}


def _hint_s(response: HTTPResponse) -> float | None:
    try:
        hint = float(response.getheader("Retry-After", ""))
    except ValueError:
        return None
    return hint if math.isfinite(hint) and hint >= 0 else None


def _reason(error: Exception) -> str:
    """Why there is no answer, in a few words."""
    if isinstance(error, TimeoutError):
        return "there is no answer in time"
    if isinstance(error, ssl.SSLError):
        return "its certificate or TLS handshake cannot be trusted"
    if isinstance(error, socket.gaierror):
        return "its name cannot be resolved"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there"
    return (
        "the connection broke" if isinstance(error, HTTPException) else (str(error) or "the connection broke")
    )
