"""Fuzzes a real server by its own description of its API: `python -m tests.openapi.fuzz [--long]` runs schemathesis with three seeds.

Schemathesis lives in an environment of its own: `make .venv-schemathesis/packages`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

from tests.e2e.process import Served, serving
from tests.openapi.program import MAKE, find_schemathesis

SEEDS = (1, 20_260_101, 987_654_321)
_HERE = Path(__file__).parent
_SERVER = {
    # A run asks as fast as it can, with bad keys too.
    **{f"INFERWAY_LIMITS__{name}": "0" for name in ("PER_MINUTE", "BURST", "PER_SECOND", "CONCURRENT")},
    "INFERWAY_ACCESS__BAD_KEYS_PER_MINUTE": "0",
    # What a generated URL names is nobody's business: no port may be dialled, which is found out before any name is looked up.
    "INFERWAY_MEDIA__ALLOW_PORTS": "1",
}


class Form(NamedTuple):
    """How much one seed tries. The coverage phase is the same for every seed: in the short form one of them runs it."""

    examples: int
    stateful_s: int
    covers_always: bool


SHORT = Form(examples=4, stateful_s=10, covers_always=False)
LONG = Form(examples=60, stateful_s=120, covers_always=True)


class Ended(NamedTuple):
    """What came of one seed."""

    seed: int
    status: int
    seconds: float
    cases: int
    output: str


def fuzz(program: Path, form: Form, seeds: tuple[int, ...] = SEEDS) -> list[Ended]:
    """One server, and one run for each seed. Raises `AssertionError` when a run has lost its own key, and so tried nothing."""
    with tempfile.TemporaryDirectory(prefix="inferway-fuzz-") as folder:
        data_dir = Path(folder) / "data"
        with serving(data_dir, **_SERVER) as served:
            key = tomllib.loads((data_dir / "credentials.toml").read_text("utf-8"))["admin_key"]
            environ = os.environ | _identity(served, key)
            ended = []
            for number, seed in enumerate(seeds):
                phases = "examples,coverage,fuzzing,stateful" if not number else "fuzzing,stateful"
                if form.covers_always:
                    phases = "examples,coverage,fuzzing,stateful"
                command = _command(program, served, form, seed, phases)
                ended.append(_run(command, seed, environ, Path(folder)))
                assert ask(served, key, "/v1/me")["user_email"], "the run has lost its own key"
            assert served.process.poll() is None, "the server has died"
            return ended


def _command(program: Path, served: Served, form: Form, seed: int, phases: str) -> list[str]:
    return [
        *(str(program), "--config-file", str(_HERE / "schemathesis.toml"), "run", "--no-color"),
        *("--seed", str(seed), "--max-examples", str(form.examples), "--phases", phases),
        f"{served.ready['url']}/openapi.json",
    ]


def _run(command: list[str], seed: int, environ: dict[str, str], folder: Path) -> Ended:
    began = time.monotonic()
    done = subprocess.run(command, env=environ, cwd=folder, capture_output=True, text=True, check=False)
    output = done.stdout + done.stderr
    return Ended(seed, done.returncode, time.monotonic() - began, _cases(output), output)


def _cases(output: str) -> int:
    for line in output.splitlines():
        words = line.split()
        if words[1:2] == ["generated,"]:
            return int(words[0])
    return 0


def _identity(served: Served, key: str) -> dict[str, str]:
    """Who the run is, for its hooks."""
    me = ask(served, key, "/v1/me")
    namespace = ask(served, key, "/v1/namespaces/default")
    return {
        "SCHEMATHESIS_HOOKS": str(_HERE / "hooks.py"),
        "INFERWAY_FUZZ_KEY": key,
        "INFERWAY_FUZZ_KEY_ID": me["key"]["key_id"],
        "INFERWAY_FUZZ_EMAIL": me["user_email"],
        "INFERWAY_FUZZ_NAMESPACE": namespace["namespace_id"],
    }


def ask(served: Served, key: str, path: str) -> dict[str, Any]:
    """A GET of the running server, which must succeed."""
    connection = HTTPConnection("127.0.0.1", served.port, timeout=30)
    try:
        connection.request("GET", path, headers={"authorization": f"Bearer {key}"})
        answer = connection.getresponse()
        told: dict[str, Any] = json.loads(answer.read())
        assert answer.status == 200, (path, answer.status, told)
        return told
    finally:
        connection.close()


def main() -> int:
    """Runs and tells; 1 when anything was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--long", action="store_true", help="minutes for each seed instead of seconds")
    parser.add_argument("--seed", type=int, action="append", help="these seeds instead")
    chosen = parser.parse_args()
    program = find_schemathesis()
    if program is None:
        print(f"schemathesis is not here: {MAKE}")
        return 2
    ended = fuzz(program, LONG if chosen.long else SHORT, tuple(chosen.seed or SEEDS))
    for each in ended:
        if each.status:
            print(each.output)
        print(f"seed {each.seed}: {each.cases:,} cases in {each.seconds:.0f} s, exit status {each.status}")
    return int(any(each.status for each in ended))


if __name__ == "__main__":
    sys.exit(main())
