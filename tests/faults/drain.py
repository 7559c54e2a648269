"""SIGTERM with a hundred long calls under way, half of them streams: all are kept, and the process ends in time."""

import asyncio
import json
import signal
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.e2e.process import Served, serving
from tests.faults.client import Line, Reply, request_bytes
from tests.faults.figures import Asked, run, tell


async def measure(asked: Asked) -> None:
    """Calls of up to 20 s (5 s when short) begin, a second later the signal comes."""
    longest_s = 5.0 if asked.short else 20.0
    with TemporaryDirectory() as folder:
        # The stop's own phases as they are by default.
        with serving(Path(folder), INFERWAY_SERVER__STOP_WAIT_S="5") as served:
            await _keep(asked, served, longest_s)
        with serving(
            Path(folder), INFERWAY_SERVER__STOP_WAIT_S="0", INFERWAY_SERVER__STOP_GRACE_S="1"
        ) as served:
            await _cut(asked, served)


async def _keep(asked: Asked, served: Served, longest_s: float) -> None:
    calls = [asyncio.create_task(_call(served, longest_s * (0.5 + n / 98))) for n in range(50)]
    calls += [asyncio.create_task(_stream(served, longest_s * (0.5 + n / 98))) for n in range(50)]
    await asyncio.sleep(1.0)
    signalled = time.monotonic()
    served.process.send_signal(signal.SIGTERM)
    await asyncio.sleep(0.3)
    unready = await asyncio.to_thread(served.get, "/v1/health/readiness")
    late = await _call(served, 0.01)
    replies = await asyncio.gather(*calls)
    status = await asyncio.to_thread(served.process.wait, 40)
    took_s = time.monotonic() - signalled
    plain, streams = (sum(map(_is_whole, part)) for part in (replies[:50], replies[50:]))
    tell(
        asked,
        "drain: calls under way that were kept",
        f"{plain + streams} of 100 ({plain} plain, {streams} streams, up to {longest_s:g} s each)",
        "100 of 100",
        passed=plain + streams == 100,
    )
    tell(
        asked,
        "drain: readiness and a new call right after SIGTERM",
        f"{unready} and {late.status}",
        "503 and 200",
        passed=(unready, late.status) == (503, 200),
    )
    tell(
        asked,
        "drain: end of the process after SIGTERM",
        f"status {status}, {took_s:.1f} s",
        "status 0 within 32 s",
        passed=status == 0 and took_s <= 32,
    )


async def _cut(asked: Asked, served: Served) -> None:
    """What lasts longer than the grace ends with an error, streams with an error event."""
    calls = [asyncio.create_task(_call(served, 60)) for _ in range(10)]
    calls += [asyncio.create_task(_stream(served, 60, pieces=240)) for _ in range(10)]
    await asyncio.sleep(2.0)
    served.process.send_signal(signal.SIGTERM)
    replies = await asyncio.gather(*calls)
    status = await asyncio.to_thread(served.process.wait, 40)
    told = Counter(_ending(reply) for reply in replies)
    tell(
        asked,
        "drain: longer calls end with an error",
        f"{told['stopping 503']} of 10 plain, {told['error event']} of 10 streams; exit status {status}",
        "10 of 10, 10 of 10, 0",
        passed=told == {"stopping 503": 10, "error event": 10} and status == 0,
    )


def _is_whole(reply: Reply) -> bool:
    return reply.status == 200 and (b"event: done" in reply.body or reply.body.startswith(b'{"data":'))


def _ending(reply: Reply) -> str:
    if reply.status == 200 and b"event: error" in reply.body and b'"stopping"' in reply.body:
        return "error event"
    if reply.status == 503 and b'"stopping"' in reply.body:
        return "stopping 503"
    return f"{reply.status} {reply.broke}"


async def _call(served: Served, seconds: float) -> Reply:
    return await _send(served, {"model": f"fake-chat?latency_ms={seconds * 1000:.0f}"})


async def _stream(served: Served, seconds: float, pieces: int = 8) -> Reply:
    words = "+".join(["word"] * pieces)
    model = f"fake-chat?chunk_ms={seconds * 1000 / pieces:.0f}&text={words}"
    return await _send(served, {"model": model, "stream": True})


async def _send(served: Served, fields: dict[str, object]) -> Reply:
    body = json.dumps({"provider": "fake", "inputs": {"prompts": ["hello"]}, **fields}).encode()
    line = Line(served.port, timeout_s=90)
    try:
        return await line.call(request_bytes("/v1/inference", served.headers(), body))
    finally:
        line.close()


if __name__ == "__main__":
    run("drain", measure)
