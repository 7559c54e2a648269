"""An upstream of its own process that counts: `python -m tests.faults.counting PORT FILE [DELAY_MS]`.

It answers like OpenAI's chat completions. The prompt of each call that reached it is appended to the file before it is answered.
"""

import asyncio
import os
import sys
from typing import Any

import httptools
import msgspec
import uvloop

_ANSWER: dict[str, Any] = {
    "id": "c",
    "object": "chat.completion",
    "model": "gpt-5.4-mini",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "hello", "refusal": None},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}


_PIECES = 24


def _streamed() -> bytes:
    """The same answer as a stream of events."""
    head = {"id": "c", "object": "chat.completion.chunk", "model": "gpt-5.4-mini"}
    choice = {"index": 0, "delta": {"content": " hello"}, "finish_reason": None}
    events = [head | {"choices": [choice]}] * _PIECES
    events.append(head | {"choices": [choice | {"delta": {}, "finish_reason": "stop"}]})
    events.append(head | {"choices": [], "usage": _ANSWER["usage"]})
    texts = [b"data: %s\n\n" % msgspec.json.encode(each) for each in events] + [b"data: [DONE]\n\n"]
    start = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return start + b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in texts) + b"0\r\n\r\n"


class Counting(asyncio.Protocol):
    """One connection."""

    def __init__(self, file: int, delay_s: float) -> None:
        body = msgspec.json.encode(_ANSWER)
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        self._answers = (head.encode() + body, _streamed())
        self._answer = self._answers[0]
        self._file = file
        self._delay_s = delay_s
        self._parser = httptools.HttpRequestParser(self)
        self._body: list[bytes] = []
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        """Collect the body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Count, then answer."""
        asked = msgspec.json.decode(b"".join(self._body))
        self._body = []
        self._answer = self._answers[bool(asked.get("stream"))]
        os.write(self._file, asked["messages"][-1]["content"].encode() + b"\n")
        if self._delay_s:
            asyncio.get_running_loop().call_later(self._delay_s, self._send)
        else:
            self._send()

    def _send(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(self._answer)


async def main(port: int, path: str, delay_s: float) -> None:
    """Serve until killed."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Counting(file, delay_s), "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]) / 1000 if len(sys.argv) > 3 else 0.0))
