"""What a provider is: a Protocol per capability, and the values that travel to and from its wire."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

import msgspec
from msgspec import Struct

from inferway.errors import UpstreamError
from inferway.types import (
    Adaptation,
    Call,
    ChatCall,
    ChatEvent,
    ChatResult,
    Deadline,
    EmbeddingCall,
    EmbeddingResult,
    Operation,
    Result,
    TranscriptionCall,
    TranscriptionResult,
    Usage,
)

Headers = tuple[tuple[str, str], ...]
CallT = TypeVar("CallT", bound=Call, contravariant=True)
ResultT = TypeVar("ResultT", bound=Result, covariant=True)

Facts = Mapping[str, Any]
"""Known facts of a model, by name; a fact that is absent is unknown, and an unknown model is assumed able."""


class WireRequest(Struct, frozen=True, kw_only=True):
    """One HTTP request to a provider, without address and credentials: `path` is joined to the endpoint's base URL."""

    path: str
    body: bytes
    headers: Headers = (("content-type", "application/json"),)
    query: str = ""
    method: str = "POST"


class WireResponse(Struct, frozen=True, kw_only=True):
    """A whole HTTP answer; header names are lower case, repeated headers joined by ', '."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Translated(Struct, frozen=True, kw_only=True):
    """What a translator makes of a call: the request to send, and what was changed on the way."""

    request: WireRequest
    adaptations: tuple[Adaptation, ...] = ()


class Credential(Struct, frozen=True, kw_only=True):
    """A provider credential. `secret` never appears in a repr or a log."""

    secret: str
    kind: str = "api_key"

    def __repr__(self) -> str:
        return f"Credential(kind={self.kind!r}, secret='***')"


class Endpoint(Struct, frozen=True, kw_only=True):
    """Where a provider lives and what every request to it carries besides the credential."""

    base_url: str
    headers: Headers = ()
    options: Mapping[str, Any] = msgspec.field(default_factory=dict)
    """Provider-specific settings by name, such as `api_version`, `project`, `location`, `quirks`."""


class Target(Struct, frozen=True, kw_only=True):
    """One model at one provider, as a translator sees it."""

    provider: str
    model: str
    facts: Facts = msgspec.field(default_factory=dict)
    options: Mapping[str, Any] = msgspec.field(default_factory=dict)
    pass_media_urls: bool = False


class Timing:
    """A request's clock: when it began (`time.perf_counter`), and the upstream seconds and attempts added up since.

    `first_event_ms` is when the first event of a streamed answer came, in milliseconds since the beginning.
    """

    __slots__ = ("attempts", "clock", "first_event_ms", "started", "upstream_s")

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock = clock
        self.started = clock()
        self.upstream_s = 0.0
        self.attempts = 0
        self.first_event_ms: float | None = None

    def elapsed_ms(self) -> float:
        """Milliseconds since the request began."""
        return (self.clock() - self.started) * 1000

    def told_ms(self) -> float:
        """The same in whole microseconds, as answers tell it."""
        # `round` writes the number down and reads it again.
        return int(self.elapsed_ms() * 1000 + 0.5) / 1000


class Context(Struct, frozen=True, kw_only=True):
    """What an execution may use besides its call: time, identity for logs, and the credential chosen for it.

    A stream that ends, in whatever way, adds to `told` what the provider has counted by then.
    """

    request_id: str
    deadline: Deadline
    credential: Credential | None = None
    timing: Timing = msgspec.field(default_factory=Timing)
    told: list[Usage] | None = None


class Prepared(Struct, frozen=True, kw_only=True):
    """A call made ready for its target. `payload` belongs to the capability that made it.

    For wire providers it is a `WireRequest`; a dry run shows it without credentials.
    """

    call: Call
    target: Target
    payload: Any
    adaptations: tuple[Adaptation, ...] = ()


class Capability(Protocol[CallT, ResultT]):
    """One operation of one provider.

    `prepare` is pure: it translates, tells each change, and raises `CallerError` for what the target cannot take.
    `execute` does it once and raises `UpstreamError`; retries and fallbacks belong to the pipeline.
    """

    max_batch: int
    """How many items one call may carry (embeddings), unless the target's fact of this name says fewer; 1 elsewhere."""

    keeps_deadline: bool
    """Whether `execute` ends by the context's deadline by itself; else the pipeline ends it."""

    def prepare(self, call: CallT, target: Target) -> Prepared: ...

    async def execute(self, prepared: Prepared, context: Context) -> ResultT: ...


class StreamingChat(Capability[ChatCall, ChatResult], Protocol):
    """A chat capability that can also stream.

    The iterator yields events as they come and, last, exactly one `ChatResult` that equals what `execute` would have returned;
    a stream that ends without the provider's own terminal event raises `ProviderBadAnswer`. Closing it cancels the upstream.
    """

    def stream(
        self, prepared: Prepared, context: Context
    ) -> AsyncGenerator[ChatEvent | ChatResult, None]: ...


