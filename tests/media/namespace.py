"""A program that runs in a network namespace of its own, where every address is this machine and every name is answered here.

It fetches all hostile URLs and some honest ones with the real resolver and dialler, and prints what was reached as JSON.
Run as `unshare --net --mount [--map-root-user] python -m tests.media.namespace`.
"""

import asyncio
import contextlib
import ipaddress
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import uvloop

from inferway.media.loader import MediaLoader
from inferway.media.policy import MediaSettings
from inferway.media.refusals import MediaUnavailable
from inferway.types import Media, MediaKind
from tests.faults.namespaces import require_own_namespaces
from tests.media import hostile, samples
from tests.media.origin import PUBLIC, PUBLIC_V6, redirect, response

_PORTS = (22, 25, 70, 80, 443, 6379, 8080, 11211)
_CONTROLS = {PUBLIC, PUBLIC_V6, "8.8.8.8"}
_PRIVATE = ("127.0.0.1", "10.0.0.5", "169.254.169.254", "192.168.0.7")
_TYPE_A, _TYPE_CNAME, _TYPE_AAAA = 1, 5, 28

_HONEST = {
    "good.example": (PUBLIC,),
    "both.example": (PUBLIC, PUBLIC_V6),
    "xn--bcher-kva.example": (PUBLIC,),
}
_HONEST_URLS = (
    "http://good.example/a.png",
    "http://GOOD.example.:80/a.png?x=1",
    "http://both.example/a.png",
    "http://b\u00fccher.example/a.png",
    f"http://{PUBLIC}/a.png",
    f"http://[{PUBLIC_V6}]/a.png",
    "http://good.example/to?/a.png",
    "http://good.example/to?http://both.example/a.png",
)


def _lay_network() -> None:
    """Make every IPv4 and IPv6 address one of this machine's, and this machine its own name server."""
    require_own_namespaces()
    for command in (
        "ip link set lo up",
        "ip route add local 0.0.0.0/0 dev lo",
        "ip -6 route add local ::/0 dev lo",
    ):
        subprocess.run(command.split(), check=True)
    folder = Path(tempfile.mkdtemp())
    files = {
        "resolv.conf": "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
        "hosts": "127.0.0.1 localhost\n",
    }
    for name, text in (files | {"nsswitch.conf": "hosts: files dns\n"}).items():
        (folder / name).write_text(text)
        target = Path("/etc", name).resolve()
        if target.exists():
            subprocess.run(["mount", "--bind", folder / name, target], check=True)


class Names(asyncio.DatagramProtocol):
    """A name server (RFC 1035): the table, names that change their mind, an alias, failures and silence."""

    def __init__(self) -> None:
        self._asked: Counter[tuple[str, int]] = Counter()
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the socket."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Answer one question."""
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1 : at + 1 + data[at]].decode())
            at += 1 + data[at]
        name, kind = ".".join(labels).lower(), struct.unpack_from(">H", data, at + 1)[0]
        if name == "silent.example":
            return
        rcode, records = self._answer(name, kind)
        question = data[12 : at + 5]
        head = data[:2] + struct.pack(">HHHHH", 0x8180 | rcode, 1, len(records), 0, 0)
        body = b"".join(_record(owner, type_, content) for owner, type_, content in records)
        assert self._transport is not None
        self._transport.sendto(head + question + body, addr)

    def _answer(self, name: str, kind: int) -> tuple[int, list[tuple[str, int, bytes]]]:
        if name == "servfail.example":
            return 2, []
        records = []
        if name == "alias.example":
            records.append((name, _TYPE_CNAME, _encode("private.example")))
            name = "private.example"
        addresses = self._addresses(name, kind)
        if addresses is None:
            return 3, []
        wanted = 4 if kind == _TYPE_A else 6 if kind == _TYPE_AAAA else 0
        records += [(name, kind, address.packed) for address in addresses if address.version == wanted]
        return 0, records

    def _addresses(self, name: str, kind: int) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address] | None:
        if name.endswith(".rebind.example"):
            # Public for the first question, private for each later one.
            self._asked[name, kind] += 1
            first = self._asked[name, kind] == 1
            return [
                ipaddress.ip_address(
                    PUBLIC if first else name.removesuffix(".rebind.example").replace("-", ".")
                )
            ]
        texts = hostile.NAMES.get(name) or _HONEST.get(name)
        if texts is None:
            return None
        return [ipaddress.ip_address(text.partition("%")[0]) for text in texts if text != "not an address"]


