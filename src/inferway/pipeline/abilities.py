"""What a model takes, found out by asking its provider's translator: nothing is declared a second time."""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from inferway.errors import CallerError
from inferway.providers.base import Provider, Target
from inferway.types import (
    Call,
    ChatCall,
    EmbeddingCall,
    Media,
    MediaKind,
    MediaPart,
    Message,
    Operation,
    Parameters,
    TextPart,
    Tool,
    TranscriptionCall,
)


class Number(Struct, frozen=True):
    """A number to try: one that everybody takes, and the least and the most that is tried."""

    usual: float
    least: float
    most: float
    is_whole: bool = True


class Ability(Struct, frozen=True, kw_only=True):
    """What becomes of one parameter.

    `taken` False: it is dropped, or the call refused, for the `reason`. `minimum` and `maximum` are the numbers beyond which it is changed
    (None: no bound is known), `at_most` how many items of a list are taken, and `choices` the words that are (None: any).
    """

    name: str
    taken: bool
    reason: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    at_most: int | None = None
    choices: tuple[str, ...] | None = None


class Served(Struct, frozen=True, kw_only=True):
    """What a model makes of one operation; `reason` says why it does not serve it."""

    operation: Operation
    served: bool
    reason: str | None = None
    parameters: tuple[Ability, ...] = ()


_TOOL = Tool(name="probe", description="a probe", parameters={"type": "object", "properties": {}})
_SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_DETAILS = ("text", "segments", "words")
_STOPS = 64
_INT64 = 2**63 - 1

_CHAT: Mapping[str, Any] = {
    "temperature": Number(0.5, 0, 100, is_whole=False),
    "max_tokens": Number(77, 1, 10**9),
    "top_p": Number(0.5, 0, 1, is_whole=False),
    "stop": ("END",),
    "seed": Number(7, -_INT64, _INT64),
    "schema": _SCHEMA,
    "tools": (_TOOL,),
    "tool_choice": "required",
    "reasoning_effort": _EFFORTS,
}
_EMBEDDING: Mapping[str, Any] = {"dimensions": Number(256, 1, 100_000), "task_type": "retrieval_query"}
_TRANSCRIPTION: Mapping[str, Any] = {
    "temperature": Number(0.5, 0, 100, is_whole=False),
    "language": "en",
    "prompt": "Ada Lovelace",
    "response_format": _DETAILS,
}
TRIED: Mapping[Operation, Mapping[str, Any]] = {
    Operation.CHAT: _CHAT,
    Operation.VISION: _CHAT,
    Operation.TEXT_EMBEDDING: _EMBEDDING,
    Operation.IMAGE_EMBEDDING: _EMBEDDING,
    Operation.VIDEO_EMBEDDING: _EMBEDDING,
    Operation.TRANSCRIPTION: _TRANSCRIPTION,
}
"""What is tried of each parameter of each operation."""

_BESIDE: Mapping[str, Mapping[str, Any]] = {"tool_choice": {"tools": (_TOOL,)}}
"""What a parameter needs beside it to mean anything."""


def find_abilities(provider: Provider, model: str, operation: Operation) -> Served:
    """What a model makes of an operation and each of its parameters, one at a time. Calls nobody."""
    asker = _Asker(provider, model, operation)
    if provider.capability(operation) is None:
        return Served(operation=operation, served=False, reason=f"{provider.name} does not serve it")
    refusal = asker.refusal({})
    if refusal is not None:
        return Served(operation=operation, served=False, reason=refusal)
    tried = TRIED[operation]
    abilities = tuple(_judge(asker, name, value) for name, value in tried.items())
    return Served(operation=operation, served=True, parameters=abilities)


