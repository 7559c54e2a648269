"""Load that begins calls on a schedule, whether or not earlier ones are answered; and load that takes as much as goes.

`python -m tests.faults.openloop PORT FILE RATE SECONDS SKIP` sends the bytes of FILE; RATE 0 keeps 32 connections busy instead. It prints
one line of JSON: answers by status, those that came in time (2 s from when the call was due; calls due in the first SKIP seconds do not
count for this), what was never answered, how long answers and refusals took from when the call was due, and of itself: the share of the
time in which it worked (`used`), and how late it began calls (`late_ms`, 99 of 100). A load that is busy all the time measures itself.
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
_LAST_S = 8.0
"""What is not answered so long after the last call is taken for never answered."""
_CONNECTIONS_MAX = 4000
_TICK_S = 0.001
_KEPT_S = 3.0
"""A connection that was idle for longer is not used again: the server may be closing it."""


class Client:
    """A kept connection, one call at a time."""

    __slots__ = ("due", "file", "got", "idle_since", "socket", "unsent", "wanted")

    def __init__(self, port: int) -> None:
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.connect_ex(("127.0.0.1", port))
        self.file = self.socket.fileno()
        self.unsent = self.got = b""
        self.wanted = 0
        self.due = self.idle_since = 0.0

    def send(self, data: bytes) -> None:
        """Sends now what the kernel takes; the rest, or all while the connection is not made yet, is `unsent`."""
        try:
            self.unsent = data[self.socket.send(data) :]
        except BlockingIOError:
            self.unsent = data

    def receive(self) -> bytes | None:
        """The answer once it is whole; empty when the connection is closed."""
        try:
            data = self.socket.recv(65536)
        except BlockingIOError:
            return None
        except OSError:
            return b""
        if not data:
            return b""
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
        answer, self.got, self.wanted = self.got, b"", 0
        return answer


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
        self.waits_s: dict[int, list[float]] = {200: [], 503: []}
        self.late_s: list[float] = []

    @property
    def busy(self) -> int:
        """Calls that wait for their answer."""
        return len(self._clients) - len(self._idle)

    def begin(self, due: float) -> None:
        """One call that is due now, on an idle connection or a new one."""
        now = time.perf_counter()
        if self._idle and now - self._idle[-1].idle_since > _KEPT_S:
            for each in tuple(self._idle):
                self._drop(each)
        client = self._idle.pop() if self._idle else self._connect()
        if client is None:
            self.told["not sent"] += 1
            return
        client.due = due
        self.late_s.append(now - due)
        self._send(client, self._request)

    def turn(self) -> int:
        """Takes what has come since the last tick; the number of whole answers.

        It waits by the clock and not for its sockets: to wake a process costs more than to send it something, and the gateway, which
        sends, would have to pay for it at each answer. Clients elsewhere are woken by their own machine.
        """
        whole = 0
        time.sleep(_TICK_S)
        for file, events in self._poll.poll(0):
            client = self._clients[file]
            if events & select.EPOLLOUT:
                self._poll.modify(file, select.EPOLLIN)
                self._send(client, client.unsent)
                continue
            answer = client.receive()
            if answer is None:
                continue
            if not answer:
                self._drop(client)
                continue
            whole += 1
            client.idle_since = time.perf_counter()
            self._idle.append(client)
            self._count(answer, client)
        return whole

    def _count(self, answer: bytes, client: Client) -> None:
        status, wait_s = int(answer[9:12]), client.idle_since - client.due
        is_counted = client.due >= self._counts_from
        self.told[str(status)] += 1
        if status == 503:
            self.told["without a hint"] += b"\r\nretry-after: " not in answer
        if status in self.waits_s and is_counted:
            self.waits_s[status].append(wait_s)
        if status == 200:
            self.told["in time"] += wait_s <= IN_TIME_S and is_counted

    def _send(self, client: Client, data: bytes) -> None:
        try:
            client.send(data)
        except OSError:
            self._drop(client)
            return
        if client.unsent:
            self._poll.modify(client.file, select.EPOLLIN | select.EPOLLOUT)

    def _connect(self) -> Client | None:
        if len(self._clients) >= _CONNECTIONS_MAX:
            return None
        client = Client(self._port)
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
        load.turn()
    ends = time.perf_counter() + _LAST_S
    while load.busy and time.perf_counter() < ends:
        load.turn()


def saturating(load: Load, seconds: float) -> None:
    """A closed loop on a few connections."""
    ends = time.perf_counter() + seconds
    for _ in range(_BUSY):
        load.begin(time.perf_counter())
    while (now := time.perf_counter()) < ends:
        for _ in range(load.turn()):
            load.begin(now)


def main() -> None:
    """Reads the arguments and loads."""
    port, file, rate, seconds = int(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
    load = Load(port, file.read_bytes(), float(sys.argv[5]))
    used_s, began = time.process_time(), time.perf_counter()
    if rate:
        scheduled(load, rate, seconds)
    else:
        saturating(load, seconds)
    told: dict[str, float] = {"broken": 0, "without a hint": 0, "in time": 0, "not sent": 0, **load.told}
    told["unanswered"] = load.busy if rate else 0
    told["used"] = (time.process_time() - used_s) / (time.perf_counter() - began)
    told["late_ms"] = at_ms(load.late_s, 0.99)
    told |= {"p50_ms": at_ms(load.waits_s[200], 0.5), "p99_ms": at_ms(load.waits_s[200], 0.99)}
    told["refused_p99_ms"] = at_ms(load.waits_s[503], 0.99)
    print(json.dumps(told))


def at_ms(waits_s: list[float], share: float) -> float:
    """The wait, in milliseconds, that this share of all does not exceed; 0 when there is none."""
    return 1000 * sorted(waits_s)[int(share * (len(waits_s) - 1))] if waits_s else 0.0


if __name__ == "__main__":
    main()
