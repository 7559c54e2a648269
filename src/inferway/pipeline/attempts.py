"""Trying: one prepared call on one route, again when it pays, within a deadline."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import aclosing
from math import inf
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from inferway.errors import (
    BadRequest,
    GatewayError,
    ProviderBadAnswer,
    ProviderLost,
    ProviderRefused,
    ProviderTimeout,
    Unavailable,
)
from inferway.pipeline.estimate import broken_off, plausible, with_estimate
from inferway.pipeline.hedging import Race, Start, hedged
from inferway.pipeline.journey import HEDGE_LOST, PERHAPS_BILLED, Journey, Spent
from inferway.pipeline.outages import enter, report
from inferway.pipeline.plan import Route, with_stricter_facts
from inferway.providers.base import Context, Prepared, Target
from inferway.resilience.lines import Line, Lines
from inferway.types import (
    TIMER_EARLY_S,
    Adaptation,
    Call,
    ChatCall,
    ChatEvent,
    ChatResult,
    Result,
    ToolCallDelta,
    Usage,
)
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
    hedge_after_ms: float = 0.0
    """When a second call goes out beside a slow one whose caller does not say; 0: never."""
    outage_wait_s: float = 10.0
    """How long a provider must have been waited for in vain before that counts as an outage: a caller may be hasty."""


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


async def wait_out(seconds: float) -> None:
    """Wait at least so long: a provider that says when to come again would count what a timer rings early."""
    await asyncio.sleep(seconds + TIMER_EARLY_S)


class Attempts:
    """Runs calls on routes. Sleep and randomness are handed in, and each call brings its clock, so that time can be simulated."""

    def __init__(
        self,
        policy: RetryPolicy,
        lines: Lines,
        *,
        sleep: Callable[[float], Awaitable[None]] = wait_out,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._policy = policy
        self._lines = lines
        self._sleep = sleep
        self._uniform = uniform

    def run(
        self,
        call: Call,
        routes: tuple[Route, ...],
        context: Context,
        journey: Journey,
        emit: Emit | None = None,
    ) -> Coroutine[Any, Any, Outcome]:
        """Try the routes in order until one answers; those that were not tried yet keep one attempt each.

        Raises the last error: `CallerError` and what is not retryable at once, anything else when all attempts are used up. After the
        first emitted event nothing is tried again.
        """
        way = _Way(context, journey, emit)
        if len(routes) == 1:
            return self._on_route(call, routes[0], self._policy.attempts, way)
        return self._in_order(call, routes, way)

    async def _in_order(self, call: Call, routes: tuple[Route, ...], way: "_Way") -> Outcome:
        for index, route in enumerate(routes):
            behind = len(routes) - index - 1
            allowed = self.allowed(way.tried, behind)
            try:
                return await self._on_route(call, route, allowed, way)
            except GatewayError as error:
                is_last = not behind or way.emitted or way.context.deadline.remaining_s() <= 0
                if is_last or not may_go_elsewhere(error):
                    raise
        raise AssertionError("a plan has at least one route")

    def allowed(self, tried: int, behind: int) -> int:
        """How many attempts a route has after `tried` on others, with `behind` routes still to come; at least one."""
        return max(1, self._policy.attempts - tried - behind)

    async def on_route(
        self, call: Call, route: Route, allowed: int, context: Context, journey: Journey
    ) -> Outcome:
        """Try one route up to `allowed` times; raises the last error."""
        return await self._on_route(call, route, allowed, _Way(context, journey, None))

    async def _on_route(self, call: Call, route: Route, allowed: int, way: "_Way") -> Outcome:
        line = self._line(route)
        budget = line.budget
        hedge_after_s = self._hedge_after_s(call, way)
        begun = way.tried
        is_retry = False
        budget.active += 1
        try:
            while True:
                try:
                    if hedge_after_s and way.tried - begun + 1 < allowed:
                        race = self._race(call, route, line, way)
                        result = await hedged(race, line, hedge_after_s, way.journey)
                    else:
                        result = await self._once(call, route, line, way)
                    return Outcome(route=route, result=result)
                except ProviderRefused as error:
                    stricter = _without_refused_parameter(call, route, error)
                    if stricter is None or way.emitted:
                        raise
                    route = stricter
                except GatewayError as error:
                    if is_retry:
                        budget.give_back()
                        is_retry = False
                    wait_s = self._find_wait_s(error, way.tried - begun, allowed, line, way)
                    if wait_s is None:
                        raise
                    is_retry = True
                    await self._sleep(wait_s)
        finally:
            budget.active -= 1
            if is_retry:
                budget.give_back()

    def _line(self, route: Route) -> Line:
        provider, credential = route.provider, route.credential
        return self._lines.get(
            provider.name,
            provider.address,
            None if credential is None else credential.secret,
            is_callers=credential is not provider.credential,
        )

    def _hedge_after_s(self, call: Call, way: "_Way") -> float:
        """After how many seconds a second call may go out; 0 for never."""
        after_ms = call.parameters.hedge_after_ms
        if after_ms is None:
            after_ms = self._policy.hedge_after_ms
        return after_ms / 1000 if after_ms and not way.streams(call) else 0.0

    def _race(self, call: Call, route: Route, line: Line, way: "_Way") -> Start:
        def start(race: Race) -> Coroutine[None, None, Result]:
            return self._once(call, route, line, way, race)

        return start

    async def _once(
        self, call: Call, route: Route, line: Line, way: "_Way", race: Race | None = None
    ) -> Result:
        prepared = prepare(route, call)
        circuit, is_probe = line.circuit, False
        if circuit is not None and circuit.cells[circuit.mark]:
            is_probe = enter(circuit, route, way.context.deadline)
        way.tried += 1
        timing = way.context.timing
        started = timing.clock()
        outcome = "cancelled"
        failure: GatewayError | None = None
        target = prepared.target
        try:
            result = with_estimate(call, await _execute(route, prepared, way))
            outcome = "ok"
        except GatewayError as error:
            failure = error
            outcome = error.code or error.type
            raise
        finally:
            spent_s = timing.clock() - started
            if circuit is not None and (is_probe or failure is not None or circuit.cells[circuit.mark]):
                waited_s = spent_s - max(0.0, way.heard_at - started)
                report(circuit, outcome, failure, waited_s, self._policy.outage_wait_s, is_probe=is_probe)
            if race is not None and race.is_decided and outcome == "cancelled":
                outcome = HEDGE_LOST
                race.lost_at = len(way.journey.attempts)
            elif outcome != "ok":
                _note_loss(call, target, outcome, failure, way)
            way.journey.attempts.append(
                AttemptRecord(
                    provider=target.provider,
                    model=target.model,
                    outcome=outcome,
                    duration_ms=spent_s * 1000,
                    started_ms=(started - timing.started) * 1000,
                )
            )
            # It holds this frame, and the frame the call: no ring may keep a large one in memory.
            failure = None
        journey = way.journey
        _note_spent(target, result, journey)
        if race is not None:
            race.won = journey.spent[-1]
        if prepared.adaptations:
            journey.adaptations.update(dict.fromkeys(prepared.adaptations))
        if result.warnings:
            journey.warnings.update(dict.fromkeys(result.warnings))
        return result

    def _find_wait_s(
        self, error: GatewayError, tried: int, allowed: int, line: Line, way: "_Way"
    ) -> float | None:
        """Seconds before the next attempt, with a place of the budget taken for it; None when there is none."""
        if way.emitted:
            error.retryable = False
        if not error.retryable or tried >= allowed:
            return None
        wait_s = self._wait_s(error, tried)
        if wait_s is None or wait_s >= way.context.deadline.remaining_s():
            return None
        if line.circuit is not None and line.circuit.shut_for_s():
            return None
        return wait_s if line.budget.take() else None

    def _wait_s(self, error: GatewayError, tried: int) -> float | None:
        """Seconds before the next attempt; None when the provider asks for more patience than we have."""
        ceiling = min(self._policy.longest_s, self._policy.first_s * 2 ** (tried - 1))
        backoff = self._uniform(0, ceiling)
        if error.retry_after_s is None:
            return backoff
        if error.retry_after_s > self._policy.longest_hint_s:
            return None
        return max(backoff, error.retry_after_s)


class _Way(Struct, eq=False):
    """One unit's way through its attempts: what it goes by, how many there were, what of its stream has left.

    `heard_at` is since when the provider is waited for after it said something, by the clock of the timing; infinite while its reader is.
    """

    context: Context
    journey: Journey
    emit: Emit | None
    emitted: bool = False
    said_bytes: int = 0
    tried: int = 0
    told: list[Usage] = []
    heard_at: float = 0.0

    def streams(self, call: Call) -> bool:
        """Whether the call's events go out as they come."""
        return self.emit is not None and isinstance(call, ChatCall) and call.stream

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


