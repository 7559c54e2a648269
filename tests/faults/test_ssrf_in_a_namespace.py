"""The media door with the system's own resolver and real sockets, where every address of the world is this machine."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.namespaces import UNSHARE

_ROOT = Path(__file__).parents[2]


def _can_make_namespaces() -> bool:
    if not shutil.which("unshare") or not shutil.which("ip"):
        return False
    return subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.netns
@pytest.mark.skipif(
    not _can_make_namespaces(), reason="needs a network namespace: install iproute2 and run as root"
)
@pytest.mark.timeout(120)
def test_no_hostile_url_reaches_anything_and_honest_ones_work() -> None:
    command = [*UNSHARE, sys.executable, "-m", "tests.media.namespace"]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads(done.stdout)
    assert report["hostile"] >= 300
    assert report["reached"] == {}
    assert report["outcomes"] == {"refused": report["hostile"]}
    assert report["rebinding"] == {"loaded": 4, "refused": 8}
    assert report["honest"] == {"loaded": 8}
    # The canary does sing: a fetcher without a guard reaches it.
    assert report["naive_reached"] >= 100
