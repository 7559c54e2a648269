"""URLs that must never be fetched, of our own making, and what their names resolve to."""

import ipaddress
import itertools
from collections.abc import Iterator

_PRIVATE_V4 = (
    "127.0.0.1",
    "127.8.9.10",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.5.4",
    "192.168.1.1",
    "169.254.169.254",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "198.18.0.5",
    "224.0.0.1",
    "255.255.255.255",
)
_PRIVATE_V6 = (
    "::1",
    "::",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::a9fe:a9fe",
    "fec0::1",
    "ff02::1",
    "2001:db8::1",
    "3fff::1",
    "5f00::1",
    "100::1",
    "64:ff9b:1::7f00:1",
    "2001:10::1",
)
_PUBLIC = "93.184.216.34"


def _spellings(text: str) -> Iterator[str]:
    """Ways to write an IPv4 address that some resolver or parser reads as that address."""
    number = int(ipaddress.IPv4Address(text))
    a, b, c, d = (int(part) for part in text.split("."))
    yield text
    yield text + "."
    yield str(number)
    yield hex(number)
    yield f"0{number:o}"
    yield f"0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}"
    yield f"0{a:o}.0{b:o}.0{c:o}.0{d:o}"
    yield f"{a:04d}.{b:04d}.{c:04d}.{d:04d}"
    yield f"{a}.{b * 65536 + c * 256 + d}"
    yield f"{a}.{b}.{c * 256 + d}"
    yield f"0x{a:x}.{b}.0{c:o}.{d}"
    yield str(number + 2**32)
    yield text.replace(".", "\u3002")
    yield text.replace(".", "\uff0e")
    yield "".join(chr(0xFF10 + int(c)) if c.isdigit() else c for c in text)
    yield "".join(
        chr(0x245F + int(c)) if c.isdigit() and c != "0" else c.replace("0", "\u24ea") for c in text
    )
    yield "".join(f"%{ord(c):02x}" for c in text)


def _wrappings(text: str) -> Iterator[str]:
    """IPv6 addresses that lead to an IPv4 address."""
    number = int(ipaddress.IPv4Address(text))
    yield f"::ffff:{text}"
    yield f"::{text}" if number > 0xFFFF else f"::{number + 2:x}"
    yield f"::ffff:0:{text}"
    yield f"64:ff9b::{text}"
    yield f"2002:{number >> 16:x}:{number & 0xFFFF:x}::1"
    inverted = number ^ 0xFFFFFFFF
    yield f"2001:0:5db8:d822:0:0:{inverted >> 16:x}:{inverted & 0xFFFF:x}"
    yield f"2606:4700::5efe:{text}"
    yield f"2606:4700::200:5efe:{text}"
    yield f"0:0:0:0:0:ffff:{number >> 16:x}:{number & 0xFFFF:x}"


def literals() -> Iterator[str]:
    """Hosts that are addresses, in every spelling."""
    for text in _PRIVATE_V4:
        yield from _spellings(text)
        yield from (f"[{one}]" for one in _wrappings(text))
    for text in _PRIVATE_V6:
        yield f"[{text}]"
        yield f"[{ipaddress.IPv6Address(text).exploded}]"
    yield from (
        "[fe80::1%25lo]",
        "[fe80::1%lo]",
        "[::1%1]",
        "[::1]x",
        "[v1.127.0.0.1]",
        "[127.0.0.1]",
        "::1",
        "[]",
        "[::1",
    )


