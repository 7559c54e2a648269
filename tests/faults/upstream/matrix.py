"""Every fault of the table at every provider, through a whole server: what the callers were told, and what was kept of it."""

import asyncio
import contextlib
import json
import sqlite3
import ssl
import time
import tomllib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.process import Served, serving
from tests.faults.client import Line, Reply, request_bytes
from tests.faults.programs import free_port
from tests.faults.upstream.plays import Turn
from tests.faults.upstream.table import TABLE, Fault, Told
from tests.faults.upstream.wires import KEY, OPENAI, WIRES, Wire
from tests.upstreams.certificates import Authority
from tests.upstreams.scripted import Peer, Upstream, scripted

_AT_ONCE = 24
_OVERRUN_S = 1.0
_GOOD = "well"


@dataclass
class Case:
    """A fault at a provider, and what was seen of it."""

    fault: Fault
    wire: Wire
    number: int
    url: str = ""
    arrived_at: list[float] = field(default_factory=list)
    reply: Reply = field(default_factory=lambda: Reply(0))
    took_s: float = 0.0
    wrong: list[str] = field(default_factory=list)

    @property
    def provider(self) -> str:
        return f"f{self.number}-{self.wire.kind}"

    @property
    def told(self) -> Told:
        return self.fault.told_of(self.wire)

    @property
    def name(self) -> str:
        return f"{self.fault.row} {self.fault.name} ({self.wire.kind})"

    def request_ids(self) -> list[str]:
        return [f"{self.provider}-{call}" for call in range(self.fault.calls)]


@dataclass
class Run:
    """A whole run: its cases, and what is wrong with the server after all of them."""

    cases: list[Case]
    wrong: list[str]

    def failures(self) -> list[str]:
        found = [f"{case.name}: {each}" for case in self.cases for each in case.wrong]
        return found + self.wrong


async def run_matrix(folder: Path, faults: tuple[Fault, ...] = TABLE) -> Run:
    """Plays every fault at every provider that can have it."""
    cases = [
        Case(fault, wire, number)
        for number, fault in enumerate(faults)
        for wire in WIRES
        if wire in fault.only
    ]
    async with AsyncExitStack() as stack:
        authority = Authority(folder)
        unknown = Authority(_made(folder / "unknown"))
        for case in cases:
            await stack.enter_async_context(_upstream(case, authority, unknown))
        good = await stack.enter_async_context(scripted(_good))
        config = folder / "faults.toml"
        config.write_text(_settings(cases, good), "utf-8")
        with serving(folder / "data", "--config", str(config), SSL_CERT_FILE=str(authority.file)) as served:
            slots = asyncio.Semaphore(_AT_ONCE)
            await asyncio.gather(*(_play(case, served, slots) for case in cases))
            wrong = await _afterwards(served)
            wrong += [f"exit status {status}" for status in [await asyncio.to_thread(served.stop)] if status]
        _check_records(cases, served.data_dir)
        wrong += _secrets_in(served)
    return Run(cases, wrong)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


@asynccontextmanager
async def _upstream(case: Case, authority: Authority, unknown: Authority) -> AsyncIterator[None]:
    """This case's own upstream, for as long as the block runs."""
    place = case.fault.place
    if place == "closed":
        case.url = case.wire.base_url("http", "127.0.0.1", free_port())
        yield
        return
    context: ssl.SSLContext | None = None
    if place.startswith("tls"):
        name = "other.example" if place == "tls_other_name" else "localhost"
        context = (unknown if place == "tls_unknown" else authority).server(
            name, expired=place == "tls_expired"
        )
    requests = 0

    async def script(peer: Peer) -> None:
        nonlocal requests
        if place == "greeting":
            if case.told.attempts:
                case.arrived_at.append(time.monotonic())
            await case.fault.play(Turn(peer, case.wire, 1, 1))
        on_connection = 0
        while True:
            await peer.request()
            requests += 1
            on_connection += 1
            case.arrived_at.append(time.monotonic())
            await case.fault.play(Turn(peer, case.wire, requests, on_connection))

    async with scripted(script, context) as upstream:
        secure = context is not None or case.fault.row == "U4"
        case.url = case.wire.base_url("https" if secure else "http", "localhost", upstream.port)
        yield


async def _good(peer: Peer) -> None:
    while True:
        await peer.request()
        await asyncio.sleep(0.2)
        await peer.answer(OPENAI.ok(), "content-type: application/json")


def _settings(cases: list[Case], good: Upstream) -> str:
    """A provider for each case, so that one fault's circuit is no other's; the largest answer is small, to be reached soon."""
    lines = ["[local]", "enabled = false", "[calls]", "answer_max_mb = 2", "connect_timeout_s = 2.0"]
    lines += ["[limits]", f"concurrent = {_AT_ONCE}", "per_second = 0", "per_minute = 0"]
    lines += [
        f"[providers.{_GOOD}]",
        'kind = "openai"',
        f'base_url = "{OPENAI.base_url("http", "127.0.0.1", good.port)}"',
    ]
    lines += [f'api_key = "{KEY}"']
    for case in cases:
        lines += [f'[providers."{case.provider}"]', f'kind = "{case.wire.kind}"']
        lines += [f'base_url = "{case.url}"', f'api_key = "{KEY}"']
    return "\n".join(lines) + "\n"


