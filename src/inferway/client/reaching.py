"""What both clients say about a connection."""

from urllib.parse import urlsplit

import httpx2

from inferway.client.errors import ConnectionFailed

_CONNECT_S = 10.0


def timeouts(timeout_s: float) -> httpx2.Timeout:
    """At most ten seconds to connect, and `timeout_s` for each silence."""
    return httpx2.Timeout(timeout_s, connect=min(_CONNECT_S, timeout_s))


def may_use_proxies(url: str) -> bool:
    """Whether the environment's proxies count: not for a server on this machine, which no proxy could reach."""
    host = urlsplit(url).hostname or ""
    return not (host in {"localhost", "::1"} or host.startswith("127."))


def failure_of(error: httpx2.TransportError) -> ConnectionFailed:
    """A broken connection in our words."""
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
        return ConnectionFailed(f"no server answers: {str(error) or 'no connection in time'}", sent=False)
    if isinstance(error, httpx2.TimeoutException):
        return ConnectionFailed("no answer came in time", sent=True)
    return ConnectionFailed(f"the connection broke: {str(error) or type(error).__name__}", sent=True)
