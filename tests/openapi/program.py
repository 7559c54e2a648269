"""Where schemathesis is: in an environment of its own."""

import os
from pathlib import Path

MAKE = "make .venv-schemathesis/packages"
_PROGRAM = Path(__file__).parents[2] / ".venv-schemathesis" / "bin" / "schemathesis"


def find_schemathesis() -> Path | None:
    """The program of this checkout, or the one that the variable `INFERWAY_TEST_SCHEMATHESIS` names; None where there is none."""
    named = os.environ.get("INFERWAY_TEST_SCHEMATHESIS")
    program = Path(named) if named else _PROGRAM
    return program if program.exists() else None
