"""The one life of a request: admit, plan, load, intend, call, settle, answer; for every operation, streamed or not."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from inferway.access.records import Caller
from inferway.errors import GatewayError, InternalError, Unavailable
from inferway.pipeline.account import Account, account_of, itemized, retries_of
from inferway.pipeline.alternatives import naming_who_can
from inferway.pipeline.answer import Answer, Completions, data_of, error_body, failed_item
from inferway.pipeline.attempts import Emit, Outcome, prepare
from inferway.pipeline.bound import Reserver
from inferway.pipeline.dry import NOT_FETCHED, rehearse, unfetched
from inferway.pipeline.flights import Flights
from inferway.pipeline.journey import Journey
from inferway.pipeline.judging import Judges
from inferway.pipeline.lending import require_models, with_own_credentials
from inferway.pipeline.plan import (
    COMPLETING,
    Plan,
    Route,
    Routes,
    make_calls,
    make_plan,
    media_of,
    urls_passed_on,
)
from inferway.pipeline.ports import (
    Admission,
    ContentKeeper,
    Ledger,
    Lender,
    MediaLoader,
    Observer,
    Pricer,
    Registry,
    Sink,
    Ticket,
)
from inferway.pipeline.request import InferenceRequest
from inferway.pipeline.sound import require_length
from inferway.pipeline.structured import Taken
from inferway.pipeline.units import Units, side_by_side
from inferway.providers.base import Context, Timing
from inferway.types import (
    Call,
    ChatEvent,
    ChatResult,
    Completion,
    Deadline,
    EmbeddingCall,
    Media,
    Operation,
    Standing,
)
from inferway.usage.records import Intent, RecordStatus, UsageRecord, new_record_id

Settled = Outcome | GatewayError

STOPPING = "stopping"
"""The message of a cancellation that ends a call because the server stops. One without any message means that the caller left."""
COALESCED = "coalesced"
"""The kind of an answer that another request in flight paid for."""


class Bounds(Struct, frozen=True, kw_only=True):
    """What one call may ask for. `timeout_s` is the deadline of a call that names none, and the longest it may name."""

    timeout_s: float = 120.0
    prompts_max: int = 256
    texts_max: int = 10_000
    prompt_concurrency: int = 8
    answer_tokens: int | None = None
    """What a call without `max_tokens` may answer where tokens or money are limited; None: the model's maximum."""


class Ride(Struct, frozen=True, kw_only=True):
    """One request on its way: who asks for what, since when, by when, and what has happened so far."""

    record_id: str
    caller: Caller
    ticket: Ticket
    request: InferenceRequest
    plan: Plan
    schema: Taken | None
    context: Context
    started_at: datetime
    journey: Journey
    sink: Sink | None


class Moments(Struct, frozen=True, kw_only=True):
    """Time and chance, which a simulation replaces: seconds of a monotonic clock, the moment in UTC, and ids that no call had before."""

    clock: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    new_id: Callable[[], str] = new_record_id


class Parts(Struct, frozen=True, kw_only=True):
    """The outside parts that a pipeline works with."""

    registry: Registry
    units: Units
    media: MediaLoader
    admission: Admission
    ledger: Ledger
    pricer: Pricer
    lender: Lender | None = None
    flights: Flights | None = None
    observer: Observer | None = None
    moments: Moments = Moments()
    content: ContentKeeper | None = None


