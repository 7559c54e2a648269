"""The `inputs` of a call: what was given, and the operation that follows from it."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from inferway.errors import BadRequest, InvalidShape
from inferway.pipeline.shape import json_error, nearest, shape_error
from inferway.types import (
    Media,
    MediaKind,
    MediaPart,
    Message,
    Operation,
    Part,
    Reasoning,
    Role,
    TextPart,
    ToolCall,
)

NonEmpty = Annotated[str, Meta(min_length=1)]
NonEmptyList = Annotated[tuple[NonEmpty, ...], Meta(min_length=1)]


class Inputs(Struct, frozen=True, kw_only=True):
    """What a call is about. `singular` says that one thing was asked for, so that one thing is answered.

    `media` is what stands beside prompts, or what is to be embedded or transcribed. `raw` holds a plugin's inputs as they came.
    `ignored` names keys that nothing reads.
    """

    operation: Operation
    prompts: tuple[str, ...] = ()
    messages: tuple[Message, ...] = ()
    system: str | None = None
    texts: tuple[str, ...] = ()
    media: tuple[Media, ...] = ()
    singular: bool = False
    raw: dict[str, msgspec.Raw] | None = None
    ignored: tuple[str, ...] = ()


class _TextPart(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="text"):
    """Text in a message."""

    text: str


class _ImagePart(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="image"):
    """An image in a message: a URL, or base64."""

    image_url: NonEmpty | None = None
    image_base64: NonEmpty | None = None


class _AudioPart(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="audio"):
    """A sound in a message: a URL, or base64."""

    audio_url: NonEmpty | None = None
    audio_base64: NonEmpty | None = None


class _VideoPart(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="video"):
    """A video in a message: a URL, or base64."""

    video_url: NonEmpty | None = None
    video_base64: NonEmpty | None = None


class _DocumentPart(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="document"):
    """A document in a message: a URL, or base64."""

    document_url: NonEmpty | None = None
    document_base64: NonEmpty | None = None


_AnyPart = _TextPart | _ImagePart | _AudioPart | _VideoPart | _DocumentPart


class _Call(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tool call, as a completion told it."""

    id: NonEmpty
    name: NonEmpty
    arguments: dict[str, Any]


