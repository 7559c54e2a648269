"""What the three local capabilities share: choosing the model, calling the pool within the deadline, telling the quality."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from time import perf_counter
from typing import Any

from inferway.errors import ProviderTimeout
from inferway.providers.base import Context
from inferway.providers.local.catalogue import Catalogue, LocalModel
from inferway.providers.local.engine import Delta, Output, Task
from inferway.providers.local.pool import EnginePool, last
from inferway.providers.local.shelf import Shelf
from inferway.types import Adaptation, Operation, Parameters

_MARGIN_S = 0.2
"""Kept of a deadline for saying that the model is still warming, instead of only running out of time."""


class Choice:
    """The models that an operation may name. `default` is the best pulled one for chat, else the first default model."""

    def __init__(self, catalogue: Catalogue, shelf: Shelf) -> None:
        self._catalogue = catalogue
        self._shelf = shelf

    def require(self, name: str, operation: Operation) -> LocalModel:
        """The model meant by a name; raises `BadRequest` that lists what there is."""
        if name.lower() == "default":
            models = [
                each for each in self._catalogue.models.values() if each.operation is operation and each.rank
            ]
            pulled = [each for each in models if self._shelf.state(each) == "pulled"]
            if pulled:
                return max(pulled, key=lambda each: each.rank)
        return self._catalogue.require_model(name, operation)


class Work:
    """What `prepare` hands to `execute`: the model and its task."""

    __slots__ = ("capped", "model", "task")

    def __init__(self, model: LocalModel, task: Task, *, capped: bool = False) -> None:
        self.model = model
        self.task = task
        self.capped = capped

    def __repr__(self) -> str:
        return f"Work(model={self.model.id!r})"


async def stream(pool: EnginePool, work: Work, context: Context) -> AsyncGenerator[Delta | Output, None]:
    """The pool's events within the deadline; raises `ProviderTimeout` when it passes."""
    timing = context.timing
    timing.attempts += 1
    wait_s = max(0.0, context.deadline.remaining_s() - _MARGIN_S)
    async with contextlib.aclosing(pool.stream(work.model.id, work.task, wait_s)) as events:
        while True:
            began = perf_counter()
            try:
                async with asyncio.timeout(context.deadline.remaining_s()):
                    event = await anext(events, None)
            except TimeoutError:
                message = f"the local model {work.model.id} did not answer in time"
                raise ProviderTimeout(message, retry_after_s=5.0) from None
            finally:
                timing.upstream_s += perf_counter() - began
            if event is None:
                return
            yield event


async def run(pool: EnginePool, work: Work, context: Context) -> Output:
    """The output alone."""
    async with contextlib.aclosing(stream(pool, work, context)) as events:
        return await last(events)


def quality_warnings(model: LocalModel) -> tuple[str, ...]:
    """What an answer of a small model says about itself."""
    if model.quality in ("minimal", "demo"):
        return (f"quality: {model.quality} - {model.id} is a very small model; its answers are often wrong",)
    return ()


def drop_extra(
    parameters: Parameters, allowed: frozenset[str] = frozenset()
) -> tuple[dict[str, Any], list[Adaptation]]:
    """The fields of `extra` that an engine takes, and what is told of the others."""
    extra = parameters.extra or {}
    told = [
        Adaptation(
            field=f"parameters.extra.{name}", action="dropped", reason="the local engine has no such field"
        )
        for name in extra
        if name not in allowed
    ]
    return {name: value for name, value in extra.items() if name in allowed}, told
