"""The database of two gateways goes away, hangs, comes late and comes back: calls and usage meanwhile; and a key taken back under load."""

import asyncio
import contextlib
import itertools
import json
import time
import tomllib
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg

from inferway.access.keys import mint_key
from tests.databases.postgres import Postgres, postgres_server
from tests.e2e.process import Served, fake_call, run, serving
from tests.faults.client import Line, Reply, request_bytes
from tests.faults.figures import Asked, note, tell
from tests.faults.figures import run as run_scenario

PROBLEM_S = 5.0
"""What a call may take while the database hangs: more than any one wait in the gateway, less than callers notice."""
_LINES = 4
_WAIT_S = 60.0
_LIMITS_OFF = {
    "INFERWAY_LIMITS__PER_MINUTE": "0",
    "INFERWAY_LIMITS__PER_SECOND": "0",
    "INFERWAY_LIMITS__CONCURRENT": "0",
}


def gateway(data_dir: Path, url: str, **more: str) -> contextlib.AbstractContextManager[Served]:
    """A server on the database."""
    return serving(
        data_dir, **{"INFERWAY_DATABASE_URL": url, "INFERWAY_LOCAL__ENABLED": "false", **_LIMITS_OFF, **more}
    )


def inference_key(data_dir: Path) -> str:
    """The key of whoever founded the store."""
    return str(tomllib.loads((data_dir / "credentials.toml").read_text())["inference_key"])


class Caller:
    """Calls with one key, each with a request id of its own; `acknowledged` are those of the calls that got a 200."""

    def __init__(self, port: int, key: str, name: str) -> None:
        self._line, self._key, self._name = Line(port, timeout_s=20), key, name
        self._numbers = itertools.count()
        self.told: Counter[int] = Counter()
        self.acknowledged: list[str] = []
        self.slowest_s = 0.0
        self.refused = False
        self.last_let_in_at = 0.0

    async def call(self) -> Reply:
        request_id = f"{self._name}-{next(self._numbers)}"
        headers = {
            "Authorization": f"Bearer {self._key}",
            "X-Namespace": "default",
            "X-Request-Id": request_id,
            "Content-Type": "application/json",
        }
        began = time.monotonic()
        reply = await self._line.call(
            request_bytes("/v1/inference", headers, json.dumps(fake_call()).encode())
        )
        ended = time.monotonic()
        self.slowest_s = max(self.slowest_s, ended - began)
        self.told[reply.status] += 1
        if reply.status == 200:
            self.acknowledged.append(request_id)
            self.last_let_in_at = ended
        elif reply.status == 401:
            self.refused = True
        return reply

    async def keep_calling(self, until: asyncio.Event, pause_s: float = 0.02) -> None:
        while not until.is_set():
            await self.call()
            await asyncio.sleep(pause_s)

    def close(self) -> None:
        self._line.close()


@contextlib.asynccontextmanager
async def calling(callers: list[Caller]) -> AsyncIterator[None]:
    """The callers call all the time, within the block."""
    over = asyncio.Event()
    tasks = [asyncio.create_task(each.keep_calling(over)) for each in callers]
    try:
        yield
    finally:
        over.set()
        await asyncio.gather(*tasks)
        for each in callers:
            each.close()


async def recorded(url: str) -> Counter[str]:
    """How often each request id is in the ledger."""
    connection = await asyncpg.connect(url)
    try:
        return Counter(row[0] for row in await connection.fetch("SELECT request_id FROM usage"))
    finally:
        await connection.close()


async def until_recorded(url: str, wanted: set[str]) -> tuple[Counter[str], float]:
    """The ledger once these are in it, and the seconds until then."""
    began = time.monotonic()
    while True:
        found = await recorded(url)
        if wanted <= set(found):
            return found, time.monotonic() - began
        assert time.monotonic() - began < _WAIT_S, f"{len(wanted - set(found))} calls are missing"
        await asyncio.sleep(0.1)


async def until_ready(served: Served) -> float:
    """The seconds until a server says that it is ready."""
    began = time.monotonic()
    while await asyncio.to_thread(served.get, "/v1/health/readiness") != 200:
        assert time.monotonic() - began < _WAIT_S, served.stderr
        await asyncio.sleep(0.05)
    return time.monotonic() - began


@contextlib.contextmanager
def trouble(server: Postgres, kind: str) -> Iterator[None]:
    """The server is gone (`stop`: connections are cut) or hangs (`freeze`: they stay, and nothing comes) within the block."""
    if kind == "freeze":
        server.freeze()
        try:
            yield
        finally:
            server.thaw()
    else:
        server.stop()
        try:
            yield
        finally:
            server.start()


