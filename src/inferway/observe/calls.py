"""One log line for each call: who, what, how it ended, how long, how much. Never what was asked or answered."""

import asyncio
import contextlib
import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

import msgspec
from msgspec import Struct

from inferway.types import Parameters
from inferway.usage.records import UsageRecord

LOGGER = "inferway.calls"

_FLUSH_S = 0.2
_LAST_WORDS_S = 2.0
_WAITING_MAX = 20_000
_ATOMIC_BYTES = 4096
"""As much as a pipe takes in one piece, so that the lines of several workers stay whole."""
_STANDARD_ERROR = 2
_SHOWN = 200


class CallLine(Struct, frozen=True, kw_only=True):
    """A line for machines. `tokens` are those of `tokens_used`; `cost_usd` is null where the price is not known."""

    time: str
    level: Literal["info"] = "info"
    logger: str = LOGGER
    message: str
    request_id: str
    organization_id: str
    namespace_id: str
    key_id: str
    operation: str
    provider: str
    model: str
    status: str
    error: str | None
    latency_ms: float
    upstream_ms: float
    attempts: int
    tokens: dict[str, int] | None
    cost_usd: float | None
    streamed: bool
    cached: bool


class CallLog:
    """An observer that writes lines in the background, as whoever reads them may be slow. What piles up is dropped and told."""

    def __init__(self, form: Literal["text", "json"], write: Callable[[bytes], None] | None = None) -> None:
        self._render = _as_json if form == "json" else _as_text
        self._write = write or _write_to_standard_error
        self._waiting: list[UsageRecord] = []
        self._ended_at: list[datetime] = []
        self._dropped = 0
        self._hurry = asyncio.Event()
        self._flushing: asyncio.Task[None] | None = None

    def ended(self, record: UsageRecord, parameters: Parameters) -> None:
        """See `Observer`."""
        del parameters
        if len(self._waiting) >= _WAITING_MAX:
            self._dropped += 1
            return
        self._waiting.append(record)
        self._ended_at.append(datetime.now(UTC))
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.get_running_loop().create_task(self._flush())

    async def aclose(self) -> None:
        """Writes what waits; a reader that stands still is given up."""
        self._hurry.set()
        if self._flushing is not None:
            await asyncio.wait({self._flushing}, timeout=_LAST_WORDS_S)

    async def _flush(self) -> None:
        while self._waiting:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FLUSH_S):
                    await self._hurry.wait()
            await asyncio.to_thread(self._write_all, *self._take())

    def _take(self) -> tuple[list[UsageRecord], list[datetime], int]:
        taken = self._waiting, self._ended_at, self._dropped
        self._waiting, self._ended_at, self._dropped = [], [], 0
        return taken

    def _write_all(self, records: list[UsageRecord], ended_at: list[datetime], dropped: int) -> None:
        piece = b""
        for record, moment in zip(records, ended_at, strict=True):
            line = self._render(record, _moment(moment)) + b"\n"
            if len(piece) + len(line) > _ATOMIC_BYTES and piece:
                self._write(piece)
                piece = b""
            piece += line
        if dropped:
            piece += b'{"level":"warning","logger":"%s","message":"%d lines were dropped"}\n' % (
                LOGGER.encode(),
                dropped,
            )
        if piece:
            self._write(piece)


def _write_to_standard_error(piece: bytes) -> None:
    try:
        while piece:
            piece = piece[os.write(_STANDARD_ERROR, piece) :]
    except OSError:
        # Nobody reads the log any more: that is no reason to stop serving.
        return


def _as_json(record: UsageRecord, moment: str) -> bytes:
    return msgspec.json.encode(
        CallLine(
            time=moment,
            message="call",
            request_id=record.request_id,
            organization_id=record.organization_id,
            namespace_id=record.namespace_id,
            key_id=record.key_id,
            operation=record.operation,
            provider=record.provider,
            model=record.model[:_SHOWN],
            status=record.status,
            error=record.error_code or record.error_type,
            latency_ms=round(record.latency_ms, 3),
            upstream_ms=round(record.upstream_ms, 3),
            attempts=len(record.attempts),
            tokens=record.usage.tokens_used(),
            cost_usd=None if record.cost_microusd is None else record.cost_microusd / 1e6,
            streamed=record.streamed,
            cached=record.cached,
        )
    )


def _as_text(record: UsageRecord, moment: str) -> bytes:
    """Names of callers are written so that a line stays one line."""
    tokens = (record.usage.tokens_used() or {}).get("total", 0)
    cost = "unpriced" if record.cost_microusd is None else f"${record.cost_microusd / 1e6:.6f}"
    model = record.model if record.model.isprintable() else ascii(record.model)
    ended = record.status if record.error_code is None else f"{record.status} {record.error_code}"
    line = (
        f"{moment} INFO {LOGGER}: {record.provider}/{model[:_SHOWN]} {record.operation} {ended} "
        f"{record.latency_ms:.0f} ms {tokens} tokens {cost} {record.request_id} {record.key_id} {record.namespace_id}"
    )
    return line.encode("utf-8", "replace")


def _moment(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
