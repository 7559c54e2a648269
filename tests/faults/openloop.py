"""Load that begins calls on a schedule, whether or not earlier ones are answered; and load that takes as much as goes.

`python -m tests.faults.openloop PORT FILE RATE SECONDS SKIP` sends the bytes of FILE; RATE 0 keeps 32 connections busy instead. It prints
one line of JSON: answers by status, those that came in time (2 s from when the call was due; calls due in the first SKIP seconds do not
count for this), and what was never answered.
"""

import json
import select
import socket
import sys
import time
from collections import Counter
from pathlib import Path

IN_TIME_S = 2.0
_BUSY = 32
_CONNECTIONS_MAX = 4000


class Client:
    """A kept connection, one call at a time."""

    __slots__ = ("due", "file", "got", "socket", "wanted")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.fileno()
        self.got = b""
        self.wanted = 0
        self.due = 0.0

    def receive(self) -> int | None:
        """The status once the answer is whole; 0 when the connection is closed."""
        try:
            data = self.socket.recv(65536)
        except OSError:
            return 0
        if not data:
            return 0
        self.got += data
        if not self.wanted:
            end = self.got.find(b"\r\n\r\n")
            if end < 0:
                return None
            at = self.got.find(b"content-length: ", 0, end) + 16
            # A stream's end is seen by its last chunk.
            self.wanted = end + 4 + int(self.got[at : self.got.find(b"\r", at)]) if at > 15 else -1
        if len(self.got) < self.wanted or (self.wanted < 0 and not self.got.endswith(b"0\r\n\r\n")):
            return None
        status = int(self.got[9:12])
        self.got, self.wanted = b"", 0
        return status


class Load:
    """All connections and what came of the calls."""

    def __init__(self, port: int, request: bytes, skip_s: float) -> None:
        self._port = port
        self._counts_from = time.perf_counter() + skip_s
        self._request = request
        self._poll = select.epoll()
        self._clients: dict[int, Client] = {}
        self._idle: list[Client] = []
        self.told: Counter[str] = Counter()
        self.waits_s: list[float] = []

    @property
    def busy(self) -> int:
        """Calls that wait for their answer."""
        return len(self._clients) - len(self._idle)

    def begin(self, due: float) -> None:
        """One call that is due now, on an idle connection or a new one."""
        client = self._idle.pop() if self._idle else self._connect()
        if client is None:
            self.told["not sent"] += 1
            return
        client.due = due
        try:
            client.socket.sendall(self._request)
        except OSError:
            self._drop(client)

    def turn(self, wait_s: float) -> int:
        """Takes what has come; the number of whole answers."""
        whole = 0
        for file, _ in self._poll.poll(wait_s):
            client = self._clients[file]
            status = client.receive()
            if status == 0:
                self._drop(client)
            elif status is not None:
                whole += 1
                self._idle.append(client)
                self._count(status, client.due)
        return whole

    def _count(self, status: int, due: float) -> None:
        wait_s = time.perf_counter() - due
        self.told[str(status)] += 1
        if status == 200:
            self.waits_s.append(wait_s)
            self.told["in time"] += wait_s <= IN_TIME_S and due >= self._counts_from

    def _connect(self) -> Client | None:
        if len(self._clients) >= _CONNECTIONS_MAX:
            return None
        try:
            client = Client(self._port)
        except OSError:
            return None
        self._clients[client.file] = client
        self._poll.register(client.file, select.EPOLLIN)
        return client

    def _drop(self, client: Client) -> None:
        if client in self._idle:
            self._idle.remove(client)
        else:
            self.told["broken"] += 1
        self._poll.unregister(client.file)
        del self._clients[client.file]
        client.socket.close()


def scheduled(load: Load, rate: float, seconds: float) -> None:
    """An open loop; calls in flight at the end get their time too."""
    started = time.perf_counter()
    count, sent = int(rate * seconds), 0
    while sent < count:
        behind = min(count, int((time.perf_counter() - started) * rate) + 1)
        while sent < behind:
            load.begin(started + sent / rate)
            sent += 1
        load.turn(0.001)
    ends = time.perf_counter() + IN_TIME_S
    while load.busy and time.perf_counter() < ends:
        load.turn(0.05)


def saturating(load: Load, seconds: float) -> None:
    """A closed loop on a few connections."""
    ends = time.perf_counter() + seconds
    for _ in range(_BUSY):
        load.begin(time.perf_counter())
    while (now := time.perf_counter()) < ends:
        for _ in range(load.turn(0.1)):
            load.begin(now)


def main() -> None:
    """Reads the arguments and loads."""
    port, file, rate, seconds = int(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
    load = Load(port, file.read_bytes(), float(sys.argv[5]))
    if rate:
        scheduled(load, rate, seconds)
    else:
        saturating(load, seconds)
    waits_ms = sorted(1000 * each for each in load.waits_s)
    told: dict[str, float] = {**load.told, "unanswered": load.busy if rate else 0}
    if waits_ms:
        told |= {"p50_ms": waits_ms[len(waits_ms) // 2], "p99_ms": waits_ms[len(waits_ms) * 99 // 100]}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