class _Asker:
    """Asks one translator what it makes of parameters."""

    def __init__(self, provider: Provider, model: str, operation: Operation) -> None:
        self._capability = provider.capability(operation)
        self._operation = operation
        self._target = Target(
            provider=provider.name, model=model, facts=provider.facts(model), options=provider.options
        )

    def refusal(self, parameters: Mapping[str, Any], name: str = "", *, is_cut: bool = False) -> str | None:
        """Why a call with these is refused, or the parameter of this name dropped (`is_cut`: or changed); None when it is taken."""
        assert self._capability is not None  # noqa: S101 - asked of what is served
        call = sample_call(self._operation, Parameters(**parameters))
        try:
            prepared = self._capability.prepare(call, self._target)
        except CallerError as error:
            return error.message
        field, actions = f"parameters.{name}", ("dropped", "clamped") if is_cut else ("dropped",)
        told = (
            each.reason for each in prepared.adaptations if each.field == field and each.action in actions
        )
        return next(told, None)

    def takes(self, name: str, value: Any) -> bool:
        """Whether a value is taken as it is."""
        return self.refusal({**_BESIDE.get(name, {}), name: value}, name, is_cut=True) is None


def _judge(asker: _Asker, name: str, tried: Any) -> Ability:
    if isinstance(tried, Number):
        return _judge_number(asker, name, tried)
    is_words = tried in (_EFFORTS, _DETAILS)
    usual = ("low" if tried is _EFFORTS else tried[0]) if is_words else tried
    reason = asker.refusal({**_BESIDE.get(name, {}), name: usual}, name)
    if reason is not None:
        return Ability(name=name, taken=False, reason=reason)
    if is_words:
        return Ability(
            name=name, taken=True, choices=tuple(word for word in tried if asker.takes(name, word))
        )
    if name == "stop":
        most = _edge(lambda count: asker.takes(name, ("x",) * count), 1, _STOPS)
        return Ability(name=name, taken=True, at_most=None if most == _STOPS else most)
    return Ability(name=name, taken=True)


def _judge_number(asker: _Asker, name: str, tried: Number) -> Ability:
    """Numbers are walked in whole steps: ones, or hundredths."""
    per = 1 if tried.is_whole else 100

    def number(steps: int) -> float:
        return steps if tried.is_whole else steps / per

    reason = asker.refusal({name: tried.usual}, name)
    if reason is not None:
        return Ability(name=name, taken=False, reason=reason)
    usual, least, most = (round(bound * per) for bound in (tried.usual, tried.least, tried.most))
    minimum = _edge(lambda steps: asker.takes(name, number(steps)), usual, least)
    maximum = _edge(lambda steps: asker.takes(name, number(steps)), usual, most)
    return Ability(
        name=name,
        taken=True,
        minimum=None if minimum == -_INT64 else number(minimum),
        maximum=None if maximum == most and name != "top_p" else number(maximum),
    )


def _edge(takes: Callable[[int], bool], usual: int, end: int) -> int:
    """The last whole number that is taken on the way from one that is to an end, which may be below it."""
    if takes(end):
        return end
    taken, refused = usual, end
    while abs(refused - taken) > 1:
        middle = (taken + refused) // 2
        if takes(middle):
            taken = middle
        else:
            refused = middle
    return taken


def sample_call(operation: Operation, parameters: Parameters) -> Call:
    """The smallest call of an operation, with these parameters."""
    image = Media(kind=MediaKind.IMAGE, data=b"pixels", mime="image/png")
    if operation is Operation.TRANSCRIPTION:
        audio = Media(kind=MediaKind.AUDIO, data=b"sound", mime="audio/wav")
        return TranscriptionCall(audio=audio, parameters=parameters)
    if operation in (Operation.CHAT, Operation.VISION):
        seen = (MediaPart(media=image),) if operation is Operation.VISION else ()
        parts = (TextPart(text="hi"), *seen)
        return ChatCall(messages=(Message(role="user", content=parts),), parameters=parameters)
    video = Media(kind=MediaKind.VIDEO, data=b"frames", mime="video/mp4")
    item = {Operation.IMAGE_EMBEDDING: image, Operation.VIDEO_EMBEDDING: video}.get(operation, "hi")
    return EmbeddingCall(items=(item,), parameters=parameters)
