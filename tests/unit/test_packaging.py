"""What is installed is what was looked at."""

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = sorted(path for path in (ROOT / "requirements").glob("*.txt"))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_requirement_is_locked_by_hash(lock: Path) -> None:
    text = re.sub(r"\\\n", "", lock.read_text("utf-8"))
    requirements = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert requirements
    for line in requirements:
        assert re.match(r"[A-Za-z0-9._-]+(\[[a-z,-]+\])?==[^ ]+ ", line), line
        assert "--hash=sha256:" in line, line


def test_every_python_gets_the_packages_that_are_tested() -> None:
    """A package that is another version on a newer Python is one that nobody here has seen."""
    lines = (ROOT / "requirements" / "product.txt").read_text("utf-8").splitlines()
    names = [line.partition("==")[0] for line in lines if "==" in line and not line.startswith((" ", "#"))]
    # numpy drops old Pythons soon after each year; of it only arrays and means are used.
    assert {name for name in names if names.count(name) > 1} <= {"numpy"}


def test_installation_asks_for_the_hashes() -> None:
    assert "--require-hashes --only-binary :all:" in (ROOT / "Makefile").read_text("utf-8")


def test_the_lock_of_the_tests_is_whole() -> None:
    """Nothing is resolved on a reader's machine, so nothing may be left to be resolved there."""
    checked = subprocess.run(
        [sys.executable, "-m", "pip", "check", "--disable-pip-version-check"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


def test_extras_are_pinned_as_extras() -> None:
    """An older pip looks for `name[extra]` by itself, and takes any release newer than the lock for an unpinned one."""
    pin = re.compile(r"^([a-z0-9.-]+)\[([a-z0-9,-]+)\]==", re.MULTILINE)
    text = (ROOT / "requirements" / "test.txt").read_text("utf-8")
    pinned = {(name, extra) for name, extras in pin.findall(text) for extra in extras.split(",")}
    asked = {
        (canonicalize_name(wanted.name), extra)
        for distribution in metadata.distributions()
        for wanted in map(Requirement, distribution.requires or ())
        for extra in wanted.extras
        if wanted.marker is None or wanted.marker.evaluate({"extra": ""})
    }
    assert asked
    assert asked <= pinned


def test_nothing_of_ours_runs_when_python_starts() -> None:
    started = [
        *ROOT.glob("src/**/*.pth"),
        *ROOT.glob("src/**/sitecustomize.py"),
        *ROOT.glob("src/**/usercustomize.py"),
    ]
    assert not started
