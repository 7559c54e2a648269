"""The lines that come out: how an answer is written, and what is read of it again."""

import json
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Struct

from inferway.cli.batching.lines import BadLine, Job

START = b'{"line": '
"""How every line begins; by this much a file is known as ours even when it holds only half a line."""


class Failure(Struct, frozen=True, kw_only=True):
    """What is read of an error."""

    message: str = ""
    type: str | None = None
    code: str | None = None


class Answered(Struct, frozen=True, kw_only=True):
    """What is read of an answer; the rest is not even decoded. `cost_usd` is US dollars, None for unpriced."""

    data: msgspec.Raw
    tokens_used: dict[str, int] | None = None
    cost_usd: Decimal | None = None
    latency_ms: float = 0.0

    @property
    def is_partial(self) -> bool:
        """Whether one of several prompts failed inside an answer that is good otherwise."""
        if b'"error"' not in bytes(self.data):
            return False
        found = json.loads(bytes(self.data))
        completions = found.get("completions") if isinstance(found, dict) else None
        return isinstance(completions, list) and any(
            isinstance(each, dict) and each.get("error") for each in completions
        )


class Told(Struct, frozen=True, kw_only=True):
    """One line of the output. `status` is None when no server answered."""

    line: int
    line_sha256: str
    status: int | None = None
    body: Answered | None = None
    error: Failure | None = None

    @property
    def is_answered(self) -> bool:
        """Whether the line has its answer."""
        return self.status == 200 and self.body is not None


def read_told(text: bytes) -> Told:
    """A line of the output; raises `msgspec.MsgspecError` when it is none."""
    return msgspec.json.decode(text, type=Told)


def answer_line(job: Job, body: dict[str, Any]) -> bytes:
    """The line of a call that was answered, with its end."""
    return _line(job, {"status": 200, "body": body})


def failure_line(job: Job | BadLine, status: int | None, error: dict[str, Any]) -> bytes:
    """The line of a call that failed, with its end; `error` has at least `message` and `type`."""
    return _line(job, {"status": status, "error": error})


def _line(job: Job | BadLine, rest: dict[str, Any]) -> bytes:
    own = {} if job.id is None else {"id": job.id}
    value = {"line": job.number, "line_sha256": job.sum, **own, **rest}
    text = json.dumps(value, ensure_ascii=False)
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:
        # A model may say half of a character pair, which no file in UTF-8 can hold.
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode() + b"\n"
