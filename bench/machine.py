"""What a benchmark needs of the machine: pinned processes, their CPU time and memory, a throwaway certificate."""

import os
import socket
import subprocess
import time
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_GIVE_UP_S = 20.0


def pin(core: int) -> None:
    """Keep this process on one core, when the machine has it."""
    os.sched_setaffinity(0, {core % (os.cpu_count() or 1)})


def spawn(
    command: list[str], *, core: int, env: dict[str, str] | None = None, log: Path | None = None
) -> subprocess.Popen[bytes]:
    """Start a process on one core, in a session of its own, with byte code caching as a user would have it."""
    own = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    pinned = ["taskset", "--cpu-list", str(core % (os.cpu_count() or 1)), *command]
    out = log.open("wb") if log is not None else subprocess.DEVNULL
    return subprocess.Popen(pinned, stdout=out, stderr=out, env=own | (env or {}), start_new_session=True)


def wait_for_port(
    port: int, process: subprocess.Popen[bytes] | None = None, *, give_up_s: float = _GIVE_UP_S
) -> float:
    """Wait until something listens on loopback; returns the seconds it took."""
    started = time.monotonic()
    while time.monotonic() - started < give_up_s:
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode} before it listened")
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return time.monotonic() - started
        time.sleep(0.02)
    raise RuntimeError(f"nothing listens on port {port}")


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def process_tree(root: int) -> list[int]:
    """A process and all that descend from it."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            parents.setdefault(parent, []).append(int(entry.name))
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += parents.get(pid, [])
    return found


def cpu_s(root: int) -> float:
    """User and system time of a process tree with all threads, in seconds; those that have ended and were waited for count too."""
    total = 0
    for pid in process_tree(root):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += sum(int(field) for field in fields[11:15])
    return total / _TICKS_PER_S


def memory_mb(root: int) -> tuple[float, float]:
    """Resident and proportional memory of a process tree in MB (10^6 bytes)."""
    rss = pss = 0
    for pid in process_tree(root):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            name, _, value = line.partition(":")
            if name == "Rss":
                rss += int(value.split()[0])
            elif name == "Pss":
                pss += int(value.split()[0])
    return rss * 1024 / 1e6, pss * 1024 / 1e6


def throwaway_certificate(folder: Path) -> tuple[Path, Path, Path]:
    """A throwaway authority and a loopback certificate that it signed, by openssl: (authority, certificate, key)."""
    ca, ca_key, cert, key = (folder / name for name in ("ca.pem", "ca.key", "cert.pem", "key.pem"))
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    make += ["-days", "2"]
    authority = ["-subj", "/CN=Throwaway", "-addext", "basicConstraints=critical,CA:TRUE"]
    authority += ["-addext", "keyUsage=critical,keyCertSign"]
    subprocess.run(
        [*make, "-keyout", str(ca_key), "-out", str(ca), *authority], check=True, capture_output=True
    )
    leaf = ["-subj", "/CN=localhost", "-CA", str(ca), "-CAkey", str(ca_key)]
    leaf += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    leaf += ["-addext", "basicConstraints=critical,CA:FALSE"]
    subprocess.run([*make, "-keyout", str(key), "-out", str(cert), *leaf], check=True, capture_output=True)
    return ca, cert, key
