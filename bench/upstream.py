"""A fast upstream on loopback that answers like OpenAI: chat, chat streams and embeddings, plain or with TLS.

`python -m bench.upstream --port 9001 [--cert FILE --key FILE]`. It reads every request completely and answers from memory, so that what
a run measures is the program between it and the load.
"""

import argparse
import asyncio
import base64
import json
import random
import ssl
import struct
from functools import lru_cache
from typing import Any

import httptools
import uvloop

STREAM_EVENTS = 32


def _response(content_type: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _chat() -> bytes:
    answer = {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1_760_000_000,
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "It is all done. " * 12, "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 20,
            "completion_tokens": 48,
            "total_tokens": 68,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        },
        "system_fingerprint": "fp_bench",
    }
    return _response("application/json", json.dumps(answer).encode())


def _stream() -> tuple[bytes, ...]:
    base = {
        "id": "chatcmpl-bench",
        "object": "chat.completion.chunk",
        "created": 1_760_000_000,
        "model": "gpt-4o-mini-2024-07-18",
    }
    chunks: list[dict[str, Any]] = [
        base | {"choices": [{"index": 0, "delta": {"content": f" word{n}"}, "finish_reason": None}]}
        for n in range(STREAM_EVENTS)
    ]
    chunks.append(base | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    usage = {"prompt_tokens": 20, "completion_tokens": STREAM_EVENTS, "total_tokens": 20 + STREAM_EVENTS}
    chunks.append(base | {"choices": [], "usage": usage})
    events = [b"data: %s\n\n" % json.dumps(chunk).encode() for chunk in chunks] + [b"data: [DONE]\n\n"]
    pieces = [b"%x\r\n%s\r\n" % (len(event), event) for event in events]
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return (head + pieces[0], *pieces[1:], b"0\r\n\r\n")


@lru_cache(maxsize=8)
def _embeddings(count: int, dimensions: int, encoding: str) -> bytes:
    rng = random.Random(7)
    rows = []
    for index in range(count):
        vector = [rng.uniform(-0.1, 0.1) for _ in range(dimensions)]
        packed = struct.pack(f"<{dimensions}f", *vector)
        floats = [round(value, 10) for value in struct.unpack(f"<{dimensions}f", packed)]
        shown = base64.b64encode(packed).decode() if encoding == "base64" else floats
        rows.append({"object": "embedding", "index": index, "embedding": shown})
    answer = {
        "object": "list",
        "data": rows,
        "model": "text-embedding-3-large",
        "usage": {"prompt_tokens": count, "total_tokens": count},
    }
    return _response("application/json", json.dumps(answer, separators=(",", ":")).encode())


class Upstream(asyncio.Protocol):
    """One connection of the mock."""

    def __init__(self, loop: asyncio.AbstractEventLoop, chat: bytes, stream: tuple[bytes, ...]) -> None:
        self._loop = loop
        self._chat = chat
        self._stream = stream
        self._transport: Any = None
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._body: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """Remember the path."""
        self._url += url

    def on_body(self, body: bytes) -> None:
        """Collect the body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Answer the request that is now complete."""
        url, body = self._url, b"".join(self._body)
        self._url, self._body = b"", []
        if url.endswith(b"/embeddings"):
            asked = json.loads(body)
            inputs = asked["input"]
            count = len(inputs) if isinstance(inputs, list) else 1
            dimensions = asked.get("dimensions") or 3072
            self._transport.write(_embeddings(count, dimensions, asked.get("encoding_format", "float")))
        elif b'"stream":true' in body[:2_000] or b'"stream":true' in body[-2_000:]:
            self._send_piece(0)
        else:
            self._transport.write(self._chat)

    def _send_piece(self, at: int) -> None:
        # One piece a round of the loop, so that events leave one by one as a model's tokens do.
        if self._transport.is_closing():
            return
        self._transport.write(self._stream[at])
        if at + 1 < len(self._stream):
            self._loop.call_soon(self._send_piece, at + 1)


async def serve(port: int, cert: str | None, key: str | None) -> None:
    """Serve until killed."""
    context = None
    if cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
    loop = asyncio.get_running_loop()
    chat, stream = _chat(), _stream()
    server = await loop.create_server(
        lambda: Upstream(loop, chat, stream), "127.0.0.1", port, ssl=context, backlog=1024
    )
    await server.serve_forever()


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=9001)
    parser.add_argument("--cert")
    parser.add_argument("--key")
    asked = parser.parse_args()
    uvloop.run(serve(asked.port, asked.cert, asked.key))


if __name__ == "__main__":
    main()
