"""Every row of the IANA special-purpose registries, and what hides inside IPv6 addresses."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferway.media.addresses import (
    SPECIAL_V4,
    SPECIAL_V6,
    Address,
    Network,
    embedded_ipv4,
    find_special_use,
    is_in,
)

ROWS = [(ip_network(cidr), reason) for cidr, reason in SPECIAL_V4 + SPECIAL_V6]

# The registries' own rows as of 2025, written again here so that a row lost from the table is seen.
_REGISTRY = """
0.0.0.0/8 0.0.0.0/32 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.0.0/29 192.0.0.8/32
192.0.0.9/32 192.0.0.10/32 192.0.0.170/32 192.0.0.171/32 192.0.2.0/24 192.31.196.0/24 192.52.193.0/24 192.88.99.0/24
192.88.99.2/32 192.168.0.0/16 192.175.48.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 240.0.0.0/4 255.255.255.255/32
224.0.0.0/4 168.63.129.16/32
::1/128 ::/128 ::ffff:0:0/96 64:ff9b::/96 64:ff9b:1::/48 100::/64 100:0:0:1::/64 2001::/23 2001::/32 2001:1::1/128 2001:1::2/128
2001:1::3/128 2001:2::/48 2001:3::/32 2001:4:112::/48 2001:10::/28 2001:20::/28 2001:30::/28 2001:db8::/32 2002::/16
2620:4f:8000::/48 3fff::/20 5f00::/16 fc00::/7 fe80::/10
::/96 ::ffff:0:0:0/96 fec0::/10 ff00::/8 3ffe::/16 4000::/2 8000::/1 ::/3
"""
REGISTRY = _REGISTRY.split()

PUBLIC = [
    "8.8.8.8",
    "93.184.216.34",
    "1.1.1.1",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.255.255",
    "172.32.0.0",
]
PUBLIC += ["11.0.0.0", "9.255.255.255", "169.253.255.255", "168.63.129.15", "168.63.129.17", "198.17.255.255"]
PUBLIC += [
    "198.20.0.0",
    "191.255.255.255",
    "192.0.1.0",
    "192.0.3.0",
    "223.255.255.255",
    "126.255.255.255",
    "128.0.0.0",
]
PUBLIC += [
    "2606:4700::1111",
    "2001:4860:4860::8888",
    "2a00:1450::1",
    "2001:200::1",
    "2620:4f:8001::",
    "2003::1",
]

METADATA = ["169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192", "168.63.129.16"]
METADATA += ["fd00:ec2::254", "fd20:ce::254", "fe80::a9fe:a9fe"]


def _edges(network: Network) -> list[Address]:
    middle = int(network.network_address) + network.num_addresses // 2
    kind = IPv4Address if network.version == 4 else IPv6Address
    return [network.network_address, kind(middle), network.broadcast_address]


@pytest.mark.parametrize("cidr", REGISTRY)
def test_no_address_of_a_registry_row_is_public(cidr: str) -> None:
    for address in _edges(ip_network(cidr)):
        assert find_special_use(address) is not None, address


@pytest.mark.parametrize(("network", "reason"), ROWS, ids=str)
def test_the_most_specific_row_names_the_reason(network: Network, reason: str) -> None:
    narrower = [
        row for row, _ in ROWS if row != network and row.version == network.version and _within(row, network)
    ]
    for address in _edges(network):
        if not any(address in row for row in narrower):
            assert find_special_use(address) == reason


def _within(inner: Network, outer: Network) -> bool:
    return inner.prefixlen > outer.prefixlen and inner.network_address in outer


@pytest.mark.parametrize("text", PUBLIC)
def test_the_neighbours_of_the_rows_are_public(text: str) -> None:
    assert find_special_use(ip_address(text)) is None


@pytest.mark.parametrize("text", METADATA)
def test_metadata_services_are_not_public(text: str) -> None:
    assert find_special_use(ip_address(text)) is not None


@pytest.mark.parametrize(
    ("text", "inner"),
    [
        ("::ffff:10.0.0.1", ["10.0.0.1"]),
        ("::10.0.0.1", ["10.0.0.1"]),
        ("::ffff:0:10.0.0.1", ["10.0.0.1"]),
        ("64:ff9b::10.0.0.1", ["10.0.0.1"]),
        ("64:ff9b:1::10.0.0.1", ["10.0.0.1"]),
        ("64:ff9b:1:ffff:ffff:ffff:10.0.0.1", ["10.0.0.1"]),
        ("2002:a00:1::", ["10.0.0.1"]),
        ("2002:a00:1:ffff::1", ["10.0.0.1"]),
        ("2001:0:a00:1::f5ff:fffe", ["10.0.0.1", "10.0.0.1"]),
        ("2001:0:808:808:0:0:f5ff:fffe", ["8.8.8.8", "10.0.0.1"]),
        ("2606:4700::5efe:10.0.0.1", ["10.0.0.1"]),
        ("2606:4700::200:5efe:8.8.8.8", ["8.8.8.8"]),
        ("::1", []),
        ("::", []),
        ("2606:4700::1111", []),
        ("2001:db8::10.0.0.1", []),
        ("10.0.0.1", []),
    ],
)
def test_embedded_addresses_are_unwrapped(text: str, inner: list[str]) -> None:
    assert embedded_ipv4(ip_address(text)) == tuple(IPv4Address(one) for one in inner)


@given(st.ip_addresses(v=4))
def test_every_ipv4_address_is_special_exactly_when_a_row_holds_it(address: IPv4Address) -> None:
    held = any(address in row for row, _reason in ROWS)
    assert (find_special_use(address) is not None) == held


@given(st.ip_addresses(v=6))
def test_no_ipv6_address_outside_the_block_that_is_handed_out_is_public(address: IPv6Address) -> None:
    if address not in IPV6_UNICAST:
        assert find_special_use(address) is not None


IPV6_UNICAST = ip_network("2000::/3")


def test_whatever_the_standard_library_calls_private_is_not_public_here() -> None:
    for network, _reason in ROWS:
        for address in _edges(network):
            if not address.is_global:
                assert find_special_use(address) is not None


def test_a_mapped_address_counts_as_its_ipv4_address_in_the_settings_ranges() -> None:
    assert is_in(ip_address("::ffff:10.1.2.3"), [ip_network("10.0.0.0/8")])
    assert not is_in(ip_address("::ffff:11.1.2.3"), [ip_network("10.0.0.0/8")])
