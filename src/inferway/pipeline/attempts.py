"""Trying: one prepared call on one route, again when it pays, within a deadline."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing

from msgspec import Struct
from msgspec.structs import replace

from inferway.errors import (
    BadRequest,
    GatewayError,
    ProviderBadAnswer,
    ProviderRefused,
    ProviderTimeout,
    Unavailable,
)
from inferway.pipeline.estimate import broken_off, plausible, with_estimate
from inferway.pipeline.plan import Route, with_stricter_facts
from inferway.providers.base import Context, Prepared, Target
from inferway.types import Adaptation, Call, ChatCall, ChatEvent, ChatResult, Result, ToolCallDelta, Usage
from inferway.usage.records import AttemptRecord

Emit = Callable[[Route, ChatEvent], Awaitable[None]]
"""Takes an event of a stream, and the route it came by."""


class RetryPolicy(Struct, frozen=True, kw_only=True):
    """How often and how patiently: full jitter between 0 and a ceiling that doubles from `first_s` to `longest_s`.

    A provider's Retry-After is obeyed up to `longest_hint_s` or the remaining deadline; a longer one ends the attempts at once.
    """

    attempts: int = 3
    first_s: float = 0.5
    longest_s: float = 8.0
    longest_hint_s: float = 30.0


class Spent(Struct, frozen=True, kw_only=True):
    """What one upstream answer used, and who gave it; `model_version` is the model that the provider says it ran.

    `attempt` is the place of its attempt in the journey.
    """

    provider: str
    model: str
    model_version: str | None
    usage: Usage
    attempt: int


class Journey:
    """What happened on the way of one request: every attempt, every adaptation and all that was spent, in order.

    `failed` counts units (prompts) that failed for good. `is_cost_known` is false once an attempt ended in a way that may have been
    billed without telling us what it used.
    """

    __slots__ = ("adaptations", "attempts", "failed", "is_cost_known", "spent", "warnings")

    def __init__(self) -> None:
        self.attempts: list[AttemptRecord] = []
        self.spent: list[Spent] = []
        self.failed = 0
        self.is_cost_known = True
        self.adaptations: dict[Adaptation, None] = {}
        self.warnings: dict[str, None] = {}


class Outcome(Struct, frozen=True, kw_only=True):
    """A result and the route that gave it."""

    route: Route
    result: Result


def prepare(route: Route, call: Call) -> Prepared:
    """Translate a call for a route; under `strict` a lossy change is the caller's 400."""
    prepared = route.capability.prepare(call, route.target)
    if call.parameters.strict:
        _refuse_losses(prepared.adaptations, route)
    return prepared


def may_go_elsewhere(error: GatewayError) -> bool:
    """Whether the next route is worth a try: after what may be tried again, and when this place cannot serve at the moment."""
    return error.retryable or isinstance(error, Unavailable)


def _refuse_losses(adaptations: tuple[Adaptation, ...], route: Route) -> None:
    lost = [adaptation for adaptation in adaptations if adaptation.lossy]
    if not lost:
        return
    said = "; ".join(f"{item.field}: {item.reason}" for item in lost)
    raise BadRequest(
        f"{route.target.provider} {route.target.model} cannot take the call as it is: {said}",
        code="strict",
        details={"adaptations": [{"field": i.field, "action": i.action, "reason": i.reason} for i in lost]},
    )


