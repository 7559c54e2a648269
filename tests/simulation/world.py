"""The pipeline, its limits, attempts, circuits and ledger in a simulated world, and what must be true of it at every moment."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import msgspec

from inferway.access.records import Caller, LentSecret, Permission
from inferway.errors import CredentialUnavailable, GatewayError, JournalFull
from inferway.limits.admission import LimitedAdmission
from inferway.limits.local import LocalCounter
from inferway.limits.table import Held, Table
from inferway.limits.terms import Terms, rules_of
from inferway.pipeline.answer import Answer
from inferway.pipeline.attempts import Attempts, RetryPolicy
from inferway.pipeline.life import Bounds, Moments, Parts, Pipeline
from inferway.pipeline.request import read_request
from inferway.pipeline.units import Units
from inferway.providers.anthropic.row import build as build_anthropic
from inferway.providers.base import Credential, Target, Timing
from inferway.providers.openai.row import build as build_openai
from inferway.providers.registry import Registry
from inferway.resilience.circuits import Circuits
from inferway.resilience.lines import Lines
from inferway.types import ChatEvent
from inferway.usage.records import Intent, UsageRecord
from tests.simulation.clock import SimulatedLoop
from tests.simulation.providers import SimulatedTransport
from tests.unit.pipeline.kit import NoMedia, TokenPrice

ATTEMPTS = 3
CONCURRENT = 6
_SLACK_S = 0.001
_OPERATORS = "sk-operator"


def caller_of(number: int) -> Caller:
    """Organization 0 uses the operator's credentials; 1 has its own for provider `a`."""
    lent = (LentSecret(provider="a", host="https://a.example", sealed=None),) if number else ()
    return Caller(
        organization_id=f"org_{number}",
        namespace_id=f"ns_{number}",
        namespace_name="default",
        key_id=f"key_{number}",
        user_id="user",
        permission=Permission.WRITE,
        lent=lent,
    )


@dataclass
class Call:
    """A call on its way, and how it ended."""

    number: int
    organization: int
    prompts: tuple[str, ...]
    ends_by: float
    task: "asyncio.Task[Answer]"
    has_left: bool = False
    ended_at: float | None = None


@dataclass
class Events:
    """The sink of a streamed call: the texts that went out."""

    said: list[str] = field(default_factory=list)

    async def delta(self, index: int, target: Target, event: ChatEvent) -> None:
        del index, target
        self.said.append(getattr(event, "text", ""))

    async def item(self, index: int, target: Target, finish_reason: str | None) -> None:
        del index, target, finish_reason

    async def failed(self, index: int, error: dict[str, object]) -> None:
        del index, error


class Books:
    """The ledger: intents and rows. It refuses intents while it is full; a settlement that it cannot write fails the call."""

    def __init__(self) -> None:
        self.is_full = False
        self.intents: list[Intent] = []
        self.rows: list[UsageRecord] = []

    async def intend(self, intent: Intent) -> None:
        await self._write()
        self.intents.append(intent)

    async def settle(self, record: UsageRecord) -> None:
        await self._write()
        self.rows.append(record)

    async def _write(self) -> None:
        if self.is_full:
            raise JournalFull("full", retry_after_s=5)


class OneKey:
    """Opens the credential of organization 1."""

    def __init__(self) -> None:
        self.is_away = False

    def reveal(self, lent: LentSecret) -> str:
        del lent
        if self.is_away:
            raise CredentialUnavailable("away")
        return "sk-callers-own"


