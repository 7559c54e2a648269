"""Simulated providers behind the real translators: a transport that breaks in every way, on a schedule of one seed."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal, NoReturn

from inferway.errors import ProviderBadAnswer, ProviderTimeout, ProviderTls, ProviderUnreachable
from inferway.providers.base import Headers, WireRequest, WireResponse
from inferway.types import Deadline
from tests.faults.upstream.wires import ANTHROPIC, OPENAI, Wire

Weather = Literal[
    "fine",
    "slow",
    "flapping",
    "failing",
    "limiting",
    "unreachable",
    "distrusted",
    "silent",
    "rubbish",
    "cutting",
]
WEATHERS: tuple[Weather, ...] = (
    "fine",
    "slow",
    "flapping",
    "failing",
    "limiting",
    "unreachable",
    "distrusted",
    "silent",
    "rubbish",
    "cutting",
)
HOSTS = {"a.example": OPENAI, "b.example": ANTHROPIC}


@dataclass(frozen=True)
class Arrival:
    """A request that reached a provider."""

    host: str
    prompt: str
    credential: str


class Stream:
    """A streaming answer."""

    def __init__(self, pieces: list[bytes], *, is_cut: bool) -> None:
        self.status = 200
        self.headers = {"content-type": "text/event-stream"}
        self._pieces, self._is_cut = pieces, is_cut

    async def chunks(self) -> AsyncIterator[bytes]:
        """Piece after piece."""
        for piece in self._pieces:
            await asyncio.sleep(0.1)
            yield piece
        if self._is_cut:
            raise ProviderBadAnswer("The provider's answer broke off.")

    async def read(self) -> bytes:
        """All of it."""
        return b"".join([piece async for piece in self.chunks()])


class SimulatedTransport:
    """Implements `Transport`: echoes prompts in fine weather. `arrivals` are the requests that got through."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.weather: dict[str, Weather] = dict.fromkeys(HOSTS, "fine")
        self.arrivals: list[Arrival] = []
        self.attempts: Counter[str] = Counter()
        self.running = 0

    async def send(
        self, url: str, request: WireRequest, headers: Headers, deadline: Deadline
    ) -> WireResponse:
        """One exchange."""
        self.running += 1
        try:
            wire, prompt = await self._arrive(url, request, headers, deadline)
            return self._answer(url, wire, prompt)
        finally:
            self.running -= 1

    @asynccontextmanager
    async def open(
        self, url: str, request: WireRequest, headers: Headers, deadline: Deadline
    ) -> AsyncIterator[Stream]:
        """One exchange, streamed."""
        self.running += 1
        try:
            wire, prompt = await self._arrive(url, request, headers, deadline)
            answer = self._answer(url, wire, prompt)
            if answer.status != 200:
                stream = Stream([answer.body], is_cut=False)
                stream.status, stream.headers = answer.status, dict(answer.headers)
            else:
                is_cut = self.weather[_host(url)] == "cutting"
                pieces = wire.stream(prompt)
                stream = Stream(
                    pieces[: self._chance.randint(1, len(pieces) - 1)] if is_cut else pieces, is_cut=is_cut
                )
            yield stream
        finally:
            self.running -= 1

    async def aclose(self) -> None:
        """Nothing is open."""

    async def _arrive(
        self, url: str, request: WireRequest, headers: Headers, deadline: Deadline
    ) -> tuple[Wire, str]:
        """The way there and the work there, as long as the weather makes it take."""
        host = _host(url)
        body = json.loads(request.body)
        prompt = body["messages"][-1]["content"]
        prompt = prompt if isinstance(prompt, str) else prompt[0]["text"]
        self.attempts[prompt] += 1
        weather = self.weather[host]
        await self._wait(self._chance.uniform(0.01, 0.3), deadline)
        if weather == "unreachable":
            raise ProviderUnreachable("The provider cannot be reached.")
        if weather == "distrusted":
            raise ProviderTls("The provider's certificate cannot be trusted.")
        self.arrivals.append(Arrival(host, prompt, str(headers)))
        if weather == "silent":
            await self._never(deadline)
        if weather == "slow":
            await self._wait(self._chance.uniform(1, 60), deadline)
        return HOSTS[host], prompt

    def _answer(self, url: str, wire: Wire, prompt: str) -> WireResponse:
        weather = self.weather[_host(url)]
        if weather == "flapping":
            weather = self._chance.choice(("fine", "failing"))
        if weather == "failing":
            return WireResponse(status=500, headers={}, body=wire.error(500))
        if weather == "limiting":
            hint = self._chance.choice(
                ({}, {"retry-after": "2"}, {"retry-after": "45"}, {"retry-after": "nan"})
            )
            return WireResponse(status=429, headers=hint, body=wire.error(429))
        if weather == "rubbish":
            return WireResponse(status=200, headers={}, body=b"<html>")
        if weather == "cutting" and self._chance.random() < 0.5:
            raise ProviderBadAnswer("The provider's answer broke off.")
        return WireResponse(status=200, headers={}, body=wire.ok(prompt))

    async def _wait(self, seconds: float, deadline: Deadline) -> None:
        """A transport keeps the deadline by itself."""
        left_s = deadline.remaining_s()
        if seconds < left_s:
            await asyncio.sleep(seconds)
        else:
            await self._never(deadline)

    async def _never(self, deadline: Deadline) -> NoReturn:
        await asyncio.sleep(deadline.remaining_s())
        raise ProviderTimeout("The provider did not answer completely by the deadline.")


def _host(url: str) -> str:
    return url.split("/")[2]
