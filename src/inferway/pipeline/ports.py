"""What the pipeline needs from the rest, as Protocols; the composition root hands in the concrete parts."""

from collections.abc import Sequence
from typing import Protocol

from inferway.access.records import LentSecret
from inferway.pipeline.answer import Answer
from inferway.pipeline.landing import Landed
from inferway.pipeline.request import InferenceRequest
from inferway.providers.base import Provider, Target
from inferway.types import ChatEvent, Media, Operation, Parameters, SpendCap, Standing, Usage
from inferway.usage.prices import Price
from inferway.usage.records import Intent, UsageRecord


class Registry(Protocol):
    """The configured providers."""

    def get(self, name: str) -> Provider:
        """A provider by name or alias; raises `BadRequest` (code unknown_provider) naming those that are configured."""
        ...

    def serving(self, operation: Operation) -> tuple[str, ...]:
        """Names of the providers that can serve an operation."""
        ...


class MediaLoader(Protocol):
    """Fetches or decodes media, side by side, in order; raises `CallerError` or `Overloaded`."""

    async def load_all(self, items: Sequence[Media], *, deadline_s: float) -> tuple[Media, ...]: ...

    def check_url(self, url: str) -> None:
        """Judge a URL that a provider will fetch itself."""
        ...


class Ticket(Protocol):
    """An admission. It must be released before the last byte of the answer leaves; a second time changes nothing."""

    counts_use: bool
    """Whether tokens or money must be reserved; otherwise nobody needs to estimate them."""
    counts_money: bool
    """Whether money must be reserved: a call whose price is not known cannot be made then."""
    is_released: bool
    """Whether `release` was called."""

    def standing(self) -> Standing | None:
        """How the key stands with its limit at this moment; None without one."""
        ...

    async def reserve(self, *, tokens: int, microusd: int, record_id: str) -> None:
        """Take what the call may use at most; raises `TooManyRequests`, `QuotaExceeded` and `StoreUnavailable`."""
        ...

    async def settle(self, *, tokens: int, microusd: int | None) -> None:
        """Replace what was reserved by what was used; `microusd` None: nobody knows, and what was reserved counts as spent."""
        ...

    async def release(self) -> None:
        """Give back the place among the running calls, and tokens that were reserved and not settled."""
        ...


class Admission(Protocol):
    """Every path into the pipeline goes through `admit`; it raises `TooManyRequests`."""

    async def admit(
        self,
        *,
        organization_id: str,
        namespace_id: str,
        key_id: str,
        per_minute: int | None = None,
        caps: tuple[SpendCap, ...] | None = None,
    ) -> Ticket:
        """A ticket for one call; `per_minute` is the key's own limit instead of the general one, 0 for none.

        `caps` are the spend caps that the call stands under; None for none.
        """
        ...

    async def standing(
        self, *, organization_id: str, key_id: str, per_minute: int | None = None
    ) -> Standing | None:
        """How a key stands with its limit, taking nothing; None without one."""
        ...


class Lender(Protocol):
    """Opens the caller's own provider credentials; raises `CredentialUnavailable`."""

    def reveal(self, lent: LentSecret) -> str: ...


class Ledger(Protocol):
    """Records what was begun and how it ended; a call is acknowledged only when `settle` returned.

    Both raise `JournalFull` when they cannot record.
    """

    async def intend(self, intent: Intent) -> None: ...

    async def settle(self, record: UsageRecord) -> None: ...


class Observer(Protocol):
    """Is told how each call ended, from the record that was settled: for metrics, traces and logs. It neither waits nor raises."""

    def ended(self, record: UsageRecord, parameters: Parameters) -> None: ...


class ContentKeeper(Protocol):
    """Keeps what calls in namespaces that ask for it asked and were answered, or failed with. It neither waits nor raises."""

    def keep(
        self, record: UsageRecord, request: InferenceRequest, outcome: Answer | BaseException
    ) -> None: ...


class Pricer(Protocol):
    """Prices usage; None when the model has no known price, never 0 for unknown."""

    def price(self, provider: str, model: str, usage: Usage) -> Price | None: ...

    def note_unpriced(self, provider: str, model: str) -> None:
        """Remembers, and says once for each model, that a call was made whose cost is not known."""
        ...


class Sink(Protocol):
    """Where a streamed call's events go as they come. Each method may wait for a slow reader."""

    async def delta(self, index: int, target: Target, event: ChatEvent) -> None: ...

    async def item(self, index: int, target: Target, finish_reason: str | None) -> None: ...

    async def failed(self, index: int, error: dict[str, object]) -> None: ...


class Visit(Protocol):
    """Waiting for a call that another worker makes."""

    async def landing(self) -> Landed | None:
        """How the call ended; None when that worker died or hangs."""
        ...

    async def leave(self) -> Landed | None:
        """Nobody waits here any more; what the last one who did has to bear after all."""
        ...

    def close(self) -> None: ...


class Fellows(Protocol):
    """The other workers of this machine. Keys are the digests of calls, 32 bytes."""

    def claim(self, key: bytes, instead_of: int | None = None) -> int | None:
        """Who makes this call already (but for `instead_of`, who is given up); None: this process does."""
        ...

    def leads(self, key: bytes) -> bool:
        """Whether this process makes the call for all."""
        ...

    def release(self, key: bytes) -> None:
        """This process's call has ended; one that it does not make is nothing to it."""
        ...

    async def visit(self, leader: int, key: bytes, longest_s: float) -> Visit | None:
        """Joins another worker's call; None when that one is not there."""
        ...
