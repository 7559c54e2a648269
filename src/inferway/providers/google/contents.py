"""Messages as Gemini contents: roles `user` and `model`, parts of text, media and functions. Source: Gemini API reference, Content."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from inferway.errors import BadRequest
from inferway.providers.base import Target
from inferway.providers.google.signatures import is_made_id, make_turn
from inferway.types import Adaptation, Media, MediaKind, MediaPart, Message, Part, TextPart

_MIME_BY_ENDING = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".heic": "image/heic",
    ".heif": "image/heif",
    ".gif": "image/gif",
    ".pdf": "application/pdf",
    ".wav": "audio/wav",
    ".mp3": "audio/mpeg",
    ".aiff": "audio/aiff",
    ".aac": "audio/aac",
    ".ogg": "audio/ogg",
    ".flac": "audio/flac",
    ".m4a": "audio/mp4",
    ".mp4": "video/mp4",
    ".mov": "video/quicktime",
    ".webm": "video/webm",
}


class Conversation(Struct, frozen=True, kw_only=True):
    """The messages on Gemini's wire; `system` is None when there is none."""

    system: dict[str, Any] | None
    contents: list[dict[str, Any]]
    adaptations: tuple[Adaptation, ...]


def make_conversation(messages: Sequence[Message], target: Target, counted_from: int = 0) -> Conversation:
    """Translate a conversation, whose messages are told by their places from the one at `counted_from`.

    System messages become `systemInstruction`; results of tools that stand in a row become one content, because Gemini wants as many
    results as calls in one turn. Raises `BadRequest` for media where the wire has no place for it.
    """
    told: list[Adaptation] = []
    writer = _Writer(target, told)
    system: list[str] = []
    for index, message in enumerate(messages, -counted_from):
        if message.role == "system":
            system += _system_texts(message, index)
            if writer.contents:
                told.append(_moved_system(index))
        else:
            writer.add(message, index)
    if system and target.facts.get("system") is False:
        writer.put_in_front(system)
        told.append(_no_system())
        system = []
    instruction = {"parts": [{"text": text} for text in system]} if system else None
    return Conversation(system=instruction, contents=writer.contents, adaptations=tuple(told))


class _Writer:
    """Writes turns one after the other, remembering the names of the tools that were called."""

    def __init__(self, target: Target, told: list[Adaptation]) -> None:
        self.contents: list[dict[str, Any]] = []
        self._target = target
        self._told = told
        self._names: dict[str, str] = {}
        self._after_tool = False

    def add(self, message: Message, index: int) -> None:
        """One message of a user, an assistant or a tool."""
        if message.role == "tool":
            self._add_result(message, index)
            return
        self._after_tool = False
        if message.role == "assistant":
            self._add_answer(message, index)
            return
        parts = [make_part(part, self._target) for part in message.content]
        self.contents.append({"role": "user", "parts": parts})

    def put_in_front(self, texts: Sequence[str]) -> None:
        """Texts before everything else, in the first turn of the user."""
        parts = [{"text": text} for text in texts]
        if self.contents and self.contents[0]["role"] == "user":
            self.contents[0]["parts"] = parts + self.contents[0]["parts"]
        else:
            self.contents.insert(0, {"role": "user", "parts": parts})

    def _add_answer(self, message: Message, index: int) -> None:
        texts = [part.text for part in message.content if isinstance(part, TextPart)]
        turn = make_turn("".join(texts), message.tool_calls, message.reasoning)
        if turn.foreign:
            self._told.append(_foreign_reasoning(index))
        media = [make_part(part, self._target) for part in message.content if isinstance(part, MediaPart)]
        parts = media + turn.parts
        self._names |= {call.id: call.name for call in message.tool_calls}
        if parts:
            self.contents.append({"role": "model", "parts": parts})

    def _add_result(self, message: Message, index: int) -> None:
        name = self._names.get(message.tool_call_id or "")
        if name is None:
            raise BadRequest(
                f"messages[{index}]: google needs the tool's name, and no earlier assistant message has a tool call of this id",
                code="unknown_tool_call",
            )
        response: dict[str, Any] = {"name": name, "response": _result(message.text())}
        if message.tool_call_id and not is_made_id(message.tool_call_id):
            response["id"] = message.tool_call_id
        media = [make_part(part, self._target) for part in message.content if isinstance(part, MediaPart)]
        if media:
            response["parts"] = media
        if self._after_tool:
            self.contents[-1]["parts"].append({"functionResponse": response})
        else:
            self.contents.append({"role": "user", "parts": [{"functionResponse": response}]})
        self._after_tool = True


def make_part(part: Part, target: Target) -> dict[str, Any]:
    """One text or one piece of media as a part."""
    return {"text": part.text} if isinstance(part, TextPart) else make_media_part(part.media, target)


def make_media_part(media: Media, target: Target) -> dict[str, Any]:
    """Content as `inlineData`; a URL as `fileData` when the target takes URLs.

    Raises `BadRequest` when the media cannot be sent: its type is unknown, or the model takes no such media or no URLs.
    """
    if media.kind is MediaKind.IMAGE and target.facts.get("vision") is False:
        raise BadRequest(f"{target.model} does not take images", code="media_unsupported")
    if media.base64 is not None or media.data is not None:
        mime = media.mime or _DEFAULT_MIME[media.kind]
        return {"inlineData": {"mimeType": mime, "data": media.as_base64()}}
    if not media.url or not target.pass_media_urls or target.facts.get("media_urls") is False:
        raise BadRequest(
            f"{target.model} takes media as content, not as a URL; send it as base64",
            code="media_unsupported",
        )
    known = media.mime or _guess_mime(media.url)
    if known is None:
        raise BadRequest(
            "google fetches a URL only when its media type is known, and this one has no known file ending",
            code="media_type_unknown",
        )
    return {"fileData": {"fileUri": media.url, "mimeType": known}}


_DEFAULT_MIME = {
    MediaKind.IMAGE: "image/png",
    MediaKind.AUDIO: "audio/wav",
    MediaKind.VIDEO: "video/mp4",
    MediaKind.DOCUMENT: "application/pdf",
}
"""Media are sniffed before they come here; these stand in when a caller of the library did not."""


def _guess_mime(url: str) -> str | None:
    path = urlsplit(url).path.lower()
    return next((mime for ending, mime in _MIME_BY_ENDING.items() if path.endswith(ending)), None)


def _system_texts(message: Message, index: int) -> list[str]:
    if any(isinstance(part, MediaPart) for part in message.content):
        raise BadRequest(
            f"messages[{index}]: google takes text only as system instruction", code="media_unsupported"
        )
    return [part.text for part in message.content if isinstance(part, TextPart)]


def _result(text: str) -> dict[str, Any]:
    """A tool's result as the object that Gemini wants: its own JSON object, or the text under `output`."""
    try:
        value = msgspec.json.decode(text) if text.lstrip().startswith("{") else None
    except (msgspec.DecodeError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {"output": text}


def _moved_system(index: int) -> Adaptation:
    reason = "google has one system instruction in front of the conversation: the text was moved there"
    return Adaptation(field=f"messages[{index}]", action="translated", reason=reason)


def _no_system() -> Adaptation:
    reason = "this model has no system instruction: the text stands in front of the first user message"
    return Adaptation(field="system", action="translated", reason=reason)


def _foreign_reasoning(index: int) -> Adaptation:
    reason = "reasoning signed by another provider means nothing to google"
    return Adaptation(field=f"messages[{index}].reasoning", action="dropped", reason=reason)
