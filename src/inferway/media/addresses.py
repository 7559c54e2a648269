"""Which addresses are public: our own table from the IANA special-purpose registries, and what hides inside IPv6."""

import functools
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Reasons that an operator's `allow_hosts` may overrule: addresses that organizations really serve from.
PRIVATE_USE: Final = frozenset({"private", "shared", "loopback", "unique-local"})

# IANA IPv4 Special-Purpose Address Registry, every row, the globally reachable anycast ones too (no media lives there), then
# multicast and the metadata address of Azure, which lies in public space.
SPECIAL_V4: Final = (
    ("0.0.0.0/8", "this-network"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "shared"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "protocol-assignments"),
    ("192.0.0.0/29", "service-continuity"),
    ("192.0.0.8/32", "dummy"),
    ("192.0.0.9/32", "pcp-anycast"),
    ("192.0.0.10/32", "turn-anycast"),
    ("192.0.0.170/32", "nat64-discovery"),
    ("192.0.0.171/32", "nat64-discovery"),
    ("192.0.2.0/24", "documentation"),
    ("192.31.196.0/24", "as112"),
    ("192.52.193.0/24", "amt"),
    ("192.88.99.0/24", "6to4-relay"),
    ("192.88.99.2/32", "6a44-relay"),
    ("192.168.0.0/16", "private"),
    ("192.175.48.0/24", "as112"),
    ("198.18.0.0/15", "benchmarking"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
    ("255.255.255.255/32", "broadcast"),
    ("168.63.129.16/32", "cloud-metadata"),
)

# IANA IPv6 Special-Purpose Address Registry, every row, then what older documents set aside. Whatever lies outside 2000::/3,
# the only block that is handed out, is denied besides.
SPECIAL_V6: Final = (
    ("::1/128", "loopback"),
    ("::/128", "unspecified"),
    ("::ffff:0:0/96", "ipv4-mapped"),
    ("::ffff:0:0:0/96", "ipv4-translated"),
    ("::/96", "ipv4-compatible"),
    ("64:ff9b::/96", "nat64"),
    ("64:ff9b:1::/48", "local-nat64"),
    ("100::/64", "discard"),
    ("100:0:0:1::/64", "dummy"),
    ("2001::/23", "protocol-assignments"),
    ("2001::/32", "teredo"),
    ("2001:1::1/128", "pcp-anycast"),
    ("2001:1::2/128", "turn-anycast"),
    ("2001:1::3/128", "dns-sd-anycast"),
    ("2001:2::/48", "benchmarking"),
    ("2001:3::/32", "amt"),
    ("2001:4:112::/48", "as112"),
    ("2001:10::/28", "orchid"),
    ("2001:20::/28", "orchid-v2"),
    ("2001:30::/28", "drone-remote-id"),
    ("2001:db8::/32", "documentation"),
    ("2002::/16", "6to4"),
    ("2620:4f:8000::/48", "as112"),
    ("3ffe::/16", "6bone"),
    ("3fff::/20", "documentation"),
    ("5f00::/16", "srv6"),
    ("fc00::/7", "unique-local"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "site-local"),
    ("ff00::/8", "multicast"),
)


@functools.cache
def _compiled() -> tuple[tuple[Network, str], ...]:
    rows = [(ip_network(cidr), reason) for cidr, reason in SPECIAL_V4 + SPECIAL_V6]
    # The most specific row names the reason.
    return tuple(sorted(rows, key=lambda row: row[0].prefixlen, reverse=True))


def find_special_use(address: Address) -> str | None:
    """The word for why this address, by itself, is not public; None when it is. Embedded addresses are not looked at."""
    for network, reason in _compiled():
        if address in network:
            return reason
    if address.version == 6 and int(address) >> 125 != 1:
        return "not-handed-out"
    return None


def embedded_ipv4(address: Address) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses that a translator or tunnel would reach for this IPv6 address; () when none.

    Mapped, compatible, translated (RFC 2765), NAT64 (RFC 6052, 8215), 6to4 (RFC 3056), Teredo (RFC 4380: server and client),
    ISATAP (RFC 5214).
    """
    number = int(address)
    if (
        isinstance(address, IPv4Address) or number <= 1
    ):  # Unspecified and loopback are not compatible addresses.
        return ()
    low = number & 0xFFFFFFFF
    inner: tuple[int, ...] = ()
    if number >> 112 == 0x2002:
        inner = (number >> 80 & 0xFFFFFFFF,)
    elif number >> 96 == 0x20010000:
        inner = (number >> 64 & 0xFFFFFFFF, low ^ 0xFFFFFFFF)
    elif (
        number >> 32 in _LOW_32_BITS or number >> 80 == 0x64FF9B0001 or number >> 32 & _ISATAP_MASK == 0x5EFE
    ):
        inner = (low,)
    return tuple(IPv4Address(one) for one in inner)


# An ISATAP interface identifier starts with 0:5efe or, where its IPv4 address is globally unique, 200:5efe.
_ISATAP_MASK: Final = 0xFDFFFFFF
# The upper 96 bits of mapped, compatible, translated and well-known NAT64 addresses.
_LOW_32_BITS: Final = frozenset({0xFFFF, 0, 0xFFFF0000, 0x64FF9B << 64})


def is_in(address: Address, networks: Sequence[Network]) -> bool:
    """Whether the address lies in one of the networks; a mapped address counts as its IPv4 address, too."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return any(address in network or (mapped is not None and mapped in network) for network in networks)
