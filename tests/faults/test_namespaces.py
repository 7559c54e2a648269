"""Programs that lay a network of their own never lay it over this machine's."""

import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("module", ["tests.faults.upstream.unreachable", "tests.media.namespace"])
def test_a_network_is_not_laid_over_this_machine_s_own(module: str) -> None:
    names = Path("/etc/resolv.conf").read_bytes()

    ended = subprocess.run(
        [sys.executable, "-m", module], cwd=_ROOT, capture_output=True, text=True, timeout=60, check=False
    )

    assert ended.returncode != 0
    assert "would change this machine's network" in ended.stderr
    assert Path("/etc/resolv.conf").read_bytes() == names
