"""A newcomer's path, timed: clone, `make run`, paste the printed `curl`; then the second start.

`python -m bench.first_call` clones this checkout's HEAD into a temporary folder, with whatever packages pip has cached. It prints what
the newcomer sees, the seconds to each answer, and the peak memory of the server with its engines.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

_CURL = re.compile(r"^\s*curl .*?(?<!\\)\n", re.MULTILINE | re.DOTALL)
_LIMIT_S = 900


def main() -> None:
    """Measure both starts and print the figures."""
    root = Path(__file__).resolve().parent.parent
    with tempfile.TemporaryDirectory(prefix="newcomer-") as folder:
        started = time.monotonic()
        checkout = Path(folder) / "inferway"
        subprocess.run(["git", "clone", "--quiet", str(root), str(checkout)], check=True)
        for name in ("first", "second"):
            seconds, peak = _start_and_call(checkout, started)
            print(f"{name} start: {seconds:.1f} s to the first 200, peak memory {_megabytes(peak)}")
            started = time.monotonic()


def _start_and_call(checkout: Path, started: float) -> tuple[float, dict[str, int]]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("INFERWAY_")}
    server = subprocess.Popen(
        ["make", "run", "ARGS=--port 8089"],
        cwd=checkout,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    watch = _Memory(server.pid)
    try:
        curl = _read_curl(server, started)
        answer = subprocess.run(["bash", "-c", curl], capture_output=True, text=True, check=False)
        seconds = time.monotonic() - started
        print(f"$ {curl.strip()}\n{answer.stdout[:300]}{answer.stderr[:300]}\n")
        if '"data"' not in answer.stdout:
            sys.exit("the printed curl did not succeed")
        return seconds, watch.peaks
    finally:
        watch.stop()
        os.killpg(server.pid, signal.SIGINT)
        server.wait(60)


def _read_curl(server: subprocess.Popen[str], started: float) -> str:
    """What the server prints, shown as it comes, up to the end of its first curl."""
    printed = ""
    assert server.stdout is not None
    for line in server.stdout:
        print(f"{time.monotonic() - started:6.1f} s | {line}", end="")
        printed += line
        found = _CURL.search(printed)
        if found:
            return found.group(0)
        if time.monotonic() - started > _LIMIT_S:
            break
    sys.exit("no curl was printed")


class _Memory:
    """The peak resident memory of a process's session, by program, sampled ten times a second."""

    def __init__(self, session: int) -> None:
        self.peaks: dict[str, int] = {}
        self._session = session
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the sampling."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(0.1):
            for process in Path("/proc").glob("[0-9]*"):
                self._look(process)

    def _look(self, process: Path) -> None:
        try:
            stat = (process / "stat").read_text().rpartition(")")[2].split()
            if int(stat[3]) != self._session:
                return
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            status = (process / "status").read_text()
        except (OSError, ValueError):
            return
        name = "engine" if "child" in line else "server" if "serve" in line and "python" in line else "setup"
        peak = re.search(r"VmHWM:\s+(\d+) kB", status)
        if peak:
            self.peaks[name] = max(self.peaks.get(name, 0), int(peak.group(1)))


def _megabytes(peaks: dict[str, int]) -> str:
    return ", ".join(f"{name} {kilobytes / 1024:.0f} MB" for name, kilobytes in sorted(peaks.items()))


if __name__ == "__main__":
    main()
