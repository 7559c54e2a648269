"""A pipeline around scripted providers, with everything it does written down."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

import msgspec

from inferway.access.records import Caller, Permission
from inferway.errors import GatewayError
from inferway.limits.admission import OpenAdmission
from inferway.pipeline.answer import Answer
from inferway.pipeline.attempts import Attempts, RetryPolicy
from inferway.pipeline.flights import Flights
from inferway.pipeline.life import Bounds, Parts, Pipeline
from inferway.pipeline.ports import ContentKeeper, Fellows, Observer
from inferway.pipeline.request import read_request
from inferway.pipeline.units import Units
from inferway.providers.base import Context, Prepared, Provider, Target, Timing
from inferway.providers.registry import Registry
from inferway.resilience.circuits import Circuits
from inferway.resilience.lines import Lines
from inferway.types import (
    Adaptation,
    ChatCall,
    ChatEvent,
    ChatResult,
    Completion,
    EmbeddingCall,
    EmbeddingResult,
    Media,
    Operation,
    TextDelta,
    Usage,
)
from inferway.usage.prices import Price
from inferway.usage.records import Intent, UsageRecord

CALLER = Caller(
    organization_id="org_1",
    namespace_id="ns_1",
    namespace_name="default",
    key_id="key_1",
    user_id="user_1",
    permission=Permission.WRITE,
)


def said(text: str, **fields: Any) -> ChatResult:
    """A scripted completion of one input and one output token."""
    usage = Usage(input=1, output=1, source="provider")
    return ChatResult(completion=Completion(text=text, finish_reason="stop", **fields), usage=usage)


Step = ChatResult | EmbeddingResult | BaseException | Callable[[Any], Any]


class Scripted:
    """A capability that does what its script says, step by step; the last step is repeated."""

    def __init__(self, *script: Step, max_batch: int = 1, adaptations: tuple[Adaptation, ...] = ()) -> None:
        self.max_batch = max_batch
        self.keeps_deadline = False
        self.script = list(script)
        self.adaptations = adaptations
        self.calls: list[Any] = []
        self.facts: list[Any] = []
        self.running = 0
        self.most_running = 0

    def prepare(self, call: Any, target: Target) -> Prepared:
        self.facts.append(dict(target.facts))
        return Prepared(call=call, target=target, payload=None, adaptations=self.adaptations)

    async def execute(self, prepared: Prepared, context: Context) -> Any:
        context.timing.attempts += 1
        self.calls.append(prepared.call)
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await asyncio.sleep(0)
            if callable(step):
                step = step(prepared.call)
                if asyncio.iscoroutine(step):
                    step = await step
            if isinstance(step, BaseException):
                raise step
            return step
        finally:
            self.running -= 1

    async def stream(
        self, prepared: Prepared, context: Context
    ) -> AsyncGenerator[ChatEvent | ChatResult, None]:
        result = await self.execute(prepared, context)
        for word in result.completion.text.split(" "):
            yield TextDelta(text=word)
        yield result


def row(name: str, scripted: Scripted, **fields: Any) -> Provider:
    """A provider row that does chat and embeddings by one script."""
    return Provider(
        name=name,
        kind="scripted",
        chat=scripted,
        embedding=scripted,
        operations=frozenset({Operation.CHAT, Operation.VISION, Operation.TEXT_EMBEDDING}),
        **fields,
    )


def vectors_of(call: EmbeddingCall) -> EmbeddingResult:
    """One vector for each text: its number in the text."""
    return EmbeddingResult(
        vectors=tuple([float(str(item))] for item in call.items),
        usage=Usage(input=len(call.items), source="provider"),
    )


class MemoryLedger:
    """Keeps intents and records; refuses to settle with `failure` when one is set."""

    def __init__(self) -> None:
        self.intents: list[Intent] = []
        self.records: list[UsageRecord] = []
        self.failure: GatewayError | None = None

    async def intend(self, intent: Intent) -> None:
        self.intents.append(intent)

    async def settle(self, record: UsageRecord) -> None:
        if self.failure is not None:
            raise self.failure
        self.records.append(record)


class NoMedia:
    """Hands media back as they are."""

    async def load_all(self, items: Sequence[Media], *, deadline_s: float) -> tuple[Media, ...]:
        assert deadline_s > 0
        return tuple(items)

    def check_url(self, url: str) -> None:
        assert url


class TokenPrice:
    """A micro-dollar for every token of providers that are not called `unpriced`."""

    def __init__(self) -> None:
        self.unpriced: list[str] = []

    def price(self, provider: str, model: str, usage: Usage) -> Price | None:
        del model
        if provider == "unpriced":
            return None
        return Price(microusd=(usage.tokens_used() or {}).get("total", 0), version="test")

    def note_unpriced(self, provider: str, model: str) -> None:
        self.unpriced.append(f"{provider}/{model}")


class Kit:
    """A pipeline over the given rows. `slept` are the waits between attempts, which take no time; `now_s` is the circuits' clock."""

    def __init__(
        self,
        *rows: Provider,
        bounds: Bounds | None = None,
        policy: RetryPolicy | None = None,
        observer: Observer | None = None,
        content: ContentKeeper | None = None,
        fellows: Fellows | None = None,
    ) -> None:
        self.now_s = 1_000.0
        self.ledger = MemoryLedger()
        self.pricer = TokenPrice()
        self.slept: list[float] = []
        self.lines = Lines(Circuits.in_memory(clock_us=lambda: round(self.now_s * 1e6)))
        attempts = Attempts(policy or RetryPolicy(), self.lines, sleep=self._sleep, uniform=max)
        chosen = bounds or Bounds()
        units = Units(attempts, chosen.prompt_concurrency)
        self.flights = Flights(units, fellows)
        parts = Parts(
            registry=Registry(rows),
            units=units,
            flights=self.flights,
            media=NoMedia(),
            admission=OpenAdmission(),
            ledger=self.ledger,
            pricer=self.pricer,
            observer=observer,
            content=content,
        )
        self.pipeline = Pipeline(parts, chosen)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)

    async def infer(self, sink: Any = None, **body: Any) -> Answer:
        """Send a body, by default a prompt to provider `a`; a field `caller` is who sends it."""
        caller = body.pop("caller", CALLER)
        fields = {"provider": "a", "model": "m", "inputs": {"prompts": ["hi"]}} | body
        return await self.pipeline.infer(
            read_request(msgspec.json.encode(fields)),
            caller,
            ticket=await self.pipeline.admit(caller),
            request_id="req_1",
            timing=Timing(),
            sink=sink,
        )


def texts(answer: Answer) -> list[str]:
    """The completions' texts."""
    return [item.text for item in answer.data.completions]


def chat_of(call: Any) -> ChatCall:
    """The call, known to be a chat call."""
    assert isinstance(call, ChatCall)
    return call