def _note_loss(call: Call, target: Target, outcome: str, failure: GatewayError | None, way: _Way) -> None:
    """An attempt that gave no answer may have cost something: what was read of it is known, else nothing is.

    It comes before the attempt itself is noted, as its place in the journey shows.
    """
    journey = way.journey
    if way.emitted:
        told = plausible(way.told[-1]) if way.told else Usage()
        usage = broken_off(call, way.said_bytes, told)
        if told.source == "none" and isinstance(call, ChatCall) and call.has_media():
            # Nobody can tell how many tokens they are: what was reserved for them stays spent.
            journey.is_cost_known = False
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
    elif outcome in PERHAPS_BILLED or isinstance(failure, ProviderLost):
        journey.is_cost_known = False


def _execute(route: Route, prepared: Prepared, way: _Way) -> Coroutine[Any, Any, Result]:
    context = way.context
    if route.credential is not None:
        context = replace(context, credential=route.credential)
    streamed = way.streams(prepared.call)
    if route.capability.keeps_deadline and not streamed:
        return route.capability.execute(prepared, context)
    return _execute_within(route, prepared, context, way, streamed=streamed)


async def _execute_within(
    route: Route, prepared: Prepared, context: Context, way: _Way, *, streamed: bool
) -> Result:
    """For what does not keep the deadline by itself."""
    try:
        async with context.deadline.limit():
            if streamed and way.emit is not None:
                way.told = []
                context = replace(context, told=way.told)
                return await _stream(route, prepared, context, way, way.emit)
            return await route.capability.execute(prepared, context)
    except TimeoutError:
        raise ProviderTimeout("no complete answer came by the deadline") from None


async def _stream(route: Route, prepared: Prepared, context: Context, way: _Way, emit: Emit) -> ChatResult:
    chat = route.provider.chat
    assert chat is not None  # noqa: S101 - the plan refused routes that lack the operation
    result: ChatResult | None = None
    async with aclosing(chat.stream(prepared, context)) as events:
        async for event in events:
            if isinstance(event, ChatResult):
                result = event
            else:
                way.note(event)
                way.heard_at = inf
                await emit(route, event)
                way.heard_at = context.timing.clock()
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
