"""Writes the head of an HTTP/1.1 request (RFC 9112, section 3 and 5)."""

from urllib.parse import quote, urlsplit

from msgspec import Struct

from inferway.errors import ProviderUnreachable
from inferway.providers.base import Headers, WireRequest

_DEFAULT_PORTS = {"http": 80, "https": 443}
_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "accept-encoding"})
_BODILESS = frozenset({"GET", "HEAD"})
# Everything that may stand in a path and query as it is; `%` because a translator has already quoted what needed it.
_SAFE = "!$&'()*+,;=:@/?-._~%"


class Origin(Struct, frozen=True, kw_only=True):
    """Where a connection leads. Connections are shared by calls with an equal origin."""

    host: str
    port: int
    tls: bool


class Route(Struct, frozen=True, kw_only=True):
    """A URL taken apart: where to connect and how the request line and the host header read."""

    origin: Origin
    target: str
    host: str


def parse_route(url: str) -> Route:
    """Take an `http` or `https` URL apart; raises `ProviderUnreachable`, not retryable, when nothing can be reached by it."""
    try:
        return _parse(url)
    except ValueError:
        message = "The provider's configured base URL is not usable."
        raise ProviderUnreachable(message, retryable=False) from None


def _parse(url: str) -> Route:
    parts = urlsplit(url)
    host, port = parts.hostname, parts.port
    if parts.scheme not in _DEFAULT_PORTS or not host or "@" in parts.netloc:
        raise ValueError("not a base URL")
    # The codec also refuses empty and over-long labels, which no resolver should see.
    name = host if ":" in host else host.encode("idna").decode("ascii")
    target = quote(parts.path or "/", safe=_SAFE)
    if parts.query:
        target += "?" + quote(parts.query, safe=_SAFE)
    shown = f"[{name}]" if ":" in name else name
    if port is not None and port != _DEFAULT_PORTS[parts.scheme]:
        shown = f"{shown}:{port}"
    tls = parts.scheme == "https"
    origin = Origin(host=name, port=port or _DEFAULT_PORTS[parts.scheme], tls=tls)
    return Route(origin=origin, target=target, host=shown)


class Address:
    """A route, and the lines with which the last request by it began: the next one nearly always begins alike."""

    __slots__ = ("_lines", "_said", "route")

    def __init__(self, route: Route) -> None:
        self.route = route
        self._said: tuple[str, Headers, Headers] | None = None
        self._lines = b""

    def head(self, request: WireRequest, headers: Headers) -> bytes:
        """The head that precedes the body; `request.headers` follow `headers`.

        Raises ValueError for a header that would break out of its line or that has characters beyond Latin-1.
        """
        said = (request.method, headers, request.headers)
        if said != self._said:
            self._lines = _lines(self.route, request, headers)
            self._said = said
        if request.body or request.method not in _BODILESS:
            return b"%bcontent-length: %d\r\n\r\n" % (self._lines, len(request.body))
        return self._lines + b"\r\n"


def _lines(route: Route, request: WireRequest, headers: Headers) -> bytes:
    """The lines of a head but for the length of the body and the end."""
    text = (
        f"{request.method} {route.target} HTTP/1.1\r\n"
        f"host: {route.host}\r\n"
        "accept: */*\r\n"
        "accept-encoding: identity\r\n"
        "user-agent: inferway\r\n"
    )
    lines = 5
    for name, value in headers + request.headers:
        if name not in _OURS:
            text += f"{name}: {value}\r\n"
            lines += 1
    if text.count("\n") != lines or text.count("\r") != lines or "\0" in text:
        raise ValueError("a request header holds a line break or a NUL")
    return text.encode("latin-1")
