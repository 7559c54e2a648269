"""What an engine is: tasks in, outputs out, and the one interface behind which processes, servers and clusters run models."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec
from msgspec import Struct

from inferway.errors import BadRequest, EngineFailed, GatewayError


class EmbedTask(Struct, frozen=True, kw_only=True, tag="embed"):
    """Texts to embed, at least one."""

    texts: tuple[str, ...]

    @property
    def weight(self) -> int:
        """How much of a batch this takes."""
        return len(self.texts)


class ChatTurn(Struct, frozen=True, kw_only=True):
    """One message as a chat template wants it."""

    role: Literal["system", "user", "assistant"]
    content: str


class ChatTask(Struct, frozen=True, kw_only=True, tag="chat"):
    """One conversation. `schema` is a JSON Schema that the text must satisfy, held by a grammar."""

    turns: tuple[ChatTurn, ...]
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    schema: dict[str, Any] | None = None
    extra: dict[str, Any] | None = None

    @property
    def weight(self) -> int:
        """How much of a batch this takes."""
        return 1


class TranscribeTask(Struct, frozen=True, kw_only=True, tag="transcribe"):
    """One recording as the bytes of an audio file. `detail` asks for segments or words besides the text."""

    audio: bytes
    language: str | None = None
    prompt: str | None = None
    temperature: float | None = None
    detail: Literal["text", "segments", "words"] = "text"

    @property
    def weight(self) -> int:
        """How much of a batch this takes."""
        return 1


class EchoTask(Struct, frozen=True, kw_only=True, tag="echo"):
    """Work for the engine `echo`: say `text` back word by word, `delay_s` apart; `crash` kills the process after a word."""

    text: str
    delay_s: float = 0.0
    crash: bool = False
    refuse: bool = False

    @property
    def weight(self) -> int:
        """How much of a batch this takes."""
        return 1


Task = EmbedTask | ChatTask | TranscribeTask | EchoTask


class Embedded(Struct, frozen=True, kw_only=True, tag="embedded"):
    """One JSON array of floats for each text, as bytes; `truncated` holds the positions of texts that were cut."""

    vectors: tuple[bytes, ...]
    prompt_tokens: int
    truncated: tuple[int, ...] = ()


class Chatted(Struct, frozen=True, kw_only=True, tag="chatted"):
    """A whole answer with the engine's own token counts."""

    text: str
    finish_reason: Literal["stop", "length"]
    prompt_tokens: int
    completion_tokens: int


class HeardSegment(Struct, frozen=True, kw_only=True):
    """A stretch of speech, in seconds from the start."""

    start_s: float
    end_s: float
    text: str


class Transcribed(Struct, frozen=True, kw_only=True, tag="transcribed"):
    """What was heard. `words` and `segments` are filled when they were asked for; `completion_tokens` counts the text's tokens."""

    text: str
    language: str
    duration_s: float
    completion_tokens: int
    segments: tuple[HeardSegment, ...] = ()
    words: tuple[HeardSegment, ...] = ()


class Echoed(Struct, frozen=True, kw_only=True, tag="echoed"):
    """What `echo` said, by which process, and how many tasks ran in the same batch."""

    text: str
    pid: int
    batch: int


Output = Embedded | Chatted | Transcribed | Echoed


class Delta(Struct, frozen=True, kw_only=True, tag="delta"):
    """More text of an answer that is still being made."""

    text: str


class Fault(Struct, frozen=True, kw_only=True, tag="fault"):
    """A failure on its way between processes. `refused` means that the task itself is bad and no retry can help."""

    message: str
    refused: bool = False
    code: str | None = None
    details: dict[str, Any] | None = None

    def as_error(self) -> GatewayError:
        """The error that a caller gets."""
        if self.refused:
            return BadRequest(self.message, code=self.code, details=self.details)
        return EngineFailed(self.message, code=self.code, details=self.details, retryable=False)


class EngineDied(Exception):
    """The engine went away under its work; what it was doing may be tried once more on a new one."""


class EngineUnusable(Exception):
    """The engine cannot be loaded: `fault` says why, `permanent` that trying again later cannot help by itself."""

    def __init__(self, fault: Fault, *, permanent: bool = False) -> None:
        super().__init__(fault.message)
        self.fault = fault
        self.permanent = permanent


class Limits(Struct, frozen=True, kw_only=True):
    """What an engine said when it was loaded: weight one run may take, runs side by side, seconds it took."""

    batch: int = 1
    concurrency: int = 1
    load_s: float = 0.0


class Spec(Struct, frozen=True, kw_only=True):
    """Which engine to start on which files. `threads` 0 leaves the choice to the engine."""

    engine: str
    folder: Path
    threads: int = 0
    context_length: int = 0
    options: Mapping[str, Any] = msgspec.field(default_factory=dict)


class Ticket:
    """A task in the pool: the engine's side puts results in, the caller's side reads them out. Lives in one event loop.

    `started` is set once an engine is there for it, or it has ended without one.
    """

    __slots__ = ("_events", "attempts", "done", "gone", "on_gone", "started", "streamed", "task")

    def __init__(self, task: Task) -> None:
        self.task = task
        self.attempts = 0
        self.streamed = False
        self.done = False
        self.gone = False
        self.on_gone: Callable[[], None] | None = None
        self.started = asyncio.Event()
        self._events: asyncio.Queue[Delta | Output | GatewayError] = asyncio.Queue()

    def put(self, event: Delta | Output | GatewayError) -> None:
        """Hands the caller a delta, or the end: an output or an error. What comes after the end is ignored."""
        if self.done or self.gone:
            return
        self.streamed = True
        self.started.set()
        self.done = not isinstance(event, Delta)
        self._events.put_nowait(event)

    def leave(self) -> None:
        """The caller does not want the answer any more."""
        if self.gone or self.done:
            return
        self.gone = True
        if self.on_gone is not None:
            self.on_gone()

    async def events(self) -> AsyncGenerator[Delta | Output, None]:
        """Deltas and last the output; raises the error that ended the task."""
        while True:
            event = await self._events.get()
            if isinstance(event, GatewayError):
                raise event
            yield event
            if not isinstance(event, Delta):
                return


class Engine(Protocol):
    """A model that is loaded somewhere: in a child process, behind HTTP, on a cluster, in this process.

    `load` is called once and raises `EngineUnusable`. `run` ends every ticket of the batch that is not `gone`, and raises `EngineDied`
    when the engine went away, leaving unfinished tickets untouched. `died` is set once the engine is away, asked for or not.
    """

    died: asyncio.Event

    async def load(self) -> Limits: ...

    async def run(self, batch: Sequence[Ticket]) -> None: ...

    def memory_bytes(self) -> int: ...

    async def close(self) -> None: ...