class World:
    """Everything, and what is wrong with it."""

    def __init__(self, seed: int) -> None:
        chance = random.Random(seed)
        self.loop = SimulatedLoop()
        self.transport = SimulatedTransport(chance)
        self.books, self.keys = Books(), OneKey()
        self.table = Table.in_memory(self.loop.time_us)
        self.rules = rules_of(Terms(concurrent=CONCURRENT))
        self.lines = Lines(Circuits.in_memory(clock_us=self.loop.time_us))
        self.calls: list[Call] = []
        ids = iter(range(1 << 30))
        counter = LocalCounter(self.table)
        terms = Terms(concurrent=CONCURRENT)
        parts = Parts(
            registry=Registry(self._rows()),
            units=Units(Attempts(RetryPolicy(attempts=ATTEMPTS), self.lines, uniform=chance.uniform), 4),
            media=NoMedia(),
            admission=LimitedAdmission(counter, terms, wall_clock=self.loop.time),
            ledger=self.books,
            pricer=TokenPrice(),
            lender=self.keys,
            moments=Moments(clock=self.loop.time, now=self.loop.utc, new_id=lambda: f"record-{next(ids):09}"),
        )
        self.pipeline = Pipeline(parts, Bounds(prompt_concurrency=4))

    def _rows(self) -> Any:
        credential = Credential(secret=_OPERATORS)
        yield build_openai(
            transport=self.transport, name="a", base_url="https://a.example", credential=credential
        )
        yield build_anthropic(
            transport=self.transport, name="b", base_url="https://b.example", credential=credential
        )

    def start(self, organization: int, *, count: int, timeout_s: float, stream: bool, **more: Any) -> None:
        """A caller asks for something."""
        number = len(self.calls)
        prompts = tuple(f"org_{organization} call {number} prompt {index}" for index in range(count))
        parameters = {"timeout_s": timeout_s} | more.pop("parameters", {})
        body = {"provider": "a", "model": "m", "inputs": {"prompts": prompts}, "stream": stream}
        body |= more | {"parameters": parameters}
        task = self.loop.create_task(self._call(organization, number, body, stream=stream))
        call = Call(number, organization, prompts, self.loop.time() + timeout_s, task)
        task.add_done_callback(lambda _: setattr(call, "ended_at", self.loop.time()))
        self.calls.append(call)

    def leave(self, which: int) -> None:
        """A caller that still waits hangs up."""
        waiting = self.waiting()
        if waiting:
            call = waiting[which % len(waiting)]
            call.has_left = True
            call.task.cancel()

    def waiting(self) -> list[Call]:
        """Calls under way."""
        return [call for call in self.calls if not call.task.done()]

    async def _call(self, organization: int, number: int, body: dict[str, Any], *, stream: bool) -> Answer:
        """What the HTTP layer does around the pipeline."""
        caller = caller_of(organization)
        request = read_request(msgspec.json.encode(body))
        ticket = await self.pipeline.admit(caller)
        try:
            return await self.pipeline.infer(
                request,
                caller,
                ticket=ticket,
                request_id=f"call-{number}",
                timing=Timing(self.loop.time),
                sink=Events() if stream else None,
            )
        finally:
            await ticket.release()

    def check(self) -> None:
        """What must be true at every moment; raises AssertionError."""
        rows = Counter(row.request_id for row in self.books.rows)
        intents = Counter(intent.request_id for intent in self.books.intents)
        for call in self.calls:
            self._check_call(call, rows[f"call-{call.number}"], intents[f"call-{call.number}"])
        self._check_budgets()
        for arrival in self.transport.arrivals:
            own = arrival.prompt.startswith("org_1 ") and arrival.host == "a.example"
            assert ("sk-callers-own" in arrival.credential) == own, arrival
        for row in self.books.rows:
            number = int(row.request_id.removeprefix("call-"))
            organization = self.calls[number].organization
            assert (row.organization_id, row.namespace_id) == (f"org_{organization}", f"ns_{organization}")
        if not self.waiting():
            self._check_rest()

    def _check_call(self, call: Call, rows: int, intents: int) -> None:
        assert rows <= 1, f"call {call.number} has {rows} rows"
        assert intents <= 1
        for prompt in call.prompts:
            assert self.transport.attempts[prompt] <= ATTEMPTS, f"{prompt}: too many attempts"
        ended = self.loop.time() if call.ended_at is None else call.ended_at
        assert ended <= call.ends_by + _SLACK_S, f"call {call.number} outlives its deadline"
        if not call.task.done():
            return
        failure = None if call.task.cancelled() else call.task.exception()
        assert failure is None or isinstance(failure, GatewayError), repr(failure)
        assert not call.task.cancelled() or call.has_left
        if not call.task.cancelled() and failure is None:
            assert rows == 1, f"call {call.number} is acknowledged and not recorded"
            self._check_answer(call, call.task.result())
        elif intents and not isinstance(failure, JournalFull):
            assert rows == 1, f"call {call.number} is lost"

    def _check_answer(self, call: Call, answer: Answer) -> None:
        """Each prompt's own text came back to it and to nobody else."""
        for prompt, completion in zip(call.prompts, answer.data.completions, strict=True):
            if completion.error is None:
                assert completion.text.strip() == prompt

    def _check_budgets(self) -> None:
        active, retrying = self.lines.active(), self.lines.retrying()
        for provider, count in retrying.items():
            assert 0 <= count <= max(3, active[provider] + 3)
            assert active[provider] >= 0
        for provider, state in ((each.provider, each) for each in self.lines.states()):
            assert state.failures < 5 or state.trips, provider

    def _check_rest(self) -> None:
        """Nobody waits: nothing runs, every place is free, every intent is settled as far as it could be written."""
        assert self.transport.running == 0
        assert set(self.lines.active().values()) <= {0}
        assert set(self.lines.retrying().values()) <= {0}
        for number in range(2):
            held = [self.table.enter(f"key_{number}", f"org_{number}", self.rules) for _ in range(CONCURRENT)]
            assert all(isinstance(each, Held) for each in held), f"org_{number} has lost places"
            for each in held:
                assert isinstance(each, Held)
                self.table.leave(each.cell)

    def close(self) -> None:
        """Let every call end, look once more, and end."""
        self.loop.advance(200)
        self.check()
        assert not self.waiting(), "a call never ends"
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()
