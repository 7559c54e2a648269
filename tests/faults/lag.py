"""How late the event loop is while as much as possible is asked of it by sixteen clients."""

import asyncio
import json
import re
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.e2e.process import Served, fake_call, serving
from tests.faults.client import Line, request_bytes
from tests.faults.figures import Asked, run, tell
from tests.faults.programs import go_first

_LINES = 16
_MOST_MS = 50.0
_MOST_SHORT_MS = 250.0
"""The short form runs on machines that are busy with other things."""
_BUCKET = re.compile(r'^inferway_loop_lag_seconds_bucket\{.*?le="([^"]+)".*?\} (\S+)$', re.MULTILINE)


async def measure(asked: Asked) -> None:
    """The server's own histogram, of the time under load alone."""
    seconds, most_ms = (5.0, _MOST_SHORT_MS) if asked.short else (20.0, _MOST_MS)
    if not asked.short:
        go_first()
    limits = {f"INFERWAY_LIMITS__{each}": "0" for each in ("PER_MINUTE", "PER_SECOND", "CONCURRENT")}
    with TemporaryDirectory() as folder, serving(Path(folder), **limits) as served:
        request = request_bytes("/v1/inference", served.headers(), json.dumps(fake_call()).encode())
        ends = asyncio.get_running_loop().time() + seconds
        before = await _lags(served)
        done = sum(await asyncio.gather(*(_calls(served, request, ends) for _ in range(_LINES))))
        after = await _lags(served)
    looks = {bound: after[bound] - before.get(bound, 0.0) for bound in after}
    p99_s = min(bound for bound, count in looks.items() if count >= 0.99 * max(looks.values()))
    tell(
        asked,
        "event loop: 99 of 100 looks under load are late by less than",
        f"{p99_s * 1000:g} ms ({done / seconds:,.0f} calls a second, {max(looks.values()):.0f} looks)",
        f"{most_ms:g} ms",
        passed=p99_s * 1000 <= most_ms,
    )


async def _calls(served: Served, request: bytes, ends: float) -> int:
    line, done = Line(served.port), 0
    while asyncio.get_running_loop().time() < ends:
        reply = await line.call(request)
        assert reply.status == 200, reply
        done += 1
    line.close()
    return done


async def _lags(served: Served) -> dict[float, float]:
    """Looks by the upper end of their step, in seconds, as the page of metrics has them."""
    keys = tomllib.loads((served.data_dir / "credentials.toml").read_text())
    line = Line(served.port)
    headers = {"Authorization": f"Bearer {keys['admin_key']}"}
    page = (await line.call(request_bytes("/metrics", headers, method="GET"))).body.decode()
    line.close()
    return {float(bound): float(count) for bound, count in _BUCKET.findall(page)}


if __name__ == "__main__":
    run("lag", measure)
