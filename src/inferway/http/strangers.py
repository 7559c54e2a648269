"""Who sends bad keys: the address behind a request, and the refusal of one that sends too many."""

import ipaddress
from collections.abc import Sequence
from typing import Any, Protocol

from inferway.errors import GatewayError, TooManyRequests, Unauthorized

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NOWHERE = "nowhere"
_HOPS_MAX = 32
_NO_GUESS = frozenset({"key_missing", "key_expired", "key_revoked", "key_rotated", "user_suspended"})
"""Who sends no key tries none, and who sends one that was good once guesses nothing."""


class CountsStrangers(Protocol):
    """Counts bad keys by address."""

    def find_refusal(self, address: str) -> TooManyRequests | None: ...


class Doorkeeper:
    """Answers bad keys of one address with 429 once there were too many. It is asked on the way out of a refused request only.

    `trusted` are the proxies whose X-Forwarded-For is believed; without them a request comes from whoever opened the connection.
    """

    def __init__(self, strangers: CountsStrangers, trusted: Sequence[str] = ()) -> None:
        self._strangers = strangers
        self._trusted = tuple(ipaddress.ip_network(each, strict=False) for each in trusted)

    def judge(self, error: GatewayError, client: Any, forwarded: bytes | None) -> GatewayError:
        """The error that a request is answered with; `client` is its connection's other end (address first)."""
        if not isinstance(error, Unauthorized) or error.code in _NO_GUESS:
            return error
        return self._strangers.find_refusal(self.address_of(client, forwarded)) or error

    def address_of(self, client: Any, forwarded: bytes | None) -> str:
        """Where a request comes from: an IPv4 address, or the /64 network of an IPv6 one, as it stands for one subscriber."""
        address = _address_in(client)
        hops = forwarded.decode("latin-1").split(",")[-_HOPS_MAX:] if forwarded and self._trusted else []
        while hops and address is not None and self._is_trusted(address):
            address = _read(hops.pop().strip()) or address
        return _NOWHERE if address is None else _subscriber(address)

    def trusts(self, client: Any) -> bool:
        """Whether what a connection's other end says of the request is believed: it is one of the proxies."""
        address = _address_in(client)
        return address is not None and self._is_trusted(address)

    def _is_trusted(self, address: _Address) -> bool:
        return any(address in network for network in self._trusted)


def _address_in(client: Any) -> _Address | None:
    return _read(client[0] if isinstance(client, tuple | list) and client else None)


def _read(text: object) -> _Address | None:
    """An address, without the port that some proxies write behind it."""
    if not isinstance(text, str):
        return None
    bare = text.partition("]")[0].removeprefix("[") if text.startswith("[") else text.partition("%")[0]
    for each in (bare, bare.rpartition(":")[0]):
        try:
            address = ipaddress.ip_address(each)
        except ValueError:
            continue
        return getattr(address, "ipv4_mapped", None) or address
    return None


def _subscriber(address: _Address) -> str:
    if address.version == 4:
        return str(address)
    return str(ipaddress.ip_network((address, 64), strict=False))