class Pipeline:
    """Runs inference requests. All outside parts are handed in."""

    def __init__(self, parts: Parts, bounds: Bounds) -> None:
        self._routes = Routes(parts.registry)
        self._units = parts.units
        self._judges = Judges()
        self._flights = parts.flights
        self._media = parts.media
        self._admission = parts.admission
        self._ledger = parts.ledger
        self._pricer = parts.pricer
        self._lender = parts.lender
        self._observer = parts.observer
        self._moments = parts.moments
        self._content = parts.content
        self._bounds = bounds
        self._reserver = Reserver(parts.pricer, bounds.answer_tokens)

    def admit(self, caller: Caller) -> Coroutine[Any, Any, Ticket]:
        """What every call needs first; raises `TooManyRequests`. Whoever asked for it releases it, whatever happens."""
        return self._admission.admit(
            organization_id=caller.organization_id,
            namespace_id=caller.namespace_id,
            key_id=caller.key_id,
            per_minute=caller.per_minute,
            caps=caller.caps,
        )

    async def standing(self, caller: Caller) -> Standing | None:
        """How a caller that asks for nothing stands with its limit; None without one."""
        return await self._admission.standing(
            organization_id=caller.organization_id, key_id=caller.key_id, per_minute=caller.per_minute
        )

    async def infer(
        self,
        request: InferenceRequest,
        caller: Caller,
        *,
        ticket: Ticket,
        request_id: str,
        timing: Timing,
        sink: Sink | None = None,
    ) -> Answer:
        """Answer a request; the events of a streamed one go to `sink` on the way. The ticket is released when this ends.

        Raises `GatewayError`. When the task is cancelled (the caller left) the upstream is cancelled, and the call is settled with what
        is known.
        """
        account: Account | None = None
        ride: Ride | None = None
        try:
            plan = self._plan(request, caller)
            # Elsewhere a schema is a parameter that is dropped and told like any other.
            schema = request.parameters.schema if plan.operation in COMPLETING else None
            taken = None if schema is None else await self._judges.take(schema)
            ride = Ride(
                record_id=self._moments.new_id(),
                caller=caller,
                ticket=ticket,
                request=request,
                plan=plan,
                schema=taken,
                context=Context(request_id=request_id, deadline=self.deadline_of(request), timing=timing),
                started_at=self._moments.now(),
                journey=Journey(),
                sink=sink,
            )
            if request.dry_run:
                return self._rehearsed(ride, make_calls(request, await self._load(ride)))
            await self._ledger.intend(self._intent(ride))
            outcomes, error = await self._run(ride)
            account = account_of(ride.journey.spent, self._pricer)
            record = self._record(ride, account, error)
            await self._ledger.settle(record)
            if self._observer is not None:
                self._observer.ended(record, request.parameters)
            if error is not None:
                if caller.is_kept:
                    self._keep(record, request, error)
                try:
                    raise error
                finally:
                    error = None  # it holds this frame, and the frame the request: see `Attempts`
            answer = self._answer(ride, outcomes, account)
            if caller.is_kept:
                self._keep(record, request, answer)
            return answer
        finally:
            if account is not None and ride is not None and ticket.counts_use:
                known = account.microusd if ride.journey.is_cost_known else None
                await ticket.settle(tokens=account.tokens, microusd=known)
            await ticket.release()

    def _keep(self, record: UsageRecord, request: InferenceRequest, outcome: Answer | BaseException) -> None:
        if self._content is not None:
            self._content.keep(record, request, outcome)

    def deadline_of(self, request: InferenceRequest) -> Deadline:
        """By when a request must be answered whose time begins now."""
        longest_s = self._bounds.timeout_s
        return Deadline.after(min(request.parameters.timeout_s or longest_s, longest_s), self._moments.clock)

    def _plan(self, request: InferenceRequest, caller: Caller) -> Plan:
        bounds = self._bounds
        plan = make_plan(request, self._routes, prompts_max=bounds.prompts_max, texts_max=bounds.texts_max)
        if caller.models:
            require_models(plan, caller)
        return with_own_credentials(plan, caller, self._lender)

    async def _load(self, ride: Ride) -> dict[Media, Media]:
        """The media of the request that must be here, by what was given; URLs that are passed on are judged."""
        given = media_of(ride.request)
        if not given:
            return {}
        passed_on = urls_passed_on(given, ride.plan)
        for item in passed_on:
            self._media.check_url(item.url or "")
        away = [item for item in given if item.url is not None] if ride.request.dry_run else []
        for item in away:
            self._media.check_url(item.url or "")
        wanted = [item for item in given if item not in passed_on and item not in away]
        loaded = await self._media.load_all(wanted, deadline_s=ride.context.deadline.remaining_s())
        if ride.plan.operation is Operation.TRANSCRIPTION:
            require_length(loaded, ride.plan.routes)
        return {item: unfetched(item) for item in away} | dict(zip(wanted, loaded, strict=True))

    async def _run(self, ride: Ride) -> tuple[list[Settled], BaseException | None]:
        """Every unit's outcome, and what the whole call fails with: all units failing, or the caller leaving."""
        try:
            loaded = await self._load(ride) if media_of(ride.request) else {}
            calls = make_calls(ride.request, loaded)
            for route in ride.plan.routes[1:]:
                prepare(route, calls[0])  # a fallback that cannot take the call is told before it is needed
            if ride.ticket.counts_use:
                routes, journey = ride.plan.routes, ride.journey
                calls = await self._reserver.reserve(ride.ticket, calls, routes, journey, ride.record_id)
            if len(calls) == 1:
                outcomes = [await self._unit(ride, 0, calls[0], alone=True)]
            else:
                units = [self._unit(ride, index, call, alone=False) for index, call in enumerate(calls)]
                outcomes = await side_by_side(units, self._bounds.prompt_concurrency)
        except asyncio.CancelledError as left:
            return [], left
        except GatewayError as refusal:
            return [], refusal
        except Exception as defect:  # noqa: BLE001 - a defect of ours is settled first, then raised as it is
            return [], defect
        if not ride.journey.failed:
            return outcomes, None
        errors = [outcome for outcome in outcomes if isinstance(outcome, GatewayError)]
        return outcomes, errors[0] if len(errors) == len(outcomes) else None

    async def _unit(self, ride: Ride, index: int, call: Call, *, alone: bool) -> Settled:
        sink = ride.sink

        emit = None if sink is None else _emitter(sink, index, ride.context.timing)
        try:
            if self._flights is not None and isinstance(call, EmbeddingCall):
                outcome = await self._flights.run(
                    ride.caller.namespace_id, call, ride.plan.routes, ride.context, ride.journey
                )
            else:
                outcome = await self._units.run(
                    call, ride.plan.routes, ride.context, ride.journey, emit, ride.schema
                )
        except GatewayError as refusal:
            error = naming_who_can(refusal, call, ride.plan, self._routes)
            ride.journey.failed += 1
            if sink is not None and not alone:
                await sink.failed(index, error_body(error))
            return error
        if sink is not None and isinstance(outcome.result, ChatResult):
            await sink.item(index, outcome.route.target, outcome.result.completion.finish_reason)
        return outcome

    def _answer(self, ride: Ride, outcomes: list[Settled], account: Account) -> Answer:
        good = [outcome for outcome in outcomes if isinstance(outcome, Outcome)]
        first = good[0]
        target = first.route.target
        data: Any
        if isinstance(first.result, ChatResult):
            data = Completions(completions=tuple([_completion(outcome) for outcome in outcomes]))
        else:
            data = data_of(first.result, singular=ride.request.inputs.singular)
        warnings = ride.plan.warnings
        if ride.journey.warnings or len(ride.plan.routes) > 1:
            warnings = (*warnings, *ride.journey.warnings, *_detours(ride.plan, outcomes))
        version = first.result.model
        shared = ride.journey.shared is not None
        cache = {"kind": "semantic", "status": "off"} if ride.request.enable_semantic_cache else None
        return Answer(
            data=data,
            provider=target.provider,
            model=target.model,
            tokens_used=first.result.usage.tokens_used() if shared else account.tokens_used,
            latency_ms=ride.context.timing.told_ms(),
            cached=shared,
            request_id=ride.context.request_id,
            cost_usd=account.usd,
            adaptations=tuple(ride.journey.adaptations) if ride.journey.adaptations else (),
            warnings=warnings,
            cache={"kind": COALESCED, "status": "hit"} if shared else cache,
            model_version=version if version != target.model else None,
        )

    def _rehearsed(self, ride: Ride, calls: tuple[Call, ...]) -> Answer:
        data, adaptations = rehearse(ride.plan, calls, self._pricer)
        has_urls = any(item.url is not None for item in media_of(ride.request))
        told = ("dry run: nobody was called", *((NOT_FETCHED,) if has_urls else ()))
        target = ride.plan.routes[0].target
        return Answer(
            data=data,
            provider=target.provider,
            model=target.model,
            tokens_used=None,
            latency_ms=ride.context.timing.told_ms(),
            cached=False,
            request_id=ride.context.request_id,
            cost_usd=0.0,
            adaptations=adaptations,
            warnings=(*ride.plan.warnings, *told),
        )

    def _intent(self, ride: Ride) -> Intent:
        target = ride.plan.routes[0].target
        return Intent(
            record_id=ride.record_id,
            request_id=ride.context.request_id,
            organization_id=ride.caller.organization_id,
            namespace_id=ride.caller.namespace_id,
            key_id=ride.caller.key_id,
            operation=ride.plan.operation._value_,  # `value` is Python code
            provider=target.provider,
            model=target.model,
            started_at=ride.started_at,
        )

    def _record(self, ride: Ride, account: Account, error: BaseException | None) -> UsageRecord:
        timing = ride.context.timing
        first = ride.plan.routes[0].target
        answered = ride.journey.spent[-1] if ride.journey.spent else ride.journey.shared
        shared = ride.journey.shared is not None
        status, kind, code = _status(ride.journey.failed, error)
        return UsageRecord(
            record_id=ride.record_id,
            request_id=ride.context.request_id,
            organization_id=ride.caller.organization_id,
            namespace_id=ride.caller.namespace_id,
            key_id=ride.caller.key_id,
            operation=ride.plan.operation._value_,  # as above
            provider=answered.provider if answered else first.provider,
            model=answered.model if answered else first.model,
            status=status,
            started_at=ride.started_at,
            latency_ms=timing.elapsed_ms(),
            upstream_ms=timing.upstream_s * 1000,
            usage=account.usage,
            error_type=kind,
            error_code=code,
            attempts=itemized(ride.journey, account),
            cost_microusd=account.microusd if ride.journey.spent or ride.journey.is_cost_known else None,
            price_version=account.price_version,
            streamed=ride.sink is not None,
            first_event_ms=timing.first_event_ms,
            retries=retries_of(ride.journey),
            model_version=answered.model_version if answered else None,
            cached=shared,
            cache_kind=COALESCED if shared else None,
            adaptations=ride.journey.adapted() if ride.journey.adaptations else (),
        )


