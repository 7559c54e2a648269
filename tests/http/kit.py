"""A real server on loopback, and an upstream that answers what a test tells it."""

import contextlib
import json
import threading
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import uvicorn

from inferway.app import create
from inferway.http.server import configure
from inferway.settings import load


@dataclass
class Seen:
    """A request that reached the upstream."""

    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Reply:
    """What the upstream answers. `pause_s` is waited before the body's pieces, `cut` ends the connection after them."""

    body: bytes | Iterable[bytes]
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    pause_s: float = 0.0
    cut: bool = False


class Upstream:
    """An HTTP server that answers by `answer` and keeps what it was asked; `gone` is set when a client hung up early."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.gone = threading.Event()
        self.answer: Callable[[Seen], Reply] = lambda _: Reply(b"{}")
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(upstream: Upstream) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            seen = Seen(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            upstream.seen.append(seen)
            reply = upstream.answer(seen)
            pieces = [reply.body] if isinstance(reply.body, bytes) else reply.body
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            try:
                for piece in pieces:
                    time.sleep(reply.pause_s)
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                    self.wfile.flush()
                if reply.cut:
                    self.close_connection = True
                    return
                self.wfile.write(b"0\r\n\r\n")
            except OSError:
                upstream.gone.set()
                self.close_connection = True

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *args: object) -> None:
            del args

    return Handler


@dataclass
class Answered:
    """An HTTP answer of the server."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Gateway:
    """A running server and the keys that it minted."""

    port: int
    inference_key: str
    admin_key: str
    app: Any

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def headers(self, **more: str) -> dict[str, str]:
        return {
            "authorization": f"Bearer {self.inference_key}",
            "x-namespace": "default",
            "content-type": "application/json",
        } | {name.replace("_", "-"): value for name, value in more.items()}

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answered:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return Answered(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def infer(self, **fields: Any) -> Answered:
        """Send a body, by default one prompt to openai."""
        body = {"provider": "openai", "model": "gpt-5.4-mini", "inputs": {"prompts": ["hi"]}} | fields
        return self.request("POST", "/v1/inference", json.dumps(body).encode(), self.headers())


@contextlib.contextmanager
def running(data_dir: Path, **environ: str) -> Iterator[Gateway]:
    """A gateway with these variables; no local models are fetched."""
    settings = load(
        environ={
            "INFERWAY_DATA_DIR": str(data_dir),
            "INFERWAY_LOCAL__PULL_DEFAULTS": "false",
            "HOME": str(data_dir),
            **environ,
        }
    )
    app = create(settings)
    config = configure(app, settings.server)
    config.host, config.port, config.lifespan = "127.0.0.1", 0, "on"
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    ends = time.monotonic() + 20
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        assert time.monotonic() < ends, "the server did not start in time"
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    keys = tomllib.loads((data_dir / "credentials.toml").read_text())
    try:
        yield Gateway(port, keys["inference_key"], keys["admin_key"], app)
    finally:
        server.should_exit = True
        thread.join(20)


def completion(text: str = "hello", **usage: int) -> bytes:
    """An answer of OpenAI's chat completions, written from its API reference."""
    counts = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5} | usage
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text, "refusal": None},
        "finish_reason": "stop",
    }
    answer = {
        "id": "c",
        "object": "chat.completion",
        "model": "gpt-5.4-mini",
        "choices": [choice],
        "usage": counts,
    }
    return json.dumps(answer).encode()


def chunks(*texts: str) -> list[bytes]:
    """The same as a stream, one event for each text."""
    events: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]} for text in texts
    ]
    events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    events.append({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}})
    head = {"id": "c", "object": "chat.completion.chunk", "model": "gpt-5.4-mini"}
    sent = [b"data: %s\n\n" % json.dumps(head | event).encode() for event in events]
    return [*sent, b"data: [DONE]\n\n"]


EVENT_STREAM = {"content-type": "text/event-stream"}
