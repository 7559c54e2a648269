"""Network namespaces of a test's own: root makes one, and some users may."""

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[2]
UNSHARE = ("unshare", "--net", "--mount", *(() if os.geteuid() == 0 else ("--map-root-user",)))


def require_own_namespaces() -> None:
    """Stops a program that lays a network of its own when it would lay it over this machine's.

    `unshare` runs a program in its own place, so its parent is still where the machine is. An unreadable parent is one
    of another user namespace: apart as well.
    """
    for kind in ("net", "mnt"):
        try:
            apart = (
                Path("/proc/self/ns", kind).stat().st_ino
                != Path("/proc", str(os.getppid()), "ns", kind).stat().st_ino
            )
        except PermissionError:
            continue
        if not apart:
            raise SystemExit(
                f"it would change this machine's network: run it as {' '.join(UNSHARE)} python -m ..."
            )


async def found_in_namespace(module: str) -> Any:
    """What a module of the tests prints, as JSON, when it runs in a network of its own."""
    if not shutil.which("unshare") or not shutil.which("ip"):
        raise SystemExit("install util-linux and iproute2")
    process = await asyncio.create_subprocess_exec(
        *UNSHARE,
        *(sys.executable, "-m", module),
        cwd=_ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, log = await process.communicate()
    if process.returncode:
        raise SystemExit(log.decode()[-2000:])
    return json.loads(out)
