"""Reads one page of a server, with the standard library alone."""

import ssl
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

from msgspec import Struct

from inferway.client.reachable import ServerUnreachable, reason_of

_MAX_BYTES = 64 * 1024 * 1024


class Page(Struct, frozen=True, kw_only=True):
    """An answer: its status, its Date header and its text."""

    status: int
    date: str | None
    text: str


def read_page(
    url: str, headers: Mapping[str, str] | None = None, *, method: str = "GET", timeout_s: float = 10.0
) -> Page:
    """Asks for a URL and reads the answer, whatever its status; follows no redirect. Raises `ServerUnreachable`."""
    address = urlsplit(url)
    host, port = address.hostname or "", address.port
    connection: HTTPConnection = (
        HTTPSConnection(host, port, timeout=timeout_s, context=ssl.create_default_context())
        if address.scheme == "https"
        else HTTPConnection(host, port, timeout=timeout_s)
    )
    try:
        connection.request(method, address.path or "/", headers=dict(headers or {}))
        response = connection.getresponse()
        text = response.read(_MAX_BYTES).decode("utf-8", "replace")
        return Page(status=response.status, date=response.getheader("date"), text=text)
    except ValueError:
        # Its own words quote the header, and with it the key.
        raise ServerUnreachable(
            "a header cannot be sent, as the key or another one of the settings has a line break or a stray character"
        ) from None
    except HTTPException:
        raise ServerUnreachable("what answers there is no HTTP server") from None
    except OSError as error:
        raise ServerUnreachable(reason_of(error)) from None
    finally:
        connection.close()
