"""Two gateway processes behind haproxy are restarted one after the other under load: no call is lost."""

import asyncio
import json
import signal
from collections import Counter
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.e2e.process import Served, fake_call, serving
from tests.faults.client import Line, request_bytes
from tests.faults.figures import Asked, note, run, tell
from tests.faults.programs import free_port, haproxy

_LINES = 12
_KNOWN_AFTER_S = 3.0
"""The balancer asks three times a second, and believes the second answer."""


class Load:
    """Clients that call without end; `told` counts what came back."""

    def __init__(self, port: int, request: bytes, pause_s: float) -> None:
        self._port = port
        self._request = request
        self._pause_s = pause_s
        self.told: Counter[str] = Counter()
        self._tasks = [asyncio.create_task(self._run()) for _ in range(_LINES)]
        self._is_over = False

    async def stop(self) -> None:
        """Lets every call end."""
        self._is_over = True
        await asyncio.gather(*self._tasks)

    async def until(self, count: int) -> None:
        """Waits for so many answers in all."""
        while self.told.total() < count:
            await asyncio.sleep(0.05)

    async def _run(self) -> None:
        line = Line(self._port)
        while not self._is_over:
            reply = await line.call(self._request)
            self.told[str(reply.status) if reply.status else reply.broke] += 1
            await asyncio.sleep(self._pause_s)
        line.close()


async def measure(asked: Asked) -> None:
    """Both are replaced once while calls of 50 ms come all the time."""
    wanted = 2_000 if asked.short else 10_000
    wait_s = "2" if asked.short else "5"
    ports = [free_port(), free_port()]
    with TemporaryDirectory() as folder, ExitStack() as stack:
        first = stack.enter_context(_gateway(Path(folder) / "data", ports[0], wait_s))
        second = stack.enter_context(_gateway(Path(folder) / "data", ports[1], wait_s))
        port = stack.enter_context(haproxy(Path(folder), ports))
        await asyncio.sleep(1.5)
        body = json.dumps(fake_call("fake-chat?latency_ms=50")).encode()
        load = Load(
            port, request_bytes("/v1/inference", first.headers(), body), 0.0 if asked.short else 0.005
        )
        for number, old in enumerate((first, second)):
            await load.until(wanted * (1 + 2 * number) // 5)
            note(f"replacing process {number}")
            old.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(old.process.wait, 40)
            again = _gateway(Path(folder) / "data", ports[number], wait_s)
            await asyncio.to_thread(stack.enter_context, again)
            # As any rolling restart does: the next one goes when this one is known to be back.
            await asyncio.sleep(_KNOWN_AFTER_S)
        await load.until(wanted)
        await load.stop()
    lost = load.told.total() - load.told["200"]
    tell(
        asked,
        "rolling restart of two processes behind haproxy: calls lost",
        f"{lost} of {load.told.total():,}" + (f" ({dict(load.told)})" if lost else ""),
        f"0 of {wanted:,}",
        passed=lost == 0,
    )


def _gateway(data_dir: Path, port: int, wait_s: str) -> AbstractContextManager[Served]:
    return serving(
        data_dir,
        *("--port", str(port)),
        INFERWAY_SERVER__STOP_WAIT_S=wait_s,
        INFERWAY_LIMITS__PER_MINUTE="0",
        INFERWAY_LIMITS__PER_SECOND="0",
        INFERWAY_LIMITS__CONCURRENT="0",
    )


if __name__ == "__main__":
    run("rolling", measure)
