"""The load: as many calls as go (wrk, or a loop of our own without it), and an open loop at a fixed rate for latencies."""

import json
import select
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from bench.subjects import LOAD_CORE, Subject

CONNECTIONS = 16
_WRK_SCRIPT = """
wrk.method = "POST"
wrk.body = io.open("{body}", "rb"):read("*a")
{headers}
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\\n{{"requests":%d,"us":%d,"errors":%d}}\\n', summary.requests, summary.duration,
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@dataclass
class Saturated:
    """What went through when as much as possible was asked."""

    requests: int
    seconds: float
    errors: int


def request_bytes(subject: Subject, scenario: str) -> tuple[bytes, bytes]:
    """Head and body of a call."""
    body = subject.bodies[scenario]
    lines = [f"POST {subject.path_of(scenario)} HTTP/1.1", f"host: 127.0.0.1:{subject.port}"]
    lines += [f"{name}: {value}" for name, value in subject.headers.items()]
    lines += [f"content-length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode(), body


def saturate(subject: Subject, scenario: str, seconds: float, folder: Path) -> Saturated:
    """Calls one after another on each of a few connections, from the core of the load."""
    program = shutil.which("wrk")
    if program is None:
        return _saturate_ourselves(subject, scenario, seconds)
    body = folder / f"{scenario}-{subject.name}.body"
    body.write_bytes(subject.bodies[scenario])
    headers = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in subject.headers.items())
    script = folder / f"{scenario}-{subject.name}.lua"
    script.write_text(_WRK_SCRIPT.format(body=body, headers=headers))
    url = f"http://127.0.0.1:{subject.port}{subject.path_of(scenario)}"
    command = ["taskset", "--cpu-list", str(LOAD_CORE), program, "-t1", f"-c{CONNECTIONS}"]
    command += [f"-d{max(1, round(seconds))}s", "--timeout", "60s", "-s", str(script), url]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout.strip().splitlines()[-1])
    return Saturated(told["requests"], told["us"] / 1e6, told["errors"])


def _saturate_ourselves(subject: Subject, scenario: str, seconds: float) -> Saturated:
    head, body = request_bytes(subject, scenario)
    connections = [Client(subject.port) for _ in range(CONNECTIONS)]
    for connection in connections:
        connection.begin(head, body, time.perf_counter())
    requests = errors = 0
    started = time.perf_counter()
    while (now := time.perf_counter()) - started < seconds:
        ready, _, _ = select.select(connections, [], [], 1.0)
        for connection in ready:
            status = connection.receive()
            if status is not None:
                requests += 1
                errors += status != 200
                connection.begin(head, body, now)
    elapsed = time.perf_counter() - started
    for connection in connections:
        connection.close()
    return Saturated(requests, elapsed, errors)


class Client:
    """A kept connection that makes one call at a time."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._got = b""
        self._left: int | None = None
        self._status = 0
        self.due = 0.0

    def fileno(self) -> int:
        """For select."""
        return self._socket.fileno()

    def begin(self, head: bytes, body: bytes, due: float) -> None:
        """Send head and body in two writes, as common clients do; `due` is when the call was to begin."""
        self.due = due
        self._got, self._left = b"", None
        self._socket.sendall(head)
        self._socket.sendall(body)

    def receive(self) -> int | None:
        """Read on; the status when the answer is complete, else None."""
        data = self._socket.recv(1 << 20)
        if not data:
            raise RuntimeError("the connection was closed in the middle of a call")
        if self._left is None:
            self._got += data
            head, found, data = self._got.partition(b"\r\n\r\n")
            if not found:
                return None
            self._status = int(head[9:12])
            lines = (line.partition(b":") for line in head.lower().split(b"\r\n"))
            length = next((int(value) for name, _, value in lines if name == b"content-length"), None)
            if length is None:
                raise RuntimeError("the load needs answers with a content-length")
            self._left = length
        self._left -= len(data)
        return self._status if self._left <= 0 else None

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


def latencies_ms(subject: Subject, scenario: str, rate: float, seconds: float) -> list[float]:
    """Latencies of calls that begin on a fixed schedule, whether or not earlier ones have been answered.

    Each is counted from the moment at which the call was due: when the program or the load falls behind, the wait counts. Raises
    RuntimeError for an answer other than 200.
    """
    head, body = request_bytes(subject, scenario)
    idle: list[Client] = [Client(subject.port) for _ in range(2)]
    busy: list[Client] = []
    found: list[float] = []
    count = max(1, int(rate * seconds))
    started = time.perf_counter() + 0.05
    sent = 0
    while len(found) < count:
        due = started + sent / rate
        now = time.perf_counter()
        if sent < count and now >= due:
            client = idle.pop() if idle else Client(subject.port)
            client.begin(head, body, due)
            busy.append(client)
            sent += 1
            continue
        wait_s = due - now if sent < count else 30.0
        ready, _, _ = select.select(busy, [], [], max(0.0, wait_s))
        for client in ready:
            status = client.receive()
            if status is None:
                continue
            if status != 200:
                raise RuntimeError(f"{subject.name} answered {status}")
            found.append((time.perf_counter() - client.due) * 1000)
            busy.remove(client)
            idle.append(client)
    for client in idle:
        client.close()
    return found
