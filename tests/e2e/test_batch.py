"""`inferway batch` as a person or a script runs it, against a server whose provider counts what it is asked."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.process import Served, run, serving, until
from tests.http.kit import Reply, Seen, Upstream, completion

LINES = 120


class World:
    """A server, the provider behind it, and a folder with an input."""

    def __init__(self, served: Served, upstream: Upstream, folder: Path) -> None:
        self.served, self.upstream, self.folder = served, upstream, folder
        self.source, self.target = folder / "in.jsonl", folder / "out.jsonl"

    def write(self, count: int, *more: str) -> None:
        """An input of so many calls, and these lines after them."""
        lines = [
            json.dumps({"id": f"id {number}"} | body(f"{self.folder.name} {number}"))
            for number in range(count)
        ]
        self.source.write_text("\n".join([*lines, *more]) + "\n")

    def batch(self, *arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return run(
            "batch", str(self.source), str(self.target), *arguments, data_dir=self.served.data_dir, env=env
        )

    def start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "inferway", "batch", str(self.source), str(self.target), "--json"]
        command += ["--data-dir", str(self.served.data_dir)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def told(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.target.read_text("utf-8").splitlines()]

    def size(self) -> int:
        return self.target.read_bytes().count(b"\n") if self.target.exists() else 0

    def asked(self) -> Counter[str]:
        """How often the provider was asked for each prompt of this folder."""
        prompts = (seen.json()["messages"][-1]["content"] for seen in list(self.upstream.seen))
        return Counter(prompt for prompt in prompts if prompt.startswith(f"{self.folder.name} "))


def body(prompt: str) -> dict[str, Any]:
    return {"provider": "openai", "model": "gpt-5.4-mini", "inputs": {"prompts": [prompt]}}


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Upstream]]:
    upstream = Upstream()
    env = {"OPENAI_API_KEY": "sk-upstream", "OPENAI_BASE_URL": f"{upstream.url}/v1"}
    with serving(tmp_path_factory.mktemp("batches"), **env) as served:
        yield served, upstream
    upstream.close()


@pytest.fixture
def world(behind: tuple[Served, Upstream], tmp_path: Path) -> World:
    served, upstream = behind
    upstream.answer = lambda seen: Reply(completion(f"to {prompt_of(seen)}"))
    return World(served, upstream, tmp_path)


def prompt_of(seen: Seen) -> str:
    return str(seen.json()["messages"][-1]["content"])


def test_every_line_has_its_answer_or_the_reason_why_not(world: World) -> None:
    world.write(12, "nonsense", "", json.dumps(body("x") | {"provider": "nobody"}))
    ended = world.batch("--json")
    summary = json.loads(ended.stdout)
    assert ended.returncode == 1, ended.stderr
    told = {each["line"]: each for each in world.told()}
    assert set(told) == {*range(1, 14), 15}
    for number in range(12):
        each = told[number + 1]
        assert (each["id"], each["status"]) == (f"id {number}", 200)
        assert each["body"]["data"]["completions"][0]["text"] == f"to {world.folder.name} {number}"
    assert (told[13]["status"], told[13]["error"]["type"]) == (None, "BadLine")
    assert (told[15]["status"], told[15]["error"]["code"]) == (400, "unknown_provider")
    assert (summary["lines"], summary["answered"], summary["failed"], summary["left"]) == (14, 12, 2, 0)
    assert summary["tokens"]["total"] == 12 * 5
    assert summary["cost_usd"] == pytest.approx(sum(told[n]["body"]["cost_usd"] for n in range(1, 13)))
    assert summary["cost_usd"] > 0
    assert {(each["error"], *each["lines"]) for each in summary["errors"]} == {
        ("BadLine", 13),
        ("unknown_provider", 15),
    }


def test_a_batch_that_is_killed_goes_on_and_no_line_is_called_twice_or_lost(world: World) -> None:
    world.upstream.answer = lambda seen: Reply(completion(f"to {prompt_of(seen)}"), pause_s=0.1)
    world.write(LINES)
    for share in (3, 2):
        started = world.start()
        until(lambda share=share: world.size() >= LINES // share, "some answers", 60)
        started.kill()
        started.communicate()
    killed_at = world.size()
    with world.target.open("ab") as opened:
        opened.write(b'{"line": 9')
    ended = world.batch("--json")
    assert ended.returncode == 0, ended.stderr
    summary = json.loads(ended.stdout)
    assert (summary["answered"], summary["earlier"]) == (LINES, killed_at)
    told = world.told()
    assert sorted(each["line"] for each in told) == list(range(1, LINES + 1))
    assert all(
        each["body"]["data"]["completions"][0]["text"].endswith(f" {each['line'] - 1}") for each in told
    )
    asked = world.asked()
    assert len(asked) == LINES
    assert set(asked.values()) == {1}, "what was under way when it was killed was paid twice"
    assert not (world.folder / "out.jsonl.run").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_batch_that_is_interrupted_says_so_and_goes_on(world: World, number: signal.Signals) -> None:
    world.upstream.answer = lambda _: Reply(completion("yes"), pause_s=0.1)
    world.write(60)
    started = world.start()
    until(lambda: world.size() >= 10, "some answers", 60)
    started.send_signal(number)
    stdout, stderr = started.communicate(timeout=60)
    assert started.returncode == 130, stderr
    assert "Traceback" not in stderr
    summary = json.loads(stdout)
    assert summary["interrupted"] is True
    assert summary["answered"] == world.size()
    assert summary["left"] == 60 - world.size() > 0
    assert world.batch().returncode == 0
    assert set(world.asked().values()) == {1}


def test_what_failed_is_called_again_only_when_it_is_asked_for(world: World) -> None:
    world.write(4)
    bad = f"{world.folder.name} 2"
    good = world.upstream.answer
    world.upstream.answer = lambda seen: Reply(b"{}", 400) if prompt_of(seen) == bad else good(seen)
    assert world.batch().returncode == 1
    world.upstream.answer = good
    again = world.batch()
    assert again.returncode == 1
    assert "--retry-failed" in again.stderr
    assert world.asked()[bad] == 1
    assert world.batch("--retry-failed").returncode == 0
    assert world.asked() == Counter({f"{world.folder.name} {number}": 1 for number in range(4)} | {bad: 2})
    assert sorted(each["line"] for each in world.told()) == [1, 2, 3, 4]


def test_lines_that_are_added_later_are_called_and_changed_ones_are_refused(world: World) -> None:
    world.write(3)
    assert world.batch().returncode == 0
    world.write(5)
    assert world.batch().returncode == 0
    assert sum(world.asked().values()) == 5
    before = world.target.read_bytes()
    world.source.write_text(json.dumps(body("another")) + "\n")
    refused = world.batch()
    assert (refused.returncode, "Line 1 is not the one" in refused.stderr) == (1, True)
    assert world.target.read_bytes() == before


def test_a_batch_stands_between_pipes(world: World) -> None:
    world.write(3)
    command = [
        sys.executable,
        "-m",
        "inferway",
        "batch",
        "-",
        "-",
        "--json",
        "--data-dir",
        str(world.served.data_dir),
    ]
    ended = subprocess.run(
        command, input=world.source.read_text(), capture_output=True, text=True, check=True
    )
    assert sorted(json.loads(line)["id"] for line in ended.stdout.splitlines()) == ["id 0", "id 1", "id 2"]
    assert json.loads(ended.stderr)["answered"] == 3


def test_a_reader_that_has_enough_ends_the_batch(world: World) -> None:
    world.upstream.answer = lambda _: Reply(completion("yes"), pause_s=0.05)
    world.write(60)
    command = f"'{sys.executable}' -m inferway batch '{world.source}' - --data-dir '{world.served.data_dir}' | head -n 1"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True, timeout=60)
    assert "Traceback" not in ended.stderr
    assert "broken pipe" in ended.stderr
    assert sum(world.asked().values()) < 60


def test_a_key_that_is_refused_ends_the_batch_at_once(world: World) -> None:
    world.write(50)
    ended = world.batch(env={"INFERWAY_API_KEY": "sk_nothing"})
    assert ended.returncode == 1
    assert "Stopped: " in ended.stderr
    assert "INFERWAY_API_KEY" in ended.stderr
    assert world.size() == 0
    assert world.batch().returncode == 0


def test_nobody_there_ends_the_batch_with_what_to_do(world: World) -> None:
    world.write(2)
    env = {"INFERWAY_URL": "http://127.0.0.1:1", "INFERWAY_API_KEY": "sk_x"}
    ended = world.batch("--retries", "0", env=env)
    assert ended.returncode == 1
    assert "no server answers" in ended.stderr
    assert world.size() == 0


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("none.jsonl", "out.jsonl", "no such file"),
        (".", "out.jsonl", "is a directory"),
        ("in.jsonl", "in.jsonl", "this is IN too"),
        ("in.jsonl", "none/out.jsonl", "no such file"),
        ("in.jsonl", ".", "this is a folder"),
    ],
)
def test_files_that_cannot_be_used_are_said_in_a_line(
    world: World, source: str, target: str, message: str
) -> None:
    world.write(1)
    world.source, world.target = world.folder / source, world.folder / target
    ended = world.batch()
    assert ended.returncode == 1
    assert message in ended.stderr
    assert ended.stderr.startswith("Error: ")
    assert ended.stderr.count("\n") == 1
    assert {each.name for each in world.folder.iterdir()} == {"in.jsonl"}


def test_a_terminal_sees_a_bar_that_moves(world: World) -> None:
    world.upstream.answer = lambda _: Reply(completion("yes"), pause_s=0.05)
    world.write(40)
    command = [sys.executable, "-m", "inferway", "batch", str(world.source), str(world.target)]
    command += ["--data-dir", str(world.served.data_dir)]
    mine, theirs = os.openpty()
    started = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=theirs, env=os.environ | {"COLUMNS": "100", "TERM": "xterm"}
    )
    os.close(theirs)
    seen = b""
    with contextlib.suppress(OSError):
        while piece := os.read(mine, 65_536):
            seen += piece
    os.close(mine)
    stdout, _ = started.communicate(timeout=60)
    assert started.returncode == 0
    assert b"40/40" in seen
    assert b"/s" in seen
    assert b"40 of 40 answered, 0 failed" in stdout
    assert b"\x1b" not in stdout