def _encode(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def _record(owner: str, kind: int, content: bytes) -> bytes:
    """A resource record that may not be kept (TTL 0)."""
    return _encode(owner) + struct.pack(">HHIH", kind, 1, 0, len(content)) + content


class Canary:
    """Listens on every port at every address; notes which of the forbidden ones were reached."""

    def __init__(self) -> None:
        self.reached: Counter[str] = Counter()
        self.controls = 0

    async def listen(self) -> list[asyncio.Server]:
        """Start listening."""
        return [
            await asyncio.start_server(self._serve, host, port)
            for port in _PORTS
            for host in ("0.0.0.0", "::")
        ]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address, port = writer.get_extra_info("sockname")[:2]
        if address in _CONTROLS and port == 80:
            self.controls += 1
        else:
            self.reached[f"{address}:{port}"] += 1
        try:
            path = (await reader.readline()).decode("latin-1").split(" ")[1]
            is_redirect = path.startswith("/to?")
            writer.write(redirect(path.removeprefix("/to?")) if is_redirect else response(samples.png()))
            await writer.drain()
        except (ConnectionError, IndexError):
            pass
        finally:
            writer.close()


def _naive(url: str) -> None:
    """What a fetcher without a guard does."""
    # Whatever it meets: only the canary's count matters.
    with contextlib.suppress(Exception):
        urllib.request.urlopen(url, timeout=1).close()


async def _fetch(loader: MediaLoader, url: str) -> str:
    try:
        await loader.load(Media(kind=MediaKind.IMAGE, url=url), deadline_s=30)
    except MediaUnavailable:
        return "refused"
    except Exception as failure:  # noqa: BLE001  # Reported: any other failure is a finding.
        return f"{type(failure).__name__} for {url[:80]!r}"
    return "loaded"


def hostile_urls() -> list[str]:
    """The common list, redirects to all of it that a header can carry, and the names that only a real resolver has."""
    direct = hostile.urls()
    absolute = [
        url for url in direct if "://" in url and url.isascii() and url.isprintable() and " " not in url
    ]
    names = ["alias.example", "servfail.example", "silent.example", "unknown.example"]
    return (
        direct
        + [f"http://good.example/to?{url}" for url in absolute if "#" not in url]
        + [f"http://{n}/" for n in names]
    )


async def _rebind(loader: MediaLoader) -> Counter[str]:
    """Names that are public once: the first fetch may go there, no later one anywhere."""
    hosts = [address.replace(".", "-") + ".rebind.example" for address in _PRIVATE]
    outcomes: Counter[str] = Counter()
    for _round in range(3):
        outcomes.update(await asyncio.gather(*(_fetch(loader, f"http://{host}/a.png") for host in hosts)))
    return outcomes


async def main() -> None:
    """Do it all and print the counts."""
    _lay_network()
    loop = asyncio.get_running_loop()
    canary = Canary()
    servers = await canary.listen()
    names, _protocol = await loop.create_datagram_endpoint(
        Names, local_addr=("127.0.0.1", 53), family=socket.AF_INET
    )
    loader = MediaLoader(MediaSettings())
    urls = hostile_urls()
    # A fetcher that asks the environment for a proxy would go straight to the canary.
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"), "http://127.0.0.1:8080")
    os.environ.update(proxies)
    outcomes = Counter(await asyncio.gather(*(_fetch(loader, url) for url in urls)))
    rebinding = await _rebind(loader)
    reached = dict(canary.reached)
    honest = Counter(await asyncio.gather(*(_fetch(loader, url) for url in _HONEST_URLS)))
    for name in proxies:
        del os.environ[name]
    with ThreadPoolExecutor(16) as threads:
        sample = [url for url in urls if url.startswith("http://") and "/to?" not in url]
        await asyncio.gather(*(loop.run_in_executor(threads, _naive, url) for url in sample))
    report = {
        "hostile": len(urls),
        "outcomes": outcomes,
        "rebinding": rebinding,
        "reached": reached,
        "honest": honest,
        "naive_reached": sum(canary.reached.values()) - sum(reached.values()),
    }
    json.dump(report, sys.stdout)
    names.close()
    loader.close()
    for server in servers:
        server.close()


if __name__ == "__main__":
    # The loop that the server runs on.
    uvloop.run(main())
