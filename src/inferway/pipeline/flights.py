"""Embedding calls that are the same and in flight at once share one call of the provider."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec.structs import replace

from inferway.errors import CallerError, GatewayError, ProviderTimeout, Unavailable
from inferway.pipeline.attempts import Outcome
from inferway.pipeline.journey import Journey
from inferway.pipeline.landing import Landed, adopt, bear, landed
from inferway.pipeline.plan import Route
from inferway.pipeline.ports import Fellows, Visit
from inferway.pipeline.units import Units
from inferway.providers.base import Context
from inferway.types import EmbeddingCall, EmbeddingResult

_log = logging.getLogger("inferway.pipeline")

_LASTING = frozenset({"provider_refused", "provider_auth", "provider_quota", "provider_rate_limited"})
"""Failures that each would have had alone: the others may have come of the one call that was made."""


class _Flight:
    """One call of the provider, and who waits for it, the first first. `payer` is whose it was in the end.

    `guests` stand for other workers, whose callers wait for it too.
    """

    def __init__(
        self, key: bytes, work: Coroutine[Any, Any, Outcome], routes: tuple[Route, ...], journey: Journey
    ) -> None:
        self.key = key
        self.routes = routes
        self.journey = journey
        self.waiting: list[Journey] = []
        self.guests: list[Journey] = []
        self.payer: Journey | None = None
        self.task = asyncio.create_task(work)
        self.task.add_done_callback(self._land)

    def _land(self, task: asyncio.Task[Outcome]) -> None:
        if self.payer is None:
            self.payer = next(iter((*self.waiting, *self.guests)), None)
        if not task.cancelled():
            task.exception()  # Everybody may have left: then nobody else asks for it.


class Flights:
    """The embedding calls of this process that are under way. With `fellows` it shares them with the other workers of the machine.

    Calls are the same when namespace, targets, credentials, items and parameters are; how long the caller waits does not matter. The
    first of those who are still there when the answer comes has made the call, and pays; the others get the answer for nothing. Who
    leaves leaves the call to the others; it is cancelled when nobody waits any more.
    """

    def __init__(self, units: Units, fellows: Fellows | None = None) -> None:
        self._units = units
        self._fellows = fellows
        self._flying: dict[bytes, _Flight] = {}

    async def run(
        self,
        namespace_id: str,
        call: EmbeddingCall,
        routes: tuple[Route, ...],
        context: Context,
        journey: Journey,
    ) -> Outcome:
        """The call's outcome. Who joined a call that failed makes one of its own, unless that would fail alike."""
        key = digest_of(namespace_id, call, routes)
        flight = self._flying.get(key)
        if flight is None:
            # Whoever made the call is told by it when the time is up.
            return await self._wait(self._start(key, call, routes, context), None, journey)
        started = time.perf_counter()
        try:
            outcome = await self._wait(flight, context.deadline.remaining_s(), journey)
        except GatewayError as error:
            if context.deadline.remaining_s() <= 0 or _lasts(error):
                raise
        except Exception:  # noqa: BLE001 - what broke under the one who made the call is told to that one
            _log.info("a shared call broke: those who joined it make their own")
        else:
            context.timing.upstream_s += time.perf_counter() - started
            return outcome
        return await self._units.run(call, routes, context, journey)

    async def host(self, key: bytes, leaving: "asyncio.Future[bytes]") -> Landed:
        """How the call ended that another worker's callers wait for too, unless they leave first."""
        flight = self._flying.get(key)
        if flight is None or self._fellows is None or not self._fellows.leads(key):
            return Landed()
        guest = Journey()
        flight.guests.append(guest)
        try:
            await asyncio.wait((flight.task, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            flight.guests.remove(guest)
            await self._part(flight, guest)
        return _told(flight, guest)

    async def aclose(self) -> None:
        """Breaks off what only other workers still wait for: they make their own calls."""
        tasks = [flight.task for flight in self._flying.values() if not flight.waiting]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, key: bytes, call: EmbeddingCall, routes: tuple[Route, ...], context: Context) -> _Flight:
        journey, fellows = Journey(), self._fellows
        if fellows is None:
            work = self._units.run(call, routes, context, journey)
        else:
            work = self._make_or_join(fellows, key, call, routes, context, journey)
        flight = _Flight(key, work, routes, journey)
        self._flying[key] = flight
        flight.task.add_done_callback(lambda _: self._forget(flight))
        return flight

    def _forget(self, flight: _Flight) -> None:
        if self._flying.get(flight.key) is flight:
            del self._flying[flight.key]
            if self._fellows is not None:
                self._fellows.release(flight.key)

    async def _make_or_join(
        self,
        fellows: Fellows,
        key: bytes,
        call: EmbeddingCall,
        routes: tuple[Route, ...],
        context: Context,
        journey: Journey,
    ) -> Outcome:
        """The call, unless another worker of the machine is making it: then what that one gets, if it gets anything."""
        leader = fellows.claim(key)
        if leader is not None:
            told = await _follow(fellows, leader, key, context, journey)
            if told is not None and told.has_result_for(call, len(routes)):
                adopt(told, journey)
                return Outcome(route=routes[told.route], result=told.result())
            fellows.claim(key, instead_of=leader)
        return await self._units.run(call, routes, context, journey)

    async def _wait(self, flight: _Flight, longest_s: float | None, journey: Journey) -> Outcome:
        flight.waiting.append(journey)
        try:
            ended, _ = await asyncio.wait((flight.task,), timeout=longest_s)
        finally:
            flight.waiting.remove(journey)
            await self._part(flight, journey)
        # Not whether it has ended by now: the last one to leave has just broken it off.
        if not ended:
            raise ProviderTimeout("no complete answer came by the deadline")
        if flight.task.cancelled():
            raise Unavailable("the call was broken off", code="stopping")
        outcome = flight.task.result()
        if flight.payer is not journey:
            _join(flight.journey, journey)
        return outcome

    async def _part(self, flight: _Flight, journey: Journey) -> None:
        """Somebody does not wait any more, whatever the reason."""
        if flight.payer is None and not flight.waiting and not flight.guests:
            # The call may have ended in this very moment, before anybody was told.
            flight.payer = journey
            await self._abandon(flight)
        if flight.payer is journey:
            _take_over(flight.journey, journey)

    async def _abandon(self, flight: _Flight) -> None:
        """Nobody waits any more: the last one pays for what was begun."""
        self._forget(flight)
        flight.task.cancel()
        await asyncio.wait((flight.task,))


async def _follow(
    fellows: Fellows, leader: int, key: bytes, context: Context, journey: Journey
) -> Landed | None:
    """What another worker tells of its call; None when it tells nothing. Raises `ProviderTimeout` at the deadline."""
    started = time.perf_counter()
    longest_s = context.deadline.remaining_s()
    visit = await fellows.visit(leader, key, longest_s)
    if visit is None:
        return None
    told = None
    try:
        async with context.deadline.limit():
            told = await visit.landing()
    except TimeoutError:
        told = await _leave(visit)
        raise ProviderTimeout("no complete answer came by the deadline") from None
    except asyncio.CancelledError:
        told = await _leave(visit)
        raise
    finally:
        visit.close()
        if told is not None:
            bear(told, journey)
        context.timing.upstream_s += time.perf_counter() - started
    return told


async def _leave(visit: Visit) -> Landed | None:
    """Says goodbye to the end: who is told to go while it goes would not hear what it has to bear."""
    leaving = asyncio.ensure_future(visit.leave())
    while not leaving.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait((leaving,))
    return leaving.result()


def _told(flight: _Flight, guest: Journey) -> Landed:
    """What a guest hears of a call that has ended, or that it has left."""
    pays = flight.payer is guest
    made = guest if pays else flight.journey
    if not flight.task.done() or flight.task.cancelled() or flight.task.exception() is not None:
        return landed(made, pays=pays)
    outcome = flight.task.result()
    assert isinstance(outcome.result, EmbeddingResult)  # noqa: S101 - only embedding calls fly
    places = [_place(route) for route in flight.routes]
    return landed(made, pays=pays, result=outcome.result, route=places.index(_place(outcome.route)))


def _lasts(error: GatewayError) -> bool:
    """Whether a call of one's own would fail alike."""
    return isinstance(error, CallerError) or error.code in _LASTING


def _take_over(made: Journey, journey: Journey) -> None:
    """All that happened on the way of the shared call happened to this request."""
    journey.shared = made.shared
    before = len(journey.attempts)
    journey.attempts += made.attempts
    journey.spent += [replace(each, attempt=each.attempt + before) for each in made.spent]
    journey.is_cost_known = journey.is_cost_known and made.is_cost_known
    journey.adaptations |= made.adaptations
    journey.warnings |= made.warnings


def _join(made: Journey, journey: Journey) -> None:
    """This request got what another one paid for."""
    journey.shared = made.spent[-1] if made.spent else made.shared
    journey.adaptations |= made.adaptations
    journey.warnings |= made.warnings


def digest_of(namespace_id: str, call: EmbeddingCall, routes: tuple[Route, ...]) -> bytes:
    """What makes two calls the same."""
    found = blake2b(digest_size=32)
    parameters = replace(call.parameters, timeout_s=None)
    where = [_place(route) for route in routes]
    for part in (namespace_id, where, parameters, len(call.items)):
        # As JSON: whole numbers in `parameters.extra` may be larger than MessagePack's.
        _add(found, msgspec.json.encode(part, order="deterministic"))
    for item in call.items:
        if isinstance(item, str):
            _add(found, b"text")
            _add(found, item.encode("utf-8", "surrogatepass"))
        else:
            _add(found, msgspec.msgpack.encode(item))
    return found.digest()


def _place(route: Route) -> tuple[str, str, str | None, bool, str, str]:
    # The operator's own credential and the address count too: of two workers one may have been started with other settings.
    is_own, credential = route.credential is not None, route.credential or route.provider.credential
    kind, secret = ("", "") if credential is None else (credential.kind, credential.secret)
    return route.target.provider, route.target.model, route.provider.address, is_own, kind, secret


def _add(found: "blake2b", part: bytes) -> None:
    found.update(len(part).to_bytes(8, "big"))
    found.update(part)
