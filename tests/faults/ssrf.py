"""Hostile URLs inside a network namespace whose every address is this machine: none may reach anything."""

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path

from tests.faults.figures import Asked, run, tell

_ROOT = Path(__file__).parents[2]
UNSHARE = ["unshare", "--net", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]


async def measure(asked: Asked) -> None:
    """Runs the namespace's own program and reads its counts."""
    if not shutil.which("unshare") or not shutil.which("ip"):
        raise SystemExit("install util-linux and iproute2")
    process = await asyncio.create_subprocess_exec(
        *UNSHARE,
        sys.executable,
        *("-m", "tests.media.namespace"),
        cwd=_ROOT,
        stdout=asyncio.subprocess.PIPE,
        # The log has a line for each refusal.
        stderr=asyncio.subprocess.PIPE,
    )
    out, log = await process.communicate()
    if process.returncode:
        raise SystemExit(log.decode()[-2000:])
    report = json.loads(out)
    reached = sum(report["reached"].values())
    refused, loaded = report["outcomes"].get("refused", 0), report["honest"].get("loaded", 0)
    tell(
        asked,
        "SSRF: hostile URLs that reached the canary",
        f"{reached} of {report['hostile']} ({refused} refused)",
        "0 of 300 or more",
        passed=reached == 0 and refused == report["hostile"] >= 300,
    )
    tell(asked, "SSRF: honest URLs that were loaded", f"{loaded} of 8", "8 of 8", passed=loaded == 8)
    naive = report["naive_reached"]
    tell(
        asked,
        "SSRF: times a fetcher without a guard reached the canary (control)",
        naive,
        "100 or more",
        passed=naive >= 100,
    )


if __name__ == "__main__":
    run("ssrf", measure)
