"""How much memory the gateway takes for bodies, answers and media that are far too large: little."""

import asyncio
import contextlib
import gzip
import itertools
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.e2e.process import Served, serving
from tests.faults.client import Reply, read_reply, request_bytes
from tests.faults.figures import Asked, run, tell

_MOST_MB = 64
_PIECE = b"x" * 65536


def _bomb(megabytes: int) -> bytes:
    """Zeros by the megabyte, compressed a thousandfold."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = bytes(1024 * 1024)
    return b"".join(packer.compress(zeros) for _ in range(megabytes)) + packer.flush()


def _endless(start: bytes, piece: bytes) -> Iterator[bytes]:
    return itertools.chain([start], itertools.repeat(piece))


_CHUNK = b"%x\r\n%b\r\n" % (len(_PIECE), _PIECE)
_EVENT = {
    "id": "c",
    "object": "chat.completion.chunk",
    "model": "m",
    "choices": [{"index": 0, "delta": {"content": "x" * 4000}, "finish_reason": None}],
}
_EVENTS = b"data: %b\n\n" % json.dumps(_EVENT).encode()
_OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


class Greedy:
    """An upstream whose answers never end; the model's name, or the path of a URL, says how."""

    def __init__(self) -> None:
        bomb = _bomb(1024)
        picture = b"\x89PNG\r\n\x1a\n" + bytes(17)
        self._answers: dict[str, Callable[[], Iterator[bytes]]] = {
            "giant": lambda: _endless(_OK + b"transfer-encoding: chunked\r\n\r\n", _CHUNK),
            "headers": lambda: _endless(_OK, b"x-more: " + b"y" * 8000 + b"\r\n"),
            "bomb": lambda: iter(
                [_OK + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(bomb), bomb]
            ),
            "stream": lambda: _endless(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
                b"%x\r\n%b\r\n" % (len(_EVENTS), _EVENTS),
            ),
            "image": lambda: _endless(
                b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\n\r\n" + picture, _PIECE
            ),
            "image-bomb": lambda: iter(
                [
                    b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-encoding: gzip\r\n\r\n",
                    gzip.compress(picture) + bomb,
                ]
            ),
        }

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            asked = json.loads(await reader.readexactly(int(length))) if length else {}
            name = asked.get("model") or head.split(b" ")[1].decode().strip("/")
            for piece in self._answers[name]():
                writer.write(piece)
                await writer.drain()
        writer.close()


async def measure(asked: Asked) -> None:
    """One after another at one server; its peak is set back before each."""
    server = await asyncio.start_server(Greedy().serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with (
        TemporaryDirectory() as folder,
        serving(
            Path(folder),
            OPENAI_API_KEY="sk-upstream-key",
            OPENAI_BASE_URL=f"http://127.0.0.1:{port}/v1",
            INFERWAY_MEDIA__ALLOW_HOSTS=f"127.0.0.1:{port}",
        ) as served,
    ):
        await _call(served, "fake-chat", provider="fake")
        await _case(asked, served, "a body of 300 MB, announced", _announced(served), "body_too_large")
        await _case(asked, served, "an upload in chunks that never ends", _upload(served), "body_too_large")
        for name, model, stream in (
            ("an answer that never ends", "giant", False),
            ("headers that never end", "headers", False),
            ("an answer of 1 MiB that unpacks to 1 GiB", "bomb", False),
            ("a stream of events that never ends", "stream", True),
        ):
            await _case(asked, served, name, _call(served, model, stream=stream))
        for name, path in (
            ("an image that never ends", "image"),
            ("an image that unpacks to 1 GiB", "image-bomb"),
        ):
            url = f"http://127.0.0.1:{port}/{path}"
            await _case(asked, served, name, _call(served, "gpt-5.4-mini", image_url=url))
    server.close()


async def _case(asked: Asked, served: Served, name: str, job: Any, code: str = "") -> None:
    """A call that must end with an error, and what it cost."""
    status = Path(f"/proc/{served.process.pid}/status")
    (status.parent / "clear_refs").write_text("5")
    before = _kilobytes(status, "VmRSS")
    reply: Reply = await job
    grown_mb = (_kilobytes(status, "VmHWM") - before) / 1024
    text = reply.body.decode("utf-8", "replace")
    told = text[text.rfind('"code":') :].split('"')[3:4]
    is_error = reply.status in (400, 500, 503) or "event: error" in text[-2000:]
    tell(
        asked,
        f"memory: {name}",
        f"grows by {grown_mb:.0f} MiB; ends with {reply.status} {told[0] if told else reply.broke}",
        f"{_MOST_MB} MiB or less, an error",
        passed=grown_mb <= _MOST_MB and is_error and (not code or told == [code]),
    )


def _kilobytes(status: Path, name: str) -> int:
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(fields[name].split()[0])


async def _call(
    served: Served, model: str, *, provider: str = "openai", stream: bool = False, **inputs: str
) -> Reply:
    body = {
        "provider": provider,
        "model": model,
        "stream": stream,
        "inputs": {"prompts": ["hello"], **inputs},
        "parameters": {"timeout_s": 10},
    }
    return await _exchange(
        served, [request_bytes("/v1/inference", served.headers(), json.dumps(body).encode())]
    )


async def _announced(served: Served) -> Reply:
    head = served.head("Content-Length: 300000000")
    return await _exchange(served, itertools.chain([head], itertools.repeat(_PIECE, 4577)))


async def _upload(served: Served) -> Reply:
    head = served.head("Transfer-Encoding: chunked")
    return await _exchange(served, itertools.chain([head], itertools.repeat(_CHUNK, 4577)))


async def _exchange(served: Served, pieces: Any) -> Reply:
    """Sends as long as the server takes it; the answer, of a stream its last 64 KB."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)

    async def send() -> None:
        with contextlib.suppress(OSError):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()

    sending = asyncio.create_task(send())
    try:
        async with asyncio.timeout(60):
            return await _answer(reader)
    except TimeoutError:
        return Reply(0, broke="no answer in time")
    finally:
        sending.cancel()
        writer.close()


async def _answer(reader: asyncio.StreamReader) -> Reply:
    first = await reader.readexactly(12)
    if first.endswith(b"200"):
        tail = b""
        while piece := await reader.read(65536):
            tail = (tail + piece)[-65536:]
            if b"event: error" in tail and tail.endswith(b"0\r\n\r\n"):
                break
        return Reply(200, body=tail)
    whole = asyncio.StreamReader()
    whole.feed_data(first)
    feeding = asyncio.create_task(_feed(reader, whole))
    try:
        return await read_reply(whole)
    finally:
        feeding.cancel()


async def _feed(source: asyncio.StreamReader, sink: asyncio.StreamReader) -> None:
    while data := await source.read(65536):
        sink.feed_data(data)
    sink.feed_eof()


if __name__ == "__main__":
    run("memory", measure)