async def outage(asked: Asked, server: Postgres, kind: str, *, seconds: float) -> None:
    """Known keys go on, unknown ones are told 503, nobody waits, and usage follows once it is over."""
    name = {"stop": "database stopped", "freeze": "database hanging (SIGSTOP)"}[kind]
    url = server.new_database()
    with TemporaryDirectory() as folder, gateway(Path(folder), url) as served:
        known = [Caller(served.port, inference_key(Path(folder)), f"{kind}{n}") for n in range(_LINES)]
        unknown = Caller(served.port, mint_key(), "unknown")
        await asyncio.gather(*(each.call() for each in known))
        with trouble(server, kind):
            async with calling([*known, unknown]):
                await asyncio.sleep(seconds)
            ready = await asyncio.to_thread(served.get, "/v1/health/readiness")
        acknowledged = {each for caller in known for each in caller.acknowledged}
        found, drained_s = await until_recorded(url, acknowledged)
    told: Counter[int] = sum((each.told for each in known), Counter())
    slowest_s = max(each.slowest_s for each in [*known, unknown])
    tell(
        asked,
        f"{name}: calls of a known key that were answered",
        f"{told[200]} of {told.total()}; readiness {ready}",
        "all, 200",
        passed=told.total() == told[200] > 0 and ready == 200,
    )
    tell(
        asked,
        f"{name}: what an unknown key is told",
        dict(unknown.told),
        "503 only",
        passed=set(unknown.told) == {503},
    )
    tell(
        asked,
        f"{name}: slowest call",
        f"{slowest_s:.2f} s",
        f"{PROBLEM_S:.0f} s",
        passed=slowest_s < PROBLEM_S,
    )
    twice = sum(count > 1 for count in found.values())
    tell(
        asked,
        f"{name}: calls recorded afterwards",
        f"{len(acknowledged)} of {len(acknowledged)}, {twice} twice, after {drained_s:.1f} s",
        "all, 0",
        passed=twice == 0,
    )


async def late(asked: Asked, server: Postgres) -> None:
    """A gateway that starts before its database serves once it has come."""
    url = server.new_database()
    server.stop()
    with TemporaryDirectory() as folder, gateway(Path(folder), url) as served:
        caller = Caller(served.port, mint_key(), "early")
        before = {served.get("/v1/health/readiness"), served.get("/v1/health/liveness")}
        for _ in range(5):
            await caller.call()
        caller.close()
        server.start()
        ready_s = await until_ready(served)
        first = Caller(served.port, inference_key(Path(folder)), "first")
        answered = (await first.call()).status
        first.close()
    tell(
        asked,
        "database away at start: what a key is told, readiness and liveness",
        f"{dict(caller.told)}, {sorted(before)}",
        "503 only, never 401; 503 and 200",
        passed=set(caller.told) == {503} and before == {200, 503},
    )
    tell(
        asked,
        "database away at start: ready after it came",
        f"{ready_s:.1f} s, first call {answered}",
        "10 s, 200",
        passed=ready_s < 10 and answered == 200,
    )


async def closed(asked: Asked, server: Postgres) -> None:
    """With no grace nobody is let in that cannot be looked up."""
    url = server.new_database()
    with (
        TemporaryDirectory() as folder,
        gateway(Path(folder), url, INFERWAY_ACCESS__OUTAGE_GRACE_S="0") as served,
    ):
        caller = Caller(served.port, inference_key(Path(folder)), "closed")
        let_in = (await caller.call()).status
        with trouble(server, "stop"):
            began = time.monotonic()
            async with calling([caller]):
                await asyncio.sleep(8)
        closed_s = caller.last_let_in_at - began
    tell(
        asked,
        "database stopped, no grace (access.outage_grace_s = 0): seconds until no call is let in",
        f"{max(closed_s, 0):.1f} s, then {dict(caller.told)}",
        "5 s, then 503 only",
        passed=let_in == 200 and closed_s <= 5 and set(caller.told) <= {200, 503} and caller.told[503] > 0,
    )


async def revocation(asked: Asked, server: Postgres) -> None:
    """Two gateways with a folder each share a database; the command line takes a key back while both are called with it."""
    url = server.new_database()
    with contextlib.ExitStack() as stack:
        folders = [Path(stack.enter_context(TemporaryDirectory())) for _ in range(2)]
        ports = [stack.enter_context(gateway(folder, url)).port for folder in folders]
        key = inference_key(folders[0])
        callers = [Caller(port, key, f"g{port}") for port in ports for _ in range(_LINES)]
        async with calling(callers):
            await asyncio.sleep(2)
            done = await asyncio.to_thread(
                run, "key", "revoke", "inference", data_dir=folders[0], env={"INFERWAY_DATABASE_URL": url}
            )
            assert done.returncode == 0, done.stderr
            revoked_at = time.monotonic()
            await asyncio.sleep(7)
    seconds = [max(0.0, each.last_let_in_at - revoked_at) for each in callers]
    by_gateway = [max(seconds[:_LINES]), max(seconds[_LINES:])]
    told: Counter[int] = sum((each.told for each in callers), Counter())
    tell(
        asked,
        "revocation under load, two processes on PostgreSQL: seconds until refused by each",
        f"{by_gateway[0]:.1f} s and {by_gateway[1]:.1f} s ({told[200]:,} calls before, {told[401]:,} refused)",
        "5 s",
        # Who goes on with a bad key is told 429 after a while.
        passed=max(by_gateway) <= 5
        and all(each.refused for each in callers)
        and set(told) <= {200, 401, 429},
    )


async def measure(asked: Asked) -> None:
    """Each on a database of its own, all on one server."""
    with postgres_server() as server:
        await late(asked, server)
        for kind in ("stop", "freeze"):
            note(f"trouble: {kind}")
            await outage(asked, server, kind, seconds=6 if asked.short else 30)
        await closed(asked, server)
        await revocation(asked, server)


if __name__ == "__main__":
    run_scenario("outage", measure)
