"""Embedding calls that are the same and in flight at once share one call of the provider."""

import asyncio
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
from inferway.pipeline.plan import Route
from inferway.pipeline.units import Units
from inferway.providers.base import Context
from inferway.types import EmbeddingCall

_log = logging.getLogger("inferway.pipeline")

_LASTING = frozenset({"provider_refused", "provider_auth", "provider_quota", "provider_rate_limited"})
"""Failures that each would have had alone: the others may have come of the one call that was made."""


class _Flight:
    """One call of the provider, and who waits for it, the first first. `payer` is whose it was in the end."""

    def __init__(self, key: bytes, work: Coroutine[Any, Any, Outcome], journey: Journey) -> None:
        self.key = key
        self.journey = journey
        self.waiting: list[Journey] = []
        self.payer: Journey | None = None
        self.task = asyncio.create_task(work)
        self.task.add_done_callback(self._land)

    def _land(self, task: asyncio.Task[Outcome]) -> None:
        if self.payer is None and self.waiting:
            self.payer = self.waiting[0]
        if not task.cancelled():
            task.exception()  # Everybody may have left: then nobody else asks for it.


class Flights:
    """The embedding calls of this process that are under way.

    Calls are the same when namespace, targets, credentials, items and parameters are; how long the caller waits does not matter. The
    first of those who are still there when the answer comes has made the call, and pays; the others get the answer for nothing. Who
    leaves leaves the call to the others; it is cancelled when nobody waits any more.
    """

    def __init__(self, units: Units) -> None:
        self._units = units
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
            return await self._wait(self._start(key, call, routes, context), context, journey)
        started = time.perf_counter()
        try:
            outcome = await self._wait(flight, context, journey)
        except GatewayError as error:
            if context.deadline.remaining_s() <= 0 or _lasts(error):
                raise
        except Exception:  # noqa: BLE001 - what broke under the one who made the call is told to that one
            _log.info("a shared call broke: those who joined it make their own")
        else:
            context.timing.upstream_s += time.perf_counter() - started
            return outcome
        return await self._units.run(call, routes, context, journey)

    def _start(self, key: bytes, call: EmbeddingCall, routes: tuple[Route, ...], context: Context) -> _Flight:
        journey = Journey()
        flight = _Flight(key, self._units.run(call, routes, context, journey), journey)
        self._flying[key] = flight
        flight.task.add_done_callback(lambda _: self._forget(flight))
        return flight

    def _forget(self, flight: _Flight) -> None:
        if self._flying.get(flight.key) is flight:
            del self._flying[flight.key]

    async def _wait(self, flight: _Flight, context: Context, journey: Journey) -> Outcome:
        flight.waiting.append(journey)
        try:
            # Whoever made the call is told by it when the time is up.
            longest_s = None if len(flight.waiting) == 1 else context.deadline.remaining_s()
            await asyncio.wait((flight.task,), timeout=longest_s)
        finally:
            flight.waiting.remove(journey)
            if not flight.task.done() and not flight.waiting:
                await self._abandon(flight, journey)
            if flight.payer is journey:
                _take_over(flight.journey, journey)
        if not flight.task.done():
            raise ProviderTimeout("no complete answer came by the deadline")
        if flight.task.cancelled():
            raise Unavailable("the call was broken off", code="stopping")
        outcome = flight.task.result()
        if flight.payer is not journey:
            _join(flight.journey, journey)
        return outcome

    async def _abandon(self, flight: _Flight, last: Journey) -> None:
        """Nobody waits any more: the last one pays for what was begun."""
        self._forget(flight)
        flight.payer = last
        flight.task.cancel()
        await asyncio.wait((flight.task,))


def _lasts(error: GatewayError) -> bool:
    """Whether a call of one's own would fail alike."""
    return isinstance(error, CallerError) or error.code in _LASTING


def _take_over(made: Journey, journey: Journey) -> None:
    """All that happened on the way of the shared call happened to this request."""
    before = len(journey.attempts)
    journey.attempts += made.attempts
    journey.spent += [replace(each, attempt=each.attempt + before) for each in made.spent]
    journey.is_cost_known = journey.is_cost_known and made.is_cost_known
    journey.adaptations |= made.adaptations
    journey.warnings |= made.warnings


def _join(made: Journey, journey: Journey) -> None:
    """This request got what another one paid for."""
    journey.shared = made.spent[-1] if made.spent else None
    journey.adaptations |= made.adaptations
    journey.warnings |= made.warnings


def digest_of(namespace_id: str, call: EmbeddingCall, routes: tuple[Route, ...]) -> bytes:
    """What makes two calls the same."""
    found = blake2b(digest_size=32)
    parameters = replace(call.parameters, timeout_s=None)
    where = [_place(route) for route in routes]
    for part in (namespace_id, where, parameters, len(call.items)):
        _add(found, msgspec.msgpack.encode(part, order="deterministic"))
    for item in call.items:
        if isinstance(item, str):
            _add(found, b"text")
            _add(found, item.encode("utf-8", "surrogatepass"))
        else:
            _add(found, msgspec.msgpack.encode(item))
    return found.digest()


def _place(route: Route) -> tuple[str, str, str, str]:
    credential = route.credential
    kind, secret = ("", "") if credential is None else (credential.kind, credential.secret)
    return route.target.provider, route.target.model, kind, secret


def _add(found: "blake2b", part: bytes) -> None:
    found.update(len(part).to_bytes(8, "big"))
    found.update(part)
