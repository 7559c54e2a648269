"""Keeps the test process on its own machine: only loopback and unix sockets, only names that need no look-up."""

import ipaddress
import socket
import sys

import pytest

_CONNECTING = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_RESOLVING = frozenset({"socket.getaddrinfo", "socket.gethostbyname"})


class NetworkBlockedError(Exception):
    """A test reached for another machine. Deliberately no OSError: product code must not mistake it for an outage."""


def is_loopback(host: str) -> bool:
    """Tell whether an address literal stays on this machine."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host == "localhost"
    mapped = getattr(address, "ipv4_mapped", None)
    return address.is_loopback or (mapped is not None and mapped.is_loopback)


def needs_lookup(host: str) -> bool:
    """Tell whether resolving a host would ask a name server; every form of an address literal does not."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    else:
        return False
    try:
        socket.inet_aton(host)
    except (OSError, UnicodeError):
        return host not in {"", "localhost"}
    return False


def _refuse_the_network(event: str, arguments: tuple[object, ...]) -> None:
    if event in _CONNECTING:
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) and address else None
        if isinstance(host, str) and not is_loopback(host):
            raise NetworkBlockedError(
                f"a test connects to {address}; only loopback and unix sockets are open"
            )
    elif event in _RESOLVING:
        host = arguments[0].decode("ascii", "replace") if isinstance(arguments[0], bytes) else arguments[0]
        if isinstance(host, str) and needs_lookup(host):
            raise NetworkBlockedError(
                f"a test resolves {host!r}; give the code under test a resolver of its own"
            )


def pytest_configure(config: pytest.Config) -> None:
    """Watch every socket that Python code opens, whichever library opens it.

    Libraries that bring their own sockets (uvloop, Rust clients) are not seen: their tests name loopback addresses.
    """
    sys.addaudithook(_refuse_the_network)
