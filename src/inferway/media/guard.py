"""The URL guard: reads a URL strictly and judges the addresses that its host resolves to. Pure."""

import ipaddress
import re
import unicodedata
from collections.abc import Sequence
from typing import Final, Literal
from urllib.parse import quote, urljoin

import idna
from msgspec import Struct

from inferway.media.addresses import PRIVATE_USE, Address, embedded_ipv4, find_special_use, is_in
from inferway.media.policy import MediaSettings, split_host
from inferway.media.refusals import FetchFailed

MAX_URL_CHARS: Final = 8192
MAX_ANSWERS: Final = 64
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_URL: Final = re.compile(r"(https?)://([^/?#]*)([^#]*)", re.IGNORECASE | re.DOTALL)
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_AUTHORITY: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\[\]:]+)(?::([1-9][0-9]{0,4}))?")
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
# WHATWG URL: a host whose last label is a number is an IPv4 address in some spelling.
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
# RFC 3986 characters, and a few that servers in the wild expect unescaped.
_SAFE: Final = "/?%:@!$&'()*+,;=~-._|[]"


class Target(Struct, frozen=True, kw_only=True):
    """Where one request goes. `host` is lower-case ASCII without brackets; `path` is the request line's target with its query."""

    scheme: Literal["http", "https"]
    host: str
    port: int
    path: str
    literal: bool

    @property
    def origin(self) -> str:
        """Scheme, host and port: all of a URL that may be logged, since paths and queries carry secrets."""
        return f"{self.scheme}://{self.host_header(always_port=True)}"

    @property
    def url(self) -> str:
        """The whole URL, normalised; never logged."""
        return f"{self.scheme}://{self.host_header()}{self.path}"

    def host_header(self, *, always_port: bool = False) -> str:
        """The value of the Host header: the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        if self.port == _DEFAULT_PORTS[self.scheme] and not always_port:
            return host
        return f"{host}:{self.port}"


def parse_url(url: str) -> Target:
    """Read an absolute http or https URL; FetchFailed for anything that two parsers could read differently."""
    _refuse_odd_characters(url)
    match = _URL.fullmatch(url.partition("#")[0])
    if match is None:
        raise FetchFailed("not an http or https URL")
    scheme, authority, rest = match.groups()
    if "@" in authority:
        raise FetchFailed("user information in the URL")
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None:
        raise FetchFailed("malformed host or port")
    kind: Literal["http", "https"] = "https" if scheme.lower() == "https" else "http"
    host, literal = _read_host(parts[1])
    port = int(parts[2]) if parts[2] else _DEFAULT_PORTS[kind]
    path = quote(rest, safe=_SAFE)
    return Target(
        scheme=kind, host=host, port=port, path=path if path.startswith("/") else "/" + path, literal=literal
    )


def parse_redirect(current: Target, location: bytes) -> Target:
    """The target of a Location header as seen from `current`; FetchFailed when it is malformed or leaves https."""
    try:
        text = location.decode("utf-8")
    except UnicodeDecodeError:
        raise FetchFailed("redirect that is not text") from None
    # The odd ones go first: urljoin removes some of them silently, and mends a missing host with the current one.
    _refuse_odd_characters(text)
    if text.startswith("///"):
        raise FetchFailed("malformed redirect")
    try:
        target = parse_url(text if _SCHEME.match(text) else urljoin(current.url, text))
    except ValueError:
        raise FetchFailed("malformed redirect") from None
    if current.scheme == "https" and target.scheme == "http":
        raise FetchFailed("redirect from https to http")
    return target


def _refuse_odd_characters(url: str) -> None:
    if not 0 < len(url) <= MAX_URL_CHARS:
        raise FetchFailed("URL empty or too long")
    if "\\" in url or any(unicodedata.category(c)[0] in "CZ" for c in url):
        raise FetchFailed("control character, white space or backslash in the URL")


def _read_host(text: str) -> tuple[str, bool]:
    """(host, is it an address literal)."""
    if text.startswith("["):
        try:
            return str(ipaddress.IPv6Address(text[1:-1])), True
        except ValueError:
            raise FetchFailed("malformed IPv6 address") from None
    host = _to_ascii(text.lower()).removesuffix(".")
    labels = host.split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise FetchFailed("malformed host name")
    if not _NUMBER.fullmatch(labels[-1]):
        return host, False
    try:
        return str(ipaddress.IPv4Address(host)), True
    except ValueError:
        raise FetchFailed("IPv4 address in an unusual spelling") from None


def _to_ascii(host: str) -> str:
    """The host as A-labels. No mapping: a name that only looks like another (full-width digits, circled ones) is refused."""
    if host.isascii():
        return host
    if len(host) > 253:
        raise FetchFailed("malformed host name")
    if not unicodedata.is_normalized("NFC", host) or any(dot in host for dot in "\u3002\uff0e\uff61"):
        raise FetchFailed("host name that is not normalised")
    try:
        return idna.encode(host).decode("ascii").lower()
    except (idna.IDNAError, UnicodeError):
        raise FetchFailed("host name that IDNA does not allow") from None


class Guard:
    """Judges targets by the operator's settings and the table of special addresses."""

    def __init__(self, settings: MediaSettings) -> None:
        self._ports = frozenset(settings.allow_ports)
        self._hosts = frozenset(split_host(entry) for entry in settings.allow_hosts)
        self._allowed = [ipaddress.ip_network(cidr) for cidr in settings.allow_networks]
        self._denied = [ipaddress.ip_network(cidr) for cidr in settings.deny_networks]

    def admit(self, url: str) -> Target:
        """The target of a URL whose scheme, port and literal address are permitted; FetchFailed otherwise. Resolves nothing."""
        return self.check(parse_url(url))

    def check(self, target: Target) -> Target:
        """`target`, when its port and, for a literal, its address are permitted; FetchFailed otherwise."""
        if target.port not in self._ports and (target.host, target.port) not in self._hosts:
            raise FetchFailed(f"port {target.port} is not permitted")
        if target.literal:
            self.judge(target, [target.host])
        return target

    def judge(self, target: Target, answers: Sequence[str]) -> tuple[Address, ...]:
        """Every address that `target.host` resolved to, in order and once each; FetchFailed unless all of them are permitted."""
        if not answers:
            raise FetchFailed("the name has no address")
        if len(answers) > MAX_ANSWERS:
            raise FetchFailed("the name has too many addresses")
        trusted = bool({(target.host, None), (target.host, target.port)} & self._hosts)
        addresses = tuple(dict.fromkeys(_read_address(text) for text in answers))
        for address in addresses:
            reason = self._find_refusal(address, trusted=trusted)
            if reason is not None:
                raise FetchFailed(f"{address} is not public: {reason}")
        return addresses

    def _find_refusal(self, address: Address, *, trusted: bool) -> str | None:
        if is_in(address, self._denied):
            return "denied by the settings"
        for inner in embedded_ipv4(address):
            reason = self._find_refusal(inner, trusted=trusted)
            if reason is not None:
                return reason
        reason = find_special_use(address)
        if reason is None or is_in(address, self._allowed) or (trusted and reason in PRIVATE_USE):
            return None
        return reason


def _read_address(text: str) -> Address:
    """An address as a resolver gives it. Zones are refused; a mapped IPv4 address is left as it is, to be denied by name."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise FetchFailed("the resolver gave something that is no address") from None
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        raise FetchFailed("address with a zone")
    return address
