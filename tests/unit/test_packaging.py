"""What is installed is what was looked at."""

import re
from pathlib import Path

import pytest

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


def test_nothing_of_ours_runs_when_python_starts() -> None:
    started = [
        *ROOT.glob("src/**/*.pth"),
        *ROOT.glob("src/**/sitecustomize.py"),
        *ROOT.glob("src/**/usercustomize.py"),
    ]
    assert not started