class _Reasoning(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A piece of reasoning, as a completion told it."""

    text: str | None = None
    signature: str | None = None


class _Message(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A message as it is written, or a completion of ours with a role: then `text` is its content and the rest says nothing new."""

    role: Role
    content: str | tuple[_AnyPart, ...] | None = None
    tool_calls: tuple[_Call, ...] | None = None
    reasoning: tuple[_Reasoning, ...] | None = None
    tool_call_id: NonEmpty | None = None
    text: str | None = None
    finish_reason: str | None = None
    parsed: Any = None
    refusal: str | None = None
    structured: Any = None
    alternatives: Any = None


INPUT_TYPES: dict[str, Any] = {
    "prompts": NonEmptyList,
    "messages": Annotated[tuple[_Message, ...], Meta(min_length=1)],
    "system": str,
    "text": NonEmpty,
    "texts": NonEmptyList,
    "image_url": NonEmpty,
    "image_base64": NonEmpty,
    "image_urls": NonEmptyList,
    "images_base64": NonEmptyList,
    "document_url": NonEmpty,
    "document_base64": NonEmpty,
    "audio_url": NonEmpty,
    "audio_base64": NonEmpty,
    "video_url": NonEmpty,
    "video_base64": NonEmpty,
}
"""The keys of `inputs` and what each may hold; null is a key that was not given."""

_decoders: dict[str, msgspec.json.Decoder[Any]] = {
    name: msgspec.json.Decoder(kind) for name, kind in INPUT_TYPES.items()
}
_PLURAL = {"image_urls": "image_url", "images_base64": "image_base64"}
_MEDIA = {
    "image_url": MediaKind.IMAGE,
    "image_base64": MediaKind.IMAGE,
    "image_urls": MediaKind.IMAGE,
    "images_base64": MediaKind.IMAGE,
    "document_url": MediaKind.DOCUMENT,
    "document_base64": MediaKind.DOCUMENT,
    "audio_url": MediaKind.AUDIO,
    "audio_base64": MediaKind.AUDIO,
    "video_url": MediaKind.VIDEO,
    "video_base64": MediaKind.VIDEO,
}
USABLE = tuple(name for name in INPUT_TYPES if name != "system")
"""The keys of which at least one must be there."""

_MAX_KEYS = 256
_SUGGESTED = 16
_MAX_MEDIA = 10_000
_MAX_MESSAGES = 4_096
_MAX_PARTS = 4_096
_OF_COMPLETIONS = ("text", "finish_reason", "refusal")


def read_inputs(raw: dict[str, msgspec.Raw], *, plugin: bool) -> Inputs:
    """Read the inputs object; a plugin's is passed on as it came.

    Raises `InvalidShape` for wrong types, empty lists and strings, and when no usable key is present; `BadRequest` when keys contradict
    one another.
    """
    if plugin:
        return Inputs(operation=Operation.PLUGIN, raw=raw)
    _require_at_most(_MAX_KEYS, len(raw), "keys in inputs", "inputs")
    given: dict[str, Any] = {}
    ignored: list[str] = []
    for name, value in raw.items():
        if name not in _decoders:
            ignored.append(name)
        elif bytes(value) != b"null":
            given[name] = _read(name, value)
    if not any(name in given for name in USABLE):
        raise _nothing_usable(ignored)
    return _resolve(given, tuple(name[:64] for name in ignored))


def _read(name: str, value: msgspec.Raw) -> Any:
    try:
        return _decoders[name].decode(value)
    except msgspec.ValidationError as error:
        raise shape_error(error, ("body", "inputs", name)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise json_error(error, f"inputs.{name}") from None


def _nothing_usable(ignored: list[str]) -> InvalidShape:
    for name in ignored[:_SUGGESTED]:
        meant = nearest(name, INPUT_TYPES)
        if meant:
            message = f"unknown key {name[:64]!r} in inputs; did you mean {meant!r}?"
            return InvalidShape.at(["body", "inputs", name[:64]], "extra_forbidden", message)
    message = f"inputs has no usable key; give one of {', '.join(USABLE)}"
    return InvalidShape.at(["body", "inputs"], "missing", message)


def _resolve(given: dict[str, Any], ignored: tuple[str, ...]) -> Inputs:
    _refuse_both(given, "prompts", "messages")
    _refuse_both(given, "text", "texts")
    chat = "prompts" in given or "messages" in given
    embed = "text" in given or "texts" in given
    media = _media(given)
    if chat and embed:
        raise _conflict("prompts or messages ask for a completion, text or texts for an embedding")
    if chat:
        return _chat(given, media, ignored)
    if "system" in given:
        ignored = (*ignored, "system")
    if embed:
        if media:
            raise _conflict("text and media cannot be embedded in one call; send one call for each")
        texts = given.get("texts") or (given["text"],)
        return Inputs(
            operation=Operation.TEXT_EMBEDDING, texts=texts, singular="text" in given, ignored=ignored
        )
    return _media_alone(given, media, ignored)


def _chat(given: dict[str, Any], media: tuple[Media, ...], ignored: tuple[str, ...]) -> Inputs:
    prompts = given.get("prompts", ())
    messages = _messages(given.get("messages", ()))
    if messages and media:
        raise _conflict("with messages, media are parts of a message, not keys of inputs")
    inner = any(isinstance(part, MediaPart) for message in messages for part in message.content)
    return Inputs(
        operation=Operation.VISION if media or inner else Operation.CHAT,
        prompts=prompts,
        messages=messages,
        system=given.get("system"),
        media=media,
        singular=bool(messages),
        ignored=ignored,
    )


_ALONE = {
    MediaKind.IMAGE: Operation.IMAGE_EMBEDDING,
    MediaKind.VIDEO: Operation.VIDEO_EMBEDDING,
    MediaKind.AUDIO: Operation.TRANSCRIPTION,
}


def _media_alone(given: dict[str, Any], media: tuple[Media, ...], ignored: tuple[str, ...]) -> Inputs:
    kinds = {item.kind for item in media}
    if len(kinds) > 1:
        raise _conflict(f"{' and '.join(sorted(kinds))} in one call without prompts")
    kind = kinds.pop()
    if kind is MediaKind.DOCUMENT:
        raise BadRequest("a document needs prompts beside it", code="conflicting_inputs")
    plural = any(name in given for name in _PLURAL)
    if len(media) > 1 and not plural:
        raise _conflict(f"{kind} given both as a URL and as base64")
    return Inputs(operation=_ALONE[kind], media=media, singular=not plural, ignored=ignored)


def _media(given: dict[str, Any]) -> tuple[Media, ...]:
    found: list[Media] = []
    for name, kind in _MEDIA.items():
        value = given.get(name)
        if value is None:
            continue
        values = value if name in _PLURAL else (value,)
        _require_at_most(_MAX_MEDIA, len(values), name, "media")
        found.extend(_as_media(kind, name, item) for item in values)
    return tuple(found)


def _as_media(kind: MediaKind, name: str, value: str) -> Media:
    return Media(kind=kind, url=value) if "_url" in name else Media(kind=kind, base64=value)


def _messages(items: tuple[_Message, ...]) -> tuple[Message, ...]:
    _require_at_most(_MAX_MESSAGES, len(items), "messages", "messages")
    parts = sum(len(item.content) for item in items if isinstance(item.content, tuple))
    _require_at_most(_MAX_PARTS, parts, "parts of messages", "messages")
    return tuple(_message(item, index) for index, item in enumerate(items))


def _message(item: _Message, index: int) -> Message:
    place: list[str | int] = ["body", "inputs", "messages", index]
    content = item.text if item.content is None else item.content
    _check_message(item, content, place)
    parts: tuple[Part, ...] = ()
    if isinstance(content, str):
        parts = (TextPart(text=content),)
    elif content is not None:
        parts = tuple(_part(part, [*place, "content", at]) for at, part in enumerate(content))
    return Message(
        role=item.role,
        content=parts,
        tool_calls=tuple(
            ToolCall(id=c.id, name=c.name, arguments=c.arguments) for c in item.tool_calls or ()
        ),
        reasoning=tuple(Reasoning(text=r.text, signature=r.signature) for r in item.reasoning or ()),
        tool_call_id=item.tool_call_id,
    )


def _check_message(
    item: _Message, content: str | tuple[_AnyPart, ...] | None, place: list[str | int]
) -> None:
    if item.role == "tool" and item.tool_call_id is None:
        raise InvalidShape.at([*place, "tool_call_id"], "missing", "a tool message needs tool_call_id")
    if item.role != "tool" and item.tool_call_id is not None:
        raise InvalidShape.at([*place, "tool_call_id"], "value_error", "tool_call_id is for tool messages")
    for name in ("tool_calls", "reasoning", *_OF_COMPLETIONS):
        if getattr(item, name) and item.role != "assistant":
            raise InvalidShape.at([*place, name], "value_error", f"{name} is for assistant messages")
    if content is None and not item.tool_calls and not item.reasoning:
        raise InvalidShape.at([*place, "content"], "missing", "content is required")
    if content == () or (content == "" and item.role == "user"):
        raise InvalidShape.at([*place, "content"], "value_error", "content is empty")


def _part(part: _AnyPart, place: list[str | int]) -> Part:
    if isinstance(part, _TextPart):
        return TextPart(text=part.text)
    kind, url, content = _content_of(part)
    if (url is None) == (content is None):
        message = f"give exactly one of {kind}_url and {kind}_base64"
        raise InvalidShape.at(place, "value_error", message)
    return MediaPart(media=Media(kind=MediaKind(kind), url=url, base64=content))


_Kind = Literal["image", "audio", "video", "document"]


def _content_of(
    part: _ImagePart | _AudioPart | _VideoPart | _DocumentPart,
) -> tuple[_Kind, str | None, str | None]:
    match part:
        case _ImagePart():
            return "image", part.image_url, part.image_base64
        case _AudioPart():
            return "audio", part.audio_url, part.audio_base64
        case _VideoPart():
            return "video", part.video_url, part.video_base64
        case _DocumentPart():
            return "document", part.document_url, part.document_base64


def _refuse_both(given: dict[str, Any], one: str, other: str) -> None:
    if one in given and other in given:
        raise _conflict(f"give {one} or {other}, not both")


def _require_at_most(most: int, count: int, what: str, code: str) -> None:
    if count > most:
        raise BadRequest(f"at most {most} {what} in one call; there are {count}", code=f"too_many_{code}")


def _conflict(message: str) -> BadRequest:
    return BadRequest(message, code="conflicting_inputs")
