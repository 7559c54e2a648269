"""Networks that swallow everything and name servers that fail: a server inside a network namespace of its own."""

import asyncio
import json
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, cast

from tests.e2e.process import Served, serving
from tests.faults.client import Line, Reply, request_bytes
from tests.faults.figures import Asked, tell
from tests.faults.namespaces import found_in_namespace, require_own_namespaces
from tests.faults.upstream.wires import OPENAI, WIRES, Wire
from tests.upstreams.scripted import Peer, scripted

_ROOT = Path(__file__).parents[3]
_CONNECT_S = 1.0
_TIMEOUT_S = 6.0
_HOSTS = {
    "U2 black hole": "192.0.2.9",
    "U3 unknown name": "unknown.example",
    "U3 name server fails": "servfail.example",
    "U3 name server is silent": "{wire}.silent.example",
}
"""Each provider has a silent name of its own: one look-up that lasts for ever must not hold up the others, however many there are."""
_TYPE_A = 1


async def measure(asked: Asked) -> None:
    """Runs this module's program in its namespace and reads what it found."""
    found = await found_in_namespace("tests.faults.upstream.unreachable")
    tell(
        asked,
        "unreachable (black hole, unknown name, failing and silent name server) × 3 providers: told as they must be",
        f"{found['right']} of {found['calls']}" + "".join(f"; {each}" for each in found["wrong"][:5]),
        "12 of 12",
        passed=found["right"] == found["calls"] == 12,
    )
    tell(
        asked,
        "silent name server: slowest call to a provider with an address, and with another name, meanwhile",
        f"{found['address_ms']:.0f} ms, {found['name_ms']:.0f} ms",
        "500 ms",
        passed=max(found["address_ms"], found["name_ms"]) <= 500,
    )
    tell(
        asked,
        "unknown name: questions to the name server for 30 calls in a row within its five seconds",
        found["questions"],
        "4",
        passed=found["questions"] <= 4,
    )


def _lay_network() -> None:
    """This machine its own name server, and a cable down which packets for 192.0.2.9 vanish."""
    require_own_namespaces()
    for command in (
        "ip link set lo up",
        "ip link add hole type veth peer name bottom",
        "ip addr add 192.0.2.1/24 dev hole",
        "ip link set hole up",
        "ip link set bottom up",
        # Whoever has this hardware address, it is nobody here.
        "ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev hole",
    ):
        subprocess.run(command.split(), check=True)
    folder = Path(tempfile.mkdtemp())
    files = {"resolv.conf": "nameserver 127.0.0.1\n", "hosts": "127.0.0.1 localhost\n"}
    for name, text in (files | {"nsswitch.conf": "hosts: files dns\n"}).items():
        (folder / name).write_text(text)
        target = Path("/etc", name).resolve()
        if target.exists():
            subprocess.run(["mount", "--bind", folder / name, target], check=True)