SHAPES = (
    "file:///etc/passwd",
    "file://localhost/etc/passwd",
    "gopher://{p}:70/_x",
    "ftp://{p}/a.png",
    "ftps://{p}/a.png",
    "dict://{p}:11211/stats",
    "ldap://{p}/",
    "tftp://{p}/a",
    "sftp://{p}/a",
    "jar:http://{p}!/a",
    "data:image/png;base64,iVBORw0KGgo=",
    "javascript:alert(1)",
    "netdoc:///etc/passwd",
    "ws://{p}/",
    "blob:http://{p}/a",
    "view-source:http://{p}/",
    "unix:///run/docker.sock",
    "http+unix://%2Frun%2Fdocker.sock/",
    "phar://a",
    "concat:http://{p}/a",
    "//{p}/a.png",
    "/a.png",
    "a.png",
    "{p}",
    "{p}/a.png",
    "",
    " ",
    "http:",
    "http:/",
    "http://",
    "http:///",
    "http:///{p}/",
    "http:/{p}/",
    "http:{p}/",
    "http:\\\\{p}\\",
    "http:/\\{p}/",
    "http://\\{p}/",
    "https:///127.0.0.1/",
    "http://{p}@127.0.0.1/",
    "http://user@{p}/",
    "http://user:pass@{p}/",
    "http://@{p}/",
    "http://:@{p}/",
    "http://{p}:80@127.0.0.1/",
    "http://127.0.0.1@{p}/",
    "http://127.0.0.1:80@{p}/",
    "http://{p}\\@127.0.0.1/",
    "http://127.0.0.1\\@{p}/",
    "http://127.0.0.1#@{p}/",
    "http://127.0.0.1/?@{p}",
    "http://127.0.0.1;@{p}/",
    "http://{p}%40127.0.0.1/",
    "http://{p}%00.127.0.0.1/",
    "http://{p}%2e127.0.0.1/",
    "http://127.0.0.1%2f@{p}/",
    "http://127.0.0.1%09/",
    "http://127.0.0.1 /",
    "http://127.0.0.1\t/",
    "http://127.0.\t0.1/",
    "http://127.0.0.1\n/",
    "http://127.0.0.1\r\n/",
    "ht\ntp://127.0.0.1/",
    "\thttp://127.0.0.1/",
    " http://127.0.0.1/",
    "http://{p}/a b",
    "http://{p}/a\r\nHost: 127.0.0.1",
    "http://{p}/\x00",
    "http://{p}/\x7f",
    "http://{p}/\u2028",
    "http://{p}/\u200b",
    "http://{p}/\ud800",
    "http://{p}\u00a0/",
    "http://\u00ad127.0.0.1/",
    "http://{p}:22/",
    "http://{p}:25/",
    "http://{p}:6379/",
    "http://{p}:8080/",
    "http://{p}:0/",
    "http://{p}:65536/",
    "http://{p}:99999/",
    "http://{p}:-80/",
    "http://{p}:+80/",
    "http://{p}:80:22/",
    "http://{p}:/",
    "http://{p}:\uff18\uff10/",
    "http://{p}:0x50/",
    "http://{p}:080/",
    "http://{p}:80x/",
    "http://{p}: 80/",
    "http://..{p}/",
    "http://./",
    "http://a..b/",
    "http://.example/",
    "http://-/",
    "http://*/",
    "http://[::1]@{p}/",
    "http://[{p}]/",
    "http://[::1]:22/",
    "http://{p},127.0.0.1/",
    "http://{p}|127.0.0.1/",
    "http://{p}$127.0.0.1/",
    "http://{p}&127.0.0.1/",
    "http://(127.0.0.1)/",
    "http://{{127.0.0.1}}/",
    "http://1.1.1.1 &@127.0.0.1# @2.2.2.2/",
    "http://256.256.256.256/",
    "http://1.2.3/",
    "http://1.2.3.4.5/",
    "http://0/",
    "http://0x/",
    "http://1/",
    "http://{p}/" + "a" * 9000,
    "http://" + "a" * 300 + ".example/",
    "http://" + "a." * 130 + "example/",
)

# Names, and every address that the resolver gives for them. One bad address is enough.
NAMES: dict[str, tuple[str, ...]] = {
    "localhost": ("127.0.0.1", "::1"),
    "private.example": ("10.0.0.5",),
    "mixed.example": (_PUBLIC, "10.0.0.5"),
    "mixed-first.example": ("10.0.0.5", _PUBLIC),
    "mixed-aaaa.example": (_PUBLIC, "::1"),
    "mixed-metadata.example": (_PUBLIC, "169.254.169.254"),
    "cname-to-private.example": ("192.168.0.7",),
    "mapped.example": ("::ffff:127.0.0.1",),
    "compatible.example": ("::7f00:1",),
    "nat64.example": ("64:ff9b::7f00:1",),
    "nat64-local.example": ("64:ff9b:1::7f00:1",),
    "6to4.example": ("2002:7f00:1::1",),
    "teredo.example": ("2001:0:5db8:d822:0:0:80ff:fffe",),
    "isatap.example": ("2606:4700::5efe:7f00:1",),
    "site-local.example": ("fec0::1",),
    "ula.example": ("fd12:3456::1",),
    "link-local.example": ("fe80::1%2",),
    "multicast.example": ("239.1.2.3",),
    "broadcast.example": ("255.255.255.255",),
    "cgnat.example": ("100.64.0.1",),
    "azure.example": ("168.63.129.16",),
    "6to4-relay.example": ("192.88.99.1",),
    "zero.example": ("0.0.0.0",),
    "srv6.example": ("5f00::1",),
    "documentation.example": ("3fff::1",),
    "metadata.google.internal": ("169.254.169.254",),
    "instance-data": ("169.254.169.254",),
    "empty.example": (),
    "many.example": (_PUBLIC,) * 65,
    "nonsense.example": ("not an address",),
}


def urls() -> list[str]:
    """All of them, on the default ports."""
    hosts = itertools.chain(literals(), NAMES, (name.upper() + "." for name in NAMES))
    by_host = [f"{scheme}://{host}/a.png" for host in hosts for scheme in ("http", "https")]
    return list(dict.fromkeys(by_host + [shape.format(p=_PUBLIC) for shape in SHAPES]))
