"""The programs beside the gateway in the fault runs: the counting upstream and haproxy, each on a port of its own."""

import atexit
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_GIVE_UP_S = 20.0
_FIRST = -19
_HAPROXY = """
global
    maxconn 4096
defaults
    mode http
    timeout connect 2s
    timeout client 90s
    timeout server 90s
    timeout check 1s
    retries 3
    option redispatch
frontend front
    bind 127.0.0.1:{port}
    default_backend gateways
backend gateways
    balance roundrobin
    option httpchk GET /v1/health/readiness
    http-check send hdr Host gateway.test
    default-server inter 300ms fall 2 rise 2
"""


@contextlib.contextmanager
def pinned(core: int) -> Iterator[None]:
    """Processes that are started in the block stay on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(before)[core % len(before)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def go_first() -> None:
    """Has the kernel prefer this session, and what it starts, to all others until this process ends, where that is allowed.

    For figures of time: when other work on the machine takes the core, calls are late for no fault of the gateway's.
    """
    group = Path("/proc/self/autogroup")
    with contextlib.suppress(OSError, IndexError):
        before = group.read_text().split()[-1]
        os.setpriority(os.PRIO_PROCESS, 0, _FIRST)
        group.write_text(str(_FIRST))
        atexit.register(group.write_text, before)


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    """Until something listens; raises RuntimeError when its process ended or it takes too long."""
    ends = time.monotonic() + _GIVE_UP_S
    while time.monotonic() < ends:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with status {process.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"nothing listens on port {port}")


@dataclass(frozen=True)
class CountingUpstream:
    """Where it answers, and the file with a line for each call that reached it."""

    url: str
    file: Path

    def seen(self) -> list[str]:
        """The prompts of the calls that reached it, in order."""
        return self.file.read_text().splitlines() if self.file.exists() else []


@contextlib.contextmanager
def counting_upstream(folder: Path, delay_ms: float = 0.0) -> Iterator[CountingUpstream]:
    """Runs until the end of the block."""
    port, file = free_port(), folder / "upstream-calls"
    command = [sys.executable, "-m", "tests.faults.counting", str(port), str(file), str(delay_ms)]
    with ending(subprocess.Popen(command, cwd=Path(__file__).parents[2])) as process:
        await_port(port, process)
        yield CountingUpstream(f"http://127.0.0.1:{port}", file)


def haproxy_program() -> str:
    """Where haproxy is; ends the run with what to do when it is not installed."""
    found = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise SystemExit("install the package haproxy")
    return found


@contextlib.contextmanager
def haproxy(folder: Path, ports: list[int]) -> Iterator[int]:
    """Spreads calls over gateways on these ports by their readiness; the port that it listens on."""
    port, config = free_port(), folder / "haproxy.cfg"
    servers = "".join(f"    server gateway{n} 127.0.0.1:{each} check\n" for n, each in enumerate(ports))
    config.write_text(_HAPROXY.format(port=port) + servers)
    command = [haproxy_program(), "-db", "-q", "-f", str(config)]
    with ending(subprocess.Popen(command, stderr=subprocess.DEVNULL)) as process:
        await_port(port, process)
        yield port


@contextlib.contextmanager
def ending(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Ends a process with the block."""
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
