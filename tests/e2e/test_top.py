"""`inferway top` on a running server: once, as lines of JSON, and on a terminal."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.process import Served, fake_call, run, serving


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("top")) as started:
        for _ in range(5):
            assert started.call(fake_call())[0] == 200
        yield started


_HEARING = """
import signal
from inferway.cli import main

signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""
"""Whoever runs these tests in the background has made them deaf to the signal that is sent here."""


def test_once_says_what_happened_since_the_start(served: Served) -> None:
    done = run("top", "--once", "--json", data_dir=served.data_dir)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["total"]["calls"] == 5
    assert said["workers"] == 1
    (row,) = said["rows"]
    assert (row["provider"], row["model"], row["errors"]) == ("fake", "fake-chat", 0)
    assert row["p95_ms"] > 0
    shown = run("top", "--once", data_dir=served.data_dir)
    assert "fake-chat" in shown.stdout
    assert "calls/s" in shown.stdout


def test_json_prints_a_line_for_each_look(served: Served) -> None:
    options = ["--every", "0.2", "--data-dir", str(served.data_dir)]
    command = [sys.executable, "-c", _HEARING, "top", "--json", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        looks = [json.loads(process.stdout.readline()) for _ in range(3)]
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert all(look["url"] == served.ready["url"] for look in looks)
    assert looks[2]["window_s"] < 30


def test_on_a_terminal_it_draws_a_table_until_it_is_stopped(served: Served) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", _HEARING, "top", "--every", "0.2", "--data-dir", str(served.data_dir)]
    env = os.environ | {"TERM": "xterm-256color", "COLUMNS": "160", "LINES": "40"}
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    seen = b""
    ends = time.monotonic() + 40
    try:
        while b"fake-chat" not in seen or seen.count(b"calls/s") < 2:
            assert time.monotonic() < ends, seen.decode(errors="replace")[-2000:]
            if select.select([ours], [], [], 0.2)[0]:
                seen += os.read(ours, 65536)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait(30)
        os.close(ours)


def test_what_is_missing_is_said_in_one_line(served: Served, tmp_path: Path) -> None:
    env = {"INFERWAY_URL": served.ready["url"], "INFERWAY_API_KEY": served.ready["api_key"]}
    refused = run("top", "--once", data_dir=tmp_path, env=env)
    assert (refused.returncode, "admin key" in refused.stderr) == (1, True)
    nobody = run(
        "top",
        "--once",
        data_dir=tmp_path,
        env={"INFERWAY_URL": "http://127.0.0.1:9", "INFERWAY_API_KEY": "sk_x"},
    )
    assert (nobody.returncode, "nothing listens there" in nobody.stderr) == (1, True)
    keyless = run("top", "--once", data_dir=tmp_path)
    assert (keyless.returncode, "There is no key" in keyless.stderr) == (1, True)
