"""Completion in real shells."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from inferway.cli.root import VERBS

_ASK = """
eval "$(inferway completion bash)"
COMP_WORDS=({words} {start!r}) COMP_CWORD={count}
_inferway_completion inferway
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """A shell in which `inferway` is this one, with a data folder of its own."""
    command = tmp_path / "bin" / "inferway"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m inferway "$@"\n')
    command.chmod(0o755)
    (tmp_path / "data" / "models" / "smollm2-135m-instruct").mkdir(parents=True)
    return os.environ | {
        "PATH": f"{command.parent}:{os.environ['PATH']}",
        "INFERWAY_DATA_DIR": str(tmp_path / "data"),
        "INFERWAY_PROVIDERS__FAKE__ENABLED": "true",
        "INFERWAY_NAMESPACE": "team-a",
    }


def complete(env: dict[str, str], words: str, start: str = "") -> set[str]:
    """What bash offers after these words."""
    script = _ASK.format(words=words, start=start, count=len(words.split()))
    ended = subprocess.run(
        ["bash", "-c", script], env=env, capture_output=True, text=True, check=True, timeout=60
    )
    assert not ended.stderr
    return set(ended.stdout.split())


def test_bash_completes_every_verb_without_importing_any(env: dict[str, str]) -> None:
    assert complete(env, "inferway") == set(VERBS)
    assert complete(env, "inferway", "b") == {"batch"}


def test_bash_completes_the_verbs_of_a_verb_and_options(env: dict[str, str]) -> None:
    assert {"create", "list", "revoke"} <= complete(env, "inferway key")
    assert "--concurrency" in complete(env, "inferway batch", "--con")


def test_bash_completes_names_that_files_know(env: dict[str, str], tmp_path: Path) -> None:
    assert {"openai", "google", "anthropic", "local", "fake"} <= complete(env, "inferway call --provider")
    claudes = complete(env, "inferway call --provider anthropic --model", "claude-haiku")
    assert claudes
    assert all(each.startswith("claude-haiku") for each in claudes)
    assert complete(env, "inferway call --model") == {"default", "smollm2-135m-instruct"}
    assert complete(env, "inferway batch --namespace") == {"team-a"}
    assert not (tmp_path / "data" / "inferway.db").exists(), "no database was made for it"


def test_settings_that_cannot_be_read_complete_nothing_and_say_nothing(env: dict[str, str]) -> None:
    assert complete(env | {"INFERWAY_SERVER__PROT": "1"}, "inferway call --provider") == set()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script_that_it_can_read(env: dict[str, str], shell: str) -> None:
    made = subprocess.run(
        ["inferway", "completion", shell], env=env, capture_output=True, text=True, check=True
    )
    assert "_INFERWAY_COMPLETE" in made.stdout
    assert not made.stderr
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=made.stdout, text=True, check=True)
