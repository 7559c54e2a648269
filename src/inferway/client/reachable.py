"""Whether anybody answers at an address, asked without a request."""

import socket
import ssl
from urllib.parse import urlsplit


class ServerUnreachable(Exception):
    """No server answers at the address, or it stopped in the middle."""


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
        raise ServerUnreachable(reason_of(error)) from None


def reason_of(error: OSError) -> str:
    """Why there is no answer, in a few words."""
    if isinstance(error, TimeoutError):
        return "there is no answer in time"
    if isinstance(error, ssl.SSLError):
        return "its certificate or TLS handshake cannot be trusted"
    if isinstance(error, socket.gaierror):
        return "its name cannot be resolved"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there"
    return str(error) or "the connection broke"