class _Names(asyncio.DatagramProtocol):
    """A name server (RFC 1035) that knows one name, and fails for the others in the way that they say."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1 : at + 1 + data[at]].decode())
            at += 1 + data[at]
        name, kind = ".".join(labels).lower(), struct.unpack_from(">H", data, at + 1)[0]
        self.asked[name] += 1
        if name.endswith(".silent.example"):
            return
        rcode = {"good.example": 0, "servfail.example": 2}.get(name, 3)
        records = [data[12 : at + 1] + struct.pack(">HHIH", kind, 1, 0, 4) + socket.inet_aton("127.0.0.1")]
        answers = records if rcode == 0 and kind == _TYPE_A else []
        head = data[:2] + struct.pack(">HHHHH", 0x8180 | rcode, 1, len(answers), 0, 0)
        assert self._transport is not None
        self._transport.sendto(head + data[12 : at + 5] + b"".join(answers), addr)


async def _good(peer: Peer) -> None:
    """Answers, and hangs up, so that each call connects anew."""
    await peer.request()
    await peer.answer(OPENAI.ok(), "content-type: application/json", "connection: close")


def _name(what: str, wire: Wire) -> str:
    return f"{what.replace(' ', '-').lower()}-{wire.kind}"


def _at(host: str, wire: Wire) -> tuple[str, str]:
    return wire.kind, wire.base_url("http", host.format(wire=wire.kind), 80)


def _settings(folder: Path, port: int) -> str:
    lines = [
        "[local]",
        "enabled = false",
        "[calls]",
        f"connect_timeout_s = {_CONNECT_S}",
        "breaker_failures = 0",
    ]
    addresses = {
        "address": ("openai", f"http://127.0.0.1:{port}/v1"),
        "name": ("openai", f"http://good.example:{port}/v1"),
    }
    for what, host in _HOSTS.items():
        addresses |= {_name(what, wire): _at(host, wire) for wire in WIRES}
    for name, (kind, url) in addresses.items():
        lines += [f'[providers."{name}"]', f'kind = "{kind}"', f'base_url = "{url}"', 'api_key = "sk-x"']
    file = folder / "faults.toml"
    file.write_text("\n".join(lines) + "\n", "utf-8")
    return str(file)


async def _call(served: Served, provider: str, timeout_s: float = _TIMEOUT_S) -> tuple[Reply, float]:
    body = {"provider": provider, "model": "m", "inputs": {"prompts": ["hi"]}}
    request = body | {"parameters": {"timeout_s": timeout_s}}
    line = Line(served.port)
    began = time.perf_counter()
    reply = await line.call(request_bytes("/v1/inference", served.headers(), json.dumps(request).encode()))
    line.close()
    return reply, time.perf_counter() - began


async def _unreachable(served: Served) -> list[str]:
    """What is wrong with the answers of calls that can reach nobody."""
    names = [_name(what, wire) for what in _HOSTS for wire in WIRES]
    wrong = []
    for name, (reply, took_s) in zip(
        names, await asyncio.gather(*(_call(served, name) for name in names)), strict=True
    ):
        error = json.loads(reply.body)["error"]
        told = (reply.status, error["type"], error["code"], error["details"]["retryable"])
        if told != (503, "InferenceServiceUnavailableError", "provider_unreachable", False):
            wrong.append(f"{name}: {told}")
        elif took_s > _TIMEOUT_S + 1 or "retry-after" not in reply.headers:
            wrong.append(f"{name}: {took_s:.1f} s, {reply.headers}")
    return wrong


async def _beside_silence(served: Served, provider: str) -> float:
    """The slowest of twenty calls to a provider, in ms, while others wait for the silent name server."""
    silent = [_call(served, _name("U3 name server is silent", wire)) for wire in WIRES for _ in range(5)]
    waiting = asyncio.gather(*silent)
    await asyncio.sleep(0.1)
    times_s = []
    for _ in range(20):
        reply, took_s = await _call(served, provider)
        if reply.status != 200:
            raise SystemExit(f"{provider}: {reply.status} {reply.body!r} {served.stderr[-1500:]}")
        times_s.append(took_s)
    await waiting
    return max(times_s) * 1000


async def main() -> None:
    """Does it all and prints what was found."""
    _lay_network()
    loop = asyncio.get_running_loop()
    transport, names = await loop.create_datagram_endpoint(
        _Names, local_addr=("127.0.0.1", 53), family=socket.AF_INET
    )
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        async with scripted(_good) as good:
            with serving(folder / "data", "--config", _settings(folder, good.port)) as served:
                await _call(served, "name")
                wrong = await _unreachable(served)
                address_ms = await _beside_silence(served, "address")
                name_ms = await _beside_silence(served, "name")
                await asyncio.sleep(5)
                names.asked.clear()
                began = time.monotonic()
                calls = [_call(served, _name("U3 unknown name", WIRES[0]), timeout_s=0.2) for _ in range(30)]
                for call in calls:
                    await call
                took_s = time.monotonic() - began
    asked = names.asked["unknown.example"]
    report = {
        "calls": 12,
        "right": 12 - len(wrong),
        "wrong": wrong,
        "address_ms": address_ms,
        "name_ms": name_ms,
    }
    # Two questions (IPv4 and IPv6) make one look-up, and there may be one every five seconds.
    report["questions"] = asked / (1 + took_s // 5)
    json.dump(report, sys.stdout)
    transport.close()


if __name__ == "__main__":
    asyncio.run(main())
