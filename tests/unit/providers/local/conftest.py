"""A catalogue of echo models whose single file is on the shelf, and pools over them that are always closed."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from inferway.providers.local.catalogue import Catalogue, LocalModel, ModelFile
from inferway.providers.local.lane import PoolSettings
from inferway.providers.local.pool import LocalEnginePool
from inferway.providers.local.shelf import Shelf
from inferway.types import Operation

CONTENT = b"not a model, only its bytes"


def echo_model(name: str, **fields: Any) -> LocalModel:
    file = ModelFile(name="model.bin", sha256=hashlib.sha256(CONTENT).hexdigest(), size=len(CONTENT))
    values: dict[str, Any] = {
        "operation": Operation.CHAT,
        "engine": "echo",
        "licence": "MIT",
        "quality": "minimal",
        "context_length": 16,
        "memory_mb": 60,
        "load_s": 0.3,
    }
    return LocalModel(id=name, files=(file,), **(values | fields))


def place(shelf: Shelf, *models: LocalModel) -> None:
    for model in models:
        folder = shelf.folder_of(model)
        folder.mkdir(parents=True)
        (folder / "model.bin").write_bytes(CONTENT)


async def until(true: Callable[[], Awaitable[bool]], timeout_s: float = 10) -> None:
    """Looks again and again until something is true, in another process too; fails after `timeout_s`."""
    async with asyncio.timeout(timeout_s):
        while not await true():  # noqa: ASYNC110 - no event reaches us from there
            await asyncio.sleep(0.005)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "models")


MakePool = Callable[..., LocalEnginePool]


@pytest.fixture
async def make_pool(shelf: Shelf) -> AsyncIterator[MakePool]:
    pools: list[LocalEnginePool] = []

    def make(*models: LocalModel, pulled: bool = True, start: Any = None, **settings: Any) -> LocalEnginePool:
        if pulled:
            place(shelf, *models)
        pool = LocalEnginePool(Catalogue(models), shelf, PoolSettings(**settings), start)
        pools.append(pool)
        return pool

    yield make
    for pool in pools:
        await pool.aclose()