def _status(failed: int, error: BaseException | None) -> tuple[RecordStatus, str | None, str | None]:
    if error is None:
        return "partial" if failed else "ok", None, None
    if isinstance(error, GatewayError):
        return "error", error.type, error.code
    if isinstance(error, Exception):
        return "error", InternalError.type, None
    if error.args:
        return "error", Unavailable.type, STOPPING
    return "client_disconnected", None, None


def _emitter(sink: Sink, index: int, timing: Timing) -> Emit:
    async def emit(route: Route, event: ChatEvent) -> None:
        if timing.first_event_ms is None:
            timing.first_event_ms = timing.elapsed_ms()
        await sink.delta(index, route.target, event)

    return emit


def _completion(outcome: Settled) -> Completion:
    if isinstance(outcome, GatewayError):
        return failed_item(outcome)
    assert isinstance(outcome.result, ChatResult)  # noqa: S101 - all units of one call are of one kind
    return outcome.result.completion


def _detours(plan: Plan, outcomes: list[Settled]) -> list[str]:
    """Which items were not answered by the target that was asked first."""
    first = plan.routes[0].target
    said = []
    for index, outcome in enumerate(outcomes):
        if not isinstance(outcome, Outcome):
            continue
        target = outcome.route.target
        if (target.provider, target.model) != (first.provider, first.model):
            said.append(
                f"item {index} was answered by {target.provider} {target.model}: "
                f"{first.provider} {first.model} failed"
            )
    return said
