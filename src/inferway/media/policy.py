"""What operators decide about media: limits, and which addresses, hosts and ports may be fetched from."""

import ipaddress
from typing import Final

from msgspec import Struct

from inferway.types import MediaKind

MIB: Final = 1024 * 1024


class MediaSettings(Struct, frozen=True, kw_only=True):
    """Limits and permissions of the one fetcher of callers' URLs. ValueError when a value makes no sense.

    allow_hosts: names (or `name:port`) that may resolve to private, shared, unique-local or loopback addresses. A port given
        here is allowed for that host; without one the host is bound to `allow_ports`.
    allow_networks: CIDR ranges that may be dialled although our table denies them. An IPv4 address inside an allowed IPv6 range
        (NAT64, 6to4, …) is still judged by itself.
    deny_networks: CIDR ranges never dialled, whatever else says: your own public ranges, a NAT64 prefix of your network.
    allow_ports: the ports of a URL; 80 and 443 unless changed.
    max_redirects: redirects followed, each judged like a first URL.
    deadline_s: seconds for one fetch, redirects included; the call's own deadline ends it earlier.
    connect_timeout_s: seconds for the name look-up and the TCP handshake of one hop. A failed hop is answered no sooner than
        0.9 s before this, so that a closed, a filtered and a forbidden target take the same time to within a second.
    max_image_bytes, max_audio_bytes, max_video_bytes, max_document_bytes: the largest content, in bytes.
    max_pixels: width × height above which an image is refused.
    max_concurrent: fetches under way at once in this process; further ones wait.
    max_buffered_bytes: bytes of unfinished fetches held at once in this process; beyond that fetches are shed.
    max_items: pieces of media in one call.
    pass_urls: hand URLs to the providers that take them instead of fetching here. The provider then fetches; scheme, port and
        literal addresses are still judged here.
    ca_file: a PEM file of certificate authorities to trust instead of the system's.
    """

    allow_hosts: tuple[str, ...] = ()
    allow_networks: tuple[str, ...] = ()
    deny_networks: tuple[str, ...] = ()
    allow_ports: tuple[int, ...] = (80, 443)
    max_redirects: int = 3
    deadline_s: float = 20.0
    connect_timeout_s: float = 1.5
    max_image_bytes: int = 25 * MIB
    max_audio_bytes: int = 200 * MIB
    max_video_bytes: int = 200 * MIB
    max_document_bytes: int = 25 * MIB
    max_pixels: int = 100_000_000
    max_concurrent: int = 32
    max_buffered_bytes: int = 1024 * MIB
    max_items: int = 20
    pass_urls: bool = False
    ca_file: str | None = None

    def __post_init__(self) -> None:
        for name in ("allow_networks", "deny_networks"):
            for cidr in getattr(self, name):
                _require_network(name, cidr)
        for entry in self.allow_hosts:
            split_host(entry)
        if not all(0 < port < 65536 for port in self.allow_ports):
            raise ValueError("media.allow_ports: a port is a number from 1 to 65535")
        for name in _POSITIVE:
            if getattr(self, name) <= 0:
                raise ValueError(f"media.{name} must be above 0")
        if self.max_redirects < 0:
            raise ValueError("media.max_redirects must be 0 or more")

    def max_bytes(self, kind: MediaKind) -> int:
        """The largest content of this kind, in bytes."""
        limits = {
            MediaKind.IMAGE: self.max_image_bytes,
            MediaKind.AUDIO: self.max_audio_bytes,
            MediaKind.VIDEO: self.max_video_bytes,
            MediaKind.DOCUMENT: self.max_document_bytes,
        }
        return limits[kind]


_POSITIVE: Final = (
    "deadline_s",
    "connect_timeout_s",
    "max_image_bytes",
    "max_audio_bytes",
    "max_video_bytes",
    "max_document_bytes",
    "max_pixels",
    "max_concurrent",
    "max_buffered_bytes",
    "max_items",
)


def _require_network(name: str, cidr: str) -> None:
    try:
        ipaddress.ip_network(cidr)
    except ValueError:
        raise ValueError(f"media.{name}: {cidr!r} is not a network such as 10.1.0.0/16 or fd00::/8") from None


def split_host(entry: str) -> tuple[str, int | None]:
    """A configured `name`, `name:port`, `address` or `[address]:port` as (lower-case host, port or None); ValueError if neither."""
    text = entry.strip().lower()
    host, separator, port = text.rpartition(":")
    if not separator or _is_ipv6(text.strip("[]")):
        host, port = text, ""
    host = host.removeprefix("[").removesuffix("]").removesuffix(".")
    bad = not host or any(c in "/@? *" for c in host) or (bool(port) and not port.isdecimal())
    if bad or (port and not 0 < int(port) < 65536):
        raise ValueError(f"media.allow_hosts: {entry!r} is neither a host nor host:port")
    return (str(ipaddress.IPv6Address(host)) if _is_ipv6(host) else host), int(port) if port else None


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True
