"""A server as an operator starts it: a process of its own, its data in a folder of the test's."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from queue import Empty, Queue
from typing import IO, Any
from urllib.parse import urlsplit

WAIT_S = 30.0


def run(
    *arguments: str, data_dir: Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The command line, once, to its end."""
    command = [sys.executable, "-m", "inferway", *arguments, "--data-dir", str(data_dir)]
    return subprocess.run(
        command, env=os.environ | (env or {}), capture_output=True, text=True, timeout=WAIT_S, check=False
    )


@dataclass
class Served:
    """A server that answers. `events` are the lines that it says with `--json`."""

    process: subprocess.Popen[str]
    data_dir: Path
    events: Queue[dict[str, Any]]
    ready: dict[str, Any] = field(default_factory=dict)
    stderr_file: Path = Path()
    env: dict[str, str] = field(default_factory=dict)

    @property
    def port(self) -> int:
        port = urlsplit(str(self.ready["url"])).port
        assert port is not None
        return port

    @property
    def stderr(self) -> str:
        return self.stderr_file.read_text()

    def event(self, kind: str, timeout_s: float = WAIT_S) -> dict[str, Any]:
        """The next event of a kind."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                found = self.events.get(timeout=max(0.01, deadline - time.monotonic()))
            except Empty:
                raise AssertionError(f"no {kind!r} came; standard error: {self.stderr}") from None
            assert "event" in found, f"{found}; standard error: {self.stderr}"
            if found["event"] == kind:
                return found

    def headers(self) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {self.ready['api_key']}",
            "X-Namespace": self.ready["namespace"],
            "Content-Type": "application/json",
        }

    def head(self, *lines: str) -> bytes:
        """The head of an authorized inference request as bytes, ended."""
        own = [f"{name}: {value}" for name, value in self.headers().items()]
        return "\r\n".join(["POST /v1/inference HTTP/1.1", "Host: x", *own, *lines, "", ""]).encode()

    def call(self, body: dict[str, Any], timeout_s: float = WAIT_S) -> tuple[int, dict[str, Any]]:
        """One inference on a connection of its own."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        with contextlib.closing(connection):
            connection.request("POST", "/v1/inference", json.dumps(body), self.headers())
            response = connection.getresponse()
            return response.status, json.loads(response.read())

    def get(self, path: str) -> int:
        """The status of a GET."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        with contextlib.closing(connection):
            connection.request("GET", path)
            status: int = connection.getresponse().status
            return status

    def connect(self) -> socket.socket:
        """A bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=WAIT_S)

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Ends it; the exit status."""
        self.process.send_signal(number)
        return self.process.wait(WAIT_S)


def fake_call(model: str = "fake-chat", prompt: str = "hello") -> dict[str, Any]:
    """A chat with the fake provider; switches are in the model's name."""
    return {"provider": "fake", "model": model, "inputs": {"prompts": [prompt]}}


def serving(data_dir: Path, *arguments: str, **env: str) -> contextlib.AbstractContextManager[Served]:
    """Starts `inferway serve` on a free port with the fake provider on and no model pulled; ends it at the end of the block."""
    return serving_under((), data_dir, arguments, env)


@contextlib.contextmanager
def serving_under(
    prefix: tuple[str, ...],
    data_dir: Path,
    arguments: tuple[str, ...] = (),
    env: dict[str, str] | None = None,
) -> Iterator[Served]:
    """The same, run by another command such as `prlimit`."""
    env = env or {}
    command = [
        *prefix,
        sys.executable,
        "-m",
        "inferway",
        "serve",
        "--json",
        "--port",
        "0",
        "--data-dir",
        str(data_dir),
    ]
    defaults = {
        "INFERWAY_PROVIDERS__FAKE__ENABLED": "true",
        "INFERWAY_LOCAL__PULL_DEFAULTS": "false",
        "INFERWAY_SERVER__STOP_WAIT_S": "0",
    }
    data_dir.mkdir(parents=True, exist_ok=True)
    stderr_file = data_dir / "stderr.txt"
    with stderr_file.open("w") as stderr:
        process = subprocess.Popen(
            [*command, *arguments],
            env=os.environ | defaults | env,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    events: Queue[dict[str, Any]] = Queue()
    assert process.stdout is not None
    reader = threading.Thread(target=_read, args=(process.stdout, events), daemon=True)
    reader.start()
    served = Served(process=process, data_dir=data_dir, events=events, stderr_file=stderr_file, env=env)
    try:
        served.ready = served.event("ready")
        yield served
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(WAIT_S)
        reader.join(WAIT_S)
        process.stdout.close()


def _read(stdout: IO[str], events: Queue[dict[str, Any]]) -> None:
    for line in stdout:
        events.put(json.loads(line))


def children_of(pid: int) -> dict[int, str]:
    """The process ids of a process's children, with their command lines."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            words = (stat.parent / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found[int(stat.parent.name)] = b" ".join(words).decode()
    return found


def until(condition: Any, what: str, timeout_s: float = WAIT_S) -> float:
    """Waits for something to become true; the seconds it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < timeout_s, f"not within {timeout_s} s: {what}"
        time.sleep(0.02)
    return time.monotonic() - began