async def _play(case: Case, served: Served, slots: asyncio.Semaphore) -> None:
    fault = case.fault
    body: dict[str, Any] = {"provider": case.provider, "model": "m", "inputs": {"prompts": ["hi"]}}
    body |= {"stream": fault.stream, "parameters": {"timeout_s": fault.timeout_s}}
    line = Line(served.port)
    async with slots:
        for request_id in case.request_ids():
            headers = served.headers() | {"X-Request-Id": request_id}
            began = time.monotonic()
            case.reply = await line.call(request_bytes("/v1/inference", headers, json.dumps(body).encode()))
            case.took_s = time.monotonic() - began
            if case.reply.headers.get("x-request-id") != request_id:
                case.wrong.append("X-Request-Id is not told")
    line.close()
    _check(case)


def _check(case: Case) -> None:
    """The answer, the attempts and the time."""
    told, reply, wrong = case.told, case.reply, case.wrong
    overrun_s = case.took_s - case.fault.timeout_s
    if overrun_s > _OVERRUN_S:
        wrong.append(f"overran its deadline by {overrun_s:.1f} s")
    if reply.broke:
        wrong.append(reply.broke)
        return
    attempts = len(case.arrived_at) - (
        case.fault.calls - 1 if told.status == 200 and case.fault.calls > 1 else 0
    )
    if case.fault.calls == 1 and attempts != told.attempts:
        wrong.append(f"{attempts} attempts, not {told.attempts}")
    if case.fault.waits_s and len(case.arrived_at) > 1:
        waited_s = case.arrived_at[1] - case.arrived_at[0]
        if waited_s < case.fault.waits_s:
            wrong.append(f"waited {waited_s:.2f} s, not {case.fault.waits_s}")
    if KEY.encode() in reply.body or b"123456789012" in reply.body:
        wrong.append("a secret is told")
    envelope = _ending(reply)
    if told.status == 200:
        if reply.status != 200 or "data" not in envelope:
            wrong.append(f"status {reply.status} {envelope.get('error')}")
        elif not _are_counts(envelope["tokens_used"]) or (envelope["cost_usd"] or 0) < 0:
            wrong.append(f"tokens_used {envelope['tokens_used']}, cost_usd {envelope['cost_usd']}")
        return
    _check_error(case, envelope)


def _are_counts(tokens: Any) -> bool:
    return all(type(count) is int and 0 <= count <= 2 * 10**12 for count in tokens.values())


def _ending(reply: Reply) -> Any:
    """The body; of a stream, what its last event says."""
    text = reply.body.decode()
    if reply.headers.get("content-type", "").startswith("text/event-stream"):
        text = text.rstrip("\n").rpartition("data: ")[2]
    return json.loads(text)


def _check_error(case: Case, envelope: Any) -> None:
    told, reply, wrong = case.told, case.reply, case.wrong
    error = envelope.get("error", {})
    is_stream = reply.headers.get("content-type", "").startswith("text/event-stream")
    got = (envelope.get("status"), error.get("type"), error.get("code"))
    if got != (told.status, told.type, told.code) or envelope.get("success") is not False:
        wrong.append(f"told {got} {error.get('message')}")
    if not is_stream and reply.status != told.status:
        wrong.append(f"status {reply.status}")
    if told.status in (429, 500, 503):
        if error.get("details", {}).get("retryable") is not False:
            wrong.append("details.retryable is not false")
        if not is_stream and reply.headers.get("x-should-retry") != "false":
            wrong.append("x-should-retry is not false")
    if told.status in (429, 503) and not is_stream and "retry-after" not in reply.headers:
        wrong.append("no Retry-After")


async def _afterwards(served: Served) -> list[str]:
    """What is left behind in the server: no call under way, every place free, and good calls work."""
    wrong = []
    admin = tomllib.loads((served.data_dir / "credentials.toml").read_text())["admin_key"]
    body = json.dumps({"provider": _GOOD, "model": "m", "inputs": {"prompts": ["hi"]}}).encode()
    lines = [Line(served.port) for _ in range(_AT_ONCE)]
    replies = await asyncio.gather(
        *(line.call(request_bytes("/v1/inference", served.headers(), body)) for line in lines)
    )
    for line in lines:
        line.close()
    refused = [reply.status for reply in replies if reply.status != 200]
    if refused:
        wrong.append(f"of {_AT_ONCE} good calls at once, as many as may be, these failed: {refused}")
    under_way = -1.0
    for _ in range(50):
        under_way = await _under_way(served, admin)
        if under_way == 0:
            return wrong
        await asyncio.sleep(0.2)
    return [*wrong, f"{under_way} calls are still under way"]


async def _under_way(served: Served, admin: str) -> float:
    line = Line(served.port)
    reply = await line.call(request_bytes("/metrics", {"Authorization": f"Bearer {admin}"}, method="GET"))
    line.close()
    found = [each for each in reply.body.decode().splitlines() if each.startswith("inferway_inflight_calls")]
    return sum(float(each.rpartition(" ")[2]) for each in found) if found else -1.0


def _check_records(cases: list[Case], data_dir: Path) -> None:
    """Exactly one row for each call, with the right end."""
    with contextlib.closing(sqlite3.connect(data_dir / "inferway.db")) as database:
        rows = database.execute("SELECT request_id, status, error_code, cost_microusd FROM usage").fetchall()
    for case in cases:
        for request_id in case.request_ids():
            found = [row[1:] for row in rows if row[0] == request_id]
            code = case.told.code or None
            wanted = ("ok" if case.told.status == 200 else "error", code)
            if [row[:2] for row in found] != [wanted]:
                case.wrong.append(f"recorded as {found}, not {wanted}")
            if any((row[2] or 0) < 0 for row in found):
                case.wrong.append("a negative bill")


def _secrets_in(served: Served) -> list[str]:
    """Where a provider's key was written to."""
    files = [file for file in served.data_dir.rglob("*") if file.is_file()]
    return [f"a provider's key is in {file.name}" for file in files if KEY.encode() in file.read_bytes()]
