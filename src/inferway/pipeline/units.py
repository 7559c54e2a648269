"""One unit of work on its routes: a conversation, all items to embed, or one recording."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from msgspec.structs import replace

from inferway.errors import GatewayError, ProviderBadAnswer
from inferway.pipeline.attempts import Attempts, Emit, Outcome, may_go_elsewhere
from inferway.pipeline.journey import Journey
from inferway.pipeline.plan import Route
from inferway.pipeline.structured import Taken, checked, repair_call
from inferway.providers.base import Context
from inferway.types import Call, ChatCall, ChatResult, EmbeddingCall, EmbeddingResult

T = TypeVar("T")


class Units:
    """Runs units of work, at most `width` upstream calls of one request side by side."""

    def __init__(self, attempts: Attempts, width: int) -> None:
        self._attempts = attempts
        self._width = width

    def run(
        self,
        call: Call,
        routes: tuple[Route, ...],
        context: Context,
        journey: Journey,
        emit: Emit | None = None,
        schema: Taken | None = None,
    ) -> Coroutine[Any, Any, Outcome]:
        """The unit's outcome; a `schema` asks for structured output. Raises `GatewayError`."""
        if isinstance(call, EmbeddingCall):
            return self._embed(call, routes, context, journey)
        if schema is not None and isinstance(call, ChatCall):
            return self._structured(call, routes, context, journey, emit, schema)
        return self._attempts.run(call, routes, context, journey, emit)

    async def _structured(
        self,
        call: ChatCall,
        routes: tuple[Route, ...],
        context: Context,
        journey: Journey,
        emit: Emit | None,
        schema: Taken,
    ) -> Outcome:
        outcome = await self._attempts.run(call, routes, context, journey, emit)
        result, findings = await checked(_chat(outcome), schema, repairs=0)
        if not findings or not call.parameters.repair:
            return Outcome(route=outcome.route, result=result)
        again = repair_call(call, result.completion, findings)
        try:
            second = await self._attempts.run(again, (outcome.route,), context, journey)
        except GatewayError as error:
            journey.warnings[f"the invalid answer could not be repaired: {error.message}"] = None
            return Outcome(route=outcome.route, result=result)
        repaired, _ = await checked(_chat(second), schema, repairs=1)
        return Outcome(route=second.route, result=repaired)

    async def _embed(
        self, call: EmbeddingCall, routes: tuple[Route, ...], context: Context, journey: Journey
    ) -> Outcome:
        """All vectors come from one route: a batch that fails moves the whole call to the next."""
        used = 0
        for index, route in enumerate(routes):
            allowed = self._attempts.allowed(used, behind=len(routes) - index - 1)
            used += allowed
            batches = _split(call, route.target.facts.get("max_batch", route.capability.max_batch))
            try:
                parts = await side_by_side(
                    [self._attempts.on_route(batch, route, allowed, context, journey) for batch in batches],
                    self._width,
                )
                return Outcome(route=parts[0].route, result=_joined(call, parts))
            except GatewayError as error:
                if index == len(routes) - 1 or not may_go_elsewhere(error):
                    raise
        raise AssertionError("a plan has at least one route")


async def side_by_side(work: Sequence[Coroutine[Any, Any, T]], width: int) -> list[T]:
    """Run coroutines with a bound, results in order; the first failure cancels the rest and is raised as it is."""
    if len(work) == 1:
        return [await work[0]]
    slots = asyncio.Semaphore(width)

    async def one(job: Coroutine[Any, Any, T]) -> T:
        async with slots:
            return await job

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(job)) for job in work]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    finally:
        for job in work:
            job.close()
    return [task.result() for task in tasks]


def _split(call: EmbeddingCall, size: int) -> list[EmbeddingCall]:
    if len(call.items) <= size:
        return [call]
    return [replace(call, items=call.items[at : at + size]) for at in range(0, len(call.items), size)]


def _joined(call: EmbeddingCall, parts: list[Outcome]) -> EmbeddingResult:
    results = [part.result for part in parts if isinstance(part.result, EmbeddingResult)]
    vectors = tuple(vector for result in results for vector in result.vectors)
    if len(vectors) != len(call.items):
        raise ProviderBadAnswer(f"{len(call.items)} items were sent and {len(vectors)} vectors came back")
    usage = sum((result.usage for result in results[1:]), start=results[0].usage)
    return EmbeddingResult(
        vectors=vectors, usage=replace(usage, vectors=len(vectors)), model=results[0].model
    )


def _chat(outcome: Outcome) -> ChatResult:
    assert isinstance(outcome.result, ChatResult)  # noqa: S101 - a chat capability answers with a ChatResult
    return outcome.result