def no_facts(model: str) -> Facts:
    """The facts of a provider about whose models nothing is known."""
    del model
    return {}


def no_names() -> tuple[str, ...]:
    """The models of a provider none of whose are known by name."""
    return ()


class Provider(Struct, frozen=True, kw_only=True):
    """One row of the registry: a name and what it can do. A capability that is None is answered with a 400 naming who can."""

    name: str
    kind: str
    chat: StreamingChat | None = None
    embedding: Capability[EmbeddingCall, EmbeddingResult] | None = None
    transcription: Capability[TranscriptionCall, TranscriptionResult] | None = None
    operations: frozenset[Operation] = frozenset()
    facts: Callable[[str], Facts] = no_facts
    """The known facts of a model by name; a `FactTable.facts`."""
    names: Callable[[], tuple[str, ...]] = no_names
    """The models that are known by name, for people who choose one; others may be called all the same."""
    credential: Credential | None = None
    """The operator's credential; a caller's own takes its place."""
    look: Callable[[Credential | None, Deadline], Awaitable[None]] | None = None
    """Asks for something that is free and raises `ProviderAuth` when the credential is refused; None where that cannot be asked."""
    address: str | None = None
    """Where it lives, and so where a credential for it may be sent; None: nowhere but here."""
    pass_media_urls: bool = False
    options: Mapping[str, Any] = msgspec.field(default_factory=dict)

    def capability(self, operation: Operation) -> Capability[Any, Any] | None:
        """The capability that serves an operation, or None."""
        if operation not in self.operations:
            return None
        if operation in (Operation.CHAT, Operation.VISION):
            return self.chat
        if operation is Operation.TRANSCRIPTION:
            return self.transcription
        return self.embedding


class Translator(Protocol[CallT, ResultT]):
    """The pure half of a wire capability.

    `to_wire` raises `CallerError`; `from_wire` reads a 2xx answer and raises `ProviderBadAnswer` or a msgspec decoding error (which
    becomes one) when it is not an answer. Neither does I/O.
    """

    max_batch: int

    def to_wire(self, call: CallT, target: Target) -> Translated: ...

    def from_wire(self, call: CallT, target: Target, response: WireResponse) -> ResultT: ...


class StreamDecoder(Protocol):
    """Reads one provider's server-sent events. `finish` is called at the end of the body.

    `on_event` gets the event's name ("" when the wire has none) and its data bytes, and returns what they mean. It raises `UpstreamError`
    on an error event. `finish` raises `ProviderBadAnswer` unless the provider's terminal event was seen.
    """

    @property
    def ended(self) -> bool:
        """Whether the wire's own end marker was seen, behind which nothing counts; False on a wire that has none."""
        ...

    @property
    def usage(self) -> Usage:
        """What the provider has counted so far; its `source` is `none` while it has told nothing."""
        ...

    def on_event(self, name: str, data: bytes) -> list[ChatEvent]: ...

    def finish(self) -> ChatResult: ...


class ChatTranslator(Translator[ChatCall, ChatResult], Protocol):
    """A chat translator; `to_wire` of a call with `stream=True` asks for a stream."""

    def decoder(self, call: ChatCall, target: Target) -> StreamDecoder: ...


class ErrorClassifier(Protocol):
    """Maps a non-2xx answer to our error by its status and the provider's own code, never by its message text."""

    def __call__(self, response: WireResponse) -> UpstreamError: ...


class Authenticator(Protocol):
    """Turns a credential into request headers; may ask for a token, until the deadline at most.

    Raises `ProviderAuth` when there is no usable credential, other `UpstreamError`s when a token cannot be had.
    """

    def find_headers(self, credential: Credential | None) -> Headers | None:
        """The headers when they are the same as the last time; None when they must be asked for."""
        ...

    async def headers(self, credential: Credential | None, deadline: Deadline | None = None) -> Headers: ...


class WireStream(Protocol):
    """A streaming HTTP answer: status and headers are known, the body is still coming."""

    status: int
    headers: dict[str, str]

    def chunks(self) -> AsyncIterator[bytes]: ...

    async def read(self) -> bytes: ...


class Transport(Protocol):
    """The only thing that opens a socket to a provider.

    Raises `ProviderUnreachable` (nothing was sent or nothing came back), `ProviderTimeout`, `ProviderTls`,
    `ProviderBadAnswer` (broken framing, body above the cap). Never follows redirects, never decodes content encodings it did not ask for,
    reads no proxy or netrc from the environment.
    """

    async def send(
        self, url: str, request: WireRequest, headers: Headers, deadline: Deadline
    ) -> WireResponse: ...

    def open(
        self, url: str, request: WireRequest, headers: Headers, deadline: Deadline
    ) -> AbstractAsyncContextManager[WireStream]: ...

    async def aclose(self) -> None: ...
