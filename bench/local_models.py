"""Measures the pulled local models: load time, memory, throughput. `python -m bench.local_models MODELS_DIR [AUDIO.wav]`."""

import asyncio
import statistics
import sys
import time
from pathlib import Path

from inferway.providers.local.catalogue import LocalModel, load_catalogue
from inferway.providers.local.engine import (
    ChatTask,
    Chatted,
    ChatTurn,
    EmbedTask,
    Task,
    Transcribed,
    TranscribeTask,
)
from inferway.providers.local.lane import PoolSettings
from inferway.providers.local.pool import LocalEnginePool
from inferway.providers.local.shelf import Shelf
from inferway.types import Operation

SHORT = "What is the best way to learn a new language?"


async def measure(pool: LocalEnginePool, model: LocalModel, audio: bytes | None) -> str:
    """One line of figures about one model."""
    began = time.monotonic()
    if model.operation is Operation.TEXT_EMBEDDING:
        await pool.run(model.id, EmbedTask(texts=(SHORT,)))
        cold_s = time.monotonic() - began
        one_ms = [await timed(pool, model, EmbedTask(texts=(SHORT,))) * 1000 for _ in range(30)]
        many = [timed(pool, model, EmbedTask(texts=(f"{SHORT} {number}",))) for number in range(256)]
        began = time.monotonic()
        # Less at once than the queue holds.
        for start in range(0, len(many), 32):
            await asyncio.gather(*many[start : start + 32])
        rate = len(many) / (time.monotonic() - began)
        figures = f"one text {statistics.median(one_ms):.1f} ms, batched across calls {rate:.0f} texts/s"
    elif model.operation is Operation.TRANSCRIPTION:
        if audio is None:
            return f"{model.id}: not measured without a recording"
        output = await pool.run(model.id, TranscribeTask(audio=audio))
        cold_s = time.monotonic() - began
        assert isinstance(output, Transcribed)
        taken_s = statistics.median([await timed(pool, model, TranscribeTask(audio=audio)) for _ in range(3)])
        figures = f"{output.duration_s:.1f} s of audio in {taken_s:.2f} s, {output.duration_s / taken_s:.1f}x real time"
    else:
        task = ChatTask(
            turns=(ChatTurn(role="user", content="Tell me a long story about the sea."),),
            temperature=0,
            max_tokens=128,
        )
        await pool.run(model.id, task)
        cold_s = time.monotonic() - began
        began = time.monotonic()
        output = await pool.run(model.id, task)
        assert isinstance(output, Chatted)
        figures = f"{output.completion_tokens / (time.monotonic() - began):.0f} tokens/s"
    status = next(lane for lane in await pool.status() if lane.model == model.id)
    memory = f"{status.memory_mb} MB resident (reserved {model.memory_mb})"
    return (
        f"{model.id}: loaded in {status.load_s:.2f} s, first answer after {cold_s:.2f} s, {memory}, {figures}"
    )


async def timed(pool: LocalEnginePool, model: LocalModel, task: Task) -> float:
    """Seconds that one task takes."""
    began = time.monotonic()
    await pool.run(model.id, task)
    return time.monotonic() - began


async def main() -> None:
    """Measures every model that is pulled in the given folder."""
    shelf = Shelf(Path(sys.argv[1]))
    audio = await asyncio.to_thread(Path(sys.argv[2]).read_bytes) if len(sys.argv) > 2 else None
    pool = LocalEnginePool(load_catalogue(), shelf, PoolSettings())
    for model in load_catalogue().models.values():
        if shelf.state(model) == "pulled":
            print(await measure(pool, model, audio))
    await pool.aclose()


if __name__ == "__main__":
    asyncio.run(main())