class Attempts:
    """Runs calls on routes. Clock, sleep and randomness are handed in, so that time can be simulated."""

    def __init__(
        self,
        policy: RetryPolicy,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._policy = policy
        self._sleep = sleep
        self._uniform = uniform

    async def run(
        self,
        call: Call,
        routes: tuple[Route, ...],
        context: Context,
        journey: Journey,
        emit: Emit | None = None,
    ) -> Outcome:
        """Try the routes in order until one answers.

        Raises the last error: `CallerError` and what is not retryable at once, anything else when all attempts are used up. After the
        first emitted event nothing is tried again.
        """
        used = 0
        watched = _Watched(emit)
        for index, route in enumerate(routes):
            behind = len(routes) - index - 1
            allowed = max(1, self._policy.attempts - used - behind)
            try:
                return await self._on_route(call, route, allowed, context, journey, watched)
            except GatewayError as error:
                used += allowed
                is_last = not behind or watched.emitted or context.deadline.remaining_s() <= 0
                if is_last or not may_go_elsewhere(error):
                    raise
        raise AssertionError("a plan has at least one route")

    async def _on_route(
        self,
        call: Call,
        route: Route,
        allowed: int,
        context: Context,
        journey: Journey,
        watched: "_Watched",
    ) -> Outcome:
        tried = 0
        while True:
            tried += 1
            try:
                result = await self._once(call, route, context, journey, watched)
                return Outcome(route=route, result=result)
            except ProviderRefused as error:
                stricter = _without_refused_parameter(call, route, error)
                if stricter is None or watched.emitted:
                    raise
                route = stricter
                tried -= 1
            except GatewayError as error:
                if watched.emitted:
                    error.retryable = False
                if not error.retryable:
                    raise
                wait_s = self._wait_s(error, tried)
                if tried >= allowed or wait_s is None or wait_s >= context.deadline.remaining_s():
                    raise
                await self._sleep(wait_s)

    async def _once(
        self, call: Call, route: Route, context: Context, journey: Journey, watched: "_Watched"
    ) -> Result:
        prepared = prepare(route, call)
        started = time.perf_counter()
        outcome = "cancelled"
        target = prepared.target
        try:
            result = with_estimate(call, await _execute(route, prepared, context, watched))
            outcome = "ok"
        except GatewayError as error:
            outcome = error.code or error.type
            raise
        finally:
            if outcome != "ok":
                _note_loss(call, target, outcome, journey, watched)
            spent_ms = (time.perf_counter() - started) * 1000
            journey.attempts.append(
                AttemptRecord(
                    provider=target.provider,
                    model=target.model,
                    outcome=outcome,
                    duration_ms=spent_ms,
                    started_ms=(started - context.timing.started) * 1000,
                )
            )
        _note_spent(target, result, journey)
        if prepared.adaptations:
            journey.adaptations.update(dict.fromkeys(prepared.adaptations))
        if result.warnings:
            journey.warnings.update(dict.fromkeys(result.warnings))
        return result

    def _wait_s(self, error: GatewayError, tried: int) -> float | None:
        """Seconds before the next attempt; None when the provider asks for more patience than we have."""
        ceiling = min(self._policy.longest_s, self._policy.first_s * 2 ** (tried - 1))
        backoff = self._uniform(0, ceiling)
        if error.retry_after_s is None:
            return backoff
        if error.retry_after_s > self._policy.longest_hint_s:
            return None
        return max(backoff, error.retry_after_s)


PERHAPS_BILLED = ("cancelled", ProviderTimeout.default_code, ProviderBadAnswer.default_code)
"""Outcomes of attempts that the provider may have charged for without telling what they used."""


class _Watched:
    """Emits events and remembers whether any has left, and how many bytes of text."""

    __slots__ = ("emit", "emitted", "said_bytes")

    def __init__(self, emit: Emit | None) -> None:
        self.emit = emit
        self.emitted = False
        self.said_bytes = 0

    def note(self, event: ChatEvent) -> None:
        said = event.arguments if isinstance(event, ToolCallDelta) else event.text
        self.said_bytes += len(said.encode("utf-8", "replace"))
        self.emitted = True


def _note_spent(target: Target, result: Result, journey: Journey) -> None:
    usage = plausible(result.usage)
    if usage.source == "estimated" and not result.warnings and usage.tokens_used() is not None:
        journey.warnings["some of the provider's counts cannot be right: tokens_used is estimated"] = None
    journey.spent.append(
        Spent(
            provider=target.provider,
            model=target.model,
            model_version=result.model,
            usage=usage,
            attempt=len(journey.attempts) - 1,
        )
    )


def _note_loss(call: Call, target: Target, outcome: str, journey: Journey, watched: _Watched) -> None:
    """An attempt that gave no answer may have cost something: what was read of it is known, else nothing is.

    It comes before the attempt itself is noted, as its place in the journey shows.
    """
    if watched.emitted:
        usage = broken_off(call, watched.said_bytes)
        journey.spent.append(
            Spent(
                provider=target.provider,
                model=target.model,
                model_version=None,
                usage=usage,
                attempt=len(journey.attempts),
            )
        )
        journey.warnings["an answer broke off: what it used is estimated"] = None
    elif outcome in PERHAPS_BILLED:
        journey.is_cost_known = False


async def _execute(route: Route, prepared: Prepared, context: Context, watched: _Watched) -> Result:
    call = prepared.call
    if route.credential is not None:
        context = replace(context, credential=route.credential)
    streamed = isinstance(call, ChatCall) and call.stream and watched.emit is not None
    if route.capability.keeps_deadline and not streamed:
        return await route.capability.execute(prepared, context)
    try:
        async with context.deadline.limit():
            if streamed and watched.emit is not None:
                return await _stream(route, prepared, context, watched, watched.emit)
            return await route.capability.execute(prepared, context)
    except TimeoutError:
        raise ProviderTimeout("no complete answer came by the deadline") from None


async def _stream(
    route: Route, prepared: Prepared, context: Context, watched: _Watched, emit: Emit
) -> ChatResult:
    chat = route.provider.chat
    assert chat is not None  # noqa: S101 - the plan refused routes that lack the operation
    result: ChatResult | None = None
    async with aclosing(chat.stream(prepared, context)) as events:
        async for event in events:
            if isinstance(event, ChatResult):
                result = event
            else:
                watched.note(event)
                await emit(route, event)
    if result is None:
        raise ProviderBadAnswer("the provider's stream ended before the answer was complete")
    return result


def _without_refused_parameter(call: Call, route: Route, error: ProviderRefused) -> Route | None:
    """The route without the sampling parameter that the provider just refused; None when that does not apply."""
    name = error.parameter
    if name is None or call.parameters.strict or getattr(call.parameters, name, None) is None:
        return None
    if route.target.facts.get(name) is False:
        return None
    return with_stricter_facts(route, name)
