"""A provider on loopback that answers what was recorded and keeps what it was asked."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from msgspec import Struct

from tests.recordings.book import Response

_PIECES = (1, 5, 2, 33, 7, 300, 64)
"""Sizes in bytes in which a stream is written, over and over: events, lines and characters are cut anywhere."""


class Asked(Struct, frozen=True, kw_only=True):
    """A request that left the gateway."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


class ReplayUpstream:
    """Answers every request with the response that is on, and remembers the request."""

    def __init__(self) -> None:
        self._response: Response | None = None
        self.asked: list[Asked] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.base = f"http://127.0.0.1:{self._server.server_address[1]}"

    def play(self, response: Response) -> None:
        """Answer this from now on; what was asked before is forgotten."""
        self._response = response
        self.asked = []

    @contextmanager
    def running(self) -> Iterator["ReplayUpstream"]:
        """Serve from a thread of its own."""
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                # Kept connections end with the test run at the latest.
                self.connection.settimeout(120)
                self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                parts = urlsplit(self.path)
                upstream.asked.append(
                    Asked(
                        method=self.command,
                        path=parts.path,
                        query=dict(parse_qsl(parts.query)),
                        headers={name.lower(): value for name, value in self.headers.items()},
                        body=body,
                    )
                )
                assert upstream._response is not None
                self._answer(upstream._response)

            def _answer(self, response: Response) -> None:
                content = response.content()
                in_pieces = response.body_type == "sse"
                self.send_response_only(response.status)
                for name, value in response.replayed_headers():
                    self.send_header(name, value)
                if in_pieces:
                    self.send_header("transfer-encoding", "chunked")
                else:
                    self.send_header("content-length", str(len(content)))
                self.end_headers()
                if not in_pieces:
                    self.wfile.write(content)
                    return
                for piece in _pieces(content):
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.write(b"0\r\n\r\n")

            def log_message(self, *_: Any) -> None:
                """Say nothing: what was asked is kept."""

        return Handler


def _pieces(content: bytes) -> Iterator[bytes]:
    at = 0
    for size in cycle(_PIECES):
        if at >= len(content):
            return
        yield content[at : at + size]
        at += size
