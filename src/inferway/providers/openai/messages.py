"""Conversations and tools in the words of chat completions. Source: OpenAI API reference, chat completions."""

from typing import Any

import msgspec

from inferway.errors import BadRequest
from inferway.providers.base import Facts
from inferway.providers.openai.quirks import Quirks
from inferway.types import (
    Adaptation,
    Media,
    MediaKind,
    MediaPart,
    Message,
    NamedTool,
    Part,
    TextPart,
    Tool,
    ToolChoice,
)

_AUDIO_FORMATS = {
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/vnd.wave": "wav",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
}


class Conversation:
    """Writes messages for one model; `adaptations` are what it changed."""

    def __init__(self, subject: str, quirks: Quirks, facts: Facts, *, pass_urls: bool) -> None:
        self._subject = subject
        self._quirks = quirks
        self._facts = facts
        self._pass_urls = pass_urls
        self.adaptations: list[Adaptation] = []

    def write(self, messages: tuple[Message, ...], counted_from: int = 0) -> list[dict[str, Any]]:
        """The `messages` of the body, told by their places from the one at `counted_from`.

        Raises `BadRequest` for media that cannot be sent.
        """
        return [self._write_message(message, place) for place, message in enumerate(messages, -counted_from)]

    def _write_message(self, message: Message, place: int) -> dict[str, Any]:
        if message.role == "assistant":
            return self._write_assistant(message, place)
        if message.role == "tool":
            self._text_only(message, place)
            return {
                "role": "tool",
                "tool_call_id": message.tool_call_id or "",
                "content": self._content(message.content),
            }
        if message.role == "system":
            self._text_only(message, place)
            return {"role": self._system_role(place), "content": self._content(message.content)}
        return {"role": "user", "content": self._content(message.content)}

    def _system_role(self, place: int) -> str:
        role = self._facts.get("system_role", "system")
        if role == "user":
            field = "system" if place < 0 else f"messages[{place}].role"
            self._tell(field, "this model takes no system messages; sent as a user message")
        return str(role)

    def _write_assistant(self, message: Message, place: int) -> dict[str, Any]:
        self._text_only(message, place)
        written: dict[str, Any] = {
            "role": "assistant",
            "content": self._content(message.content) if message.content else None,
        }
        if message.tool_calls:
            written["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {
                        "name": call.name,
                        "arguments": msgspec.json.encode(call.arguments).decode(),
                    },
                }
                for call in message.tool_calls
            ]
        elif not message.content:
            written["content"] = ""
        self._write_reasoning(message, place, written)
        return written

    def _write_reasoning(self, message: Message, place: int, written: dict[str, Any]) -> None:
        text = "".join(step.text or "" for step in message.reasoning)
        send = self._quirks.send_reasoning
        if text and (send == "always" or (send == "tool_calls" and message.tool_calls)):
            written[self._quirks.reasoning_field] = text
        elif message.reasoning:
            self._tell(
                f"messages[{place}].reasoning", "left out: this API does not take earlier reasoning back"
            )

    def _text_only(self, message: Message, place: int) -> None:
        if any(isinstance(part, MediaPart) for part in message.content):
            raise BadRequest(
                f"messages[{place}]: {self._subject} takes media in user messages only",
                code="input_not_supported",
            )

    def _content(self, parts: tuple[Part, ...]) -> str | list[dict[str, Any]]:
        if not parts:
            return ""
        if len(parts) == 1 and isinstance(parts[0], TextPart):
            return parts[0].text
        return [self._part(part) for part in parts]

    def _part(self, part: Part) -> dict[str, Any]:
        if isinstance(part, TextPart):
            return {"type": "text", "text": part.text}
        media = part.media
        if media.kind is MediaKind.IMAGE:
            return {"type": "image_url", "image_url": {"url": self._image_url(media)}}
        if media.kind is MediaKind.AUDIO:
            return {"type": "input_audio", "input_audio": self._audio(media)}
        if media.kind is MediaKind.DOCUMENT:
            return {"type": "file", "file": self._document(media)}
        raise self._refused("video in chat")

    def _image_url(self, media: Media) -> str:
        if self._facts.get("vision") is False:
            raise self._refused("images with this model")
        if self._pass_urls and media.url is not None and media.base64 is None and media.data is None:
            return media.url
        accepted = self._quirks.image_types
        if accepted is not None and media.mime is not None and media.mime not in accepted:
            raise self._refused(f"{media.mime} images; {', '.join(accepted)} are taken")
        return _data_url(media)

    def _audio(self, media: Media) -> dict[str, str]:
        wire_format = _AUDIO_FORMATS.get(media.mime or "")
        if wire_format is None:
            raise self._refused(f"{media.mime or 'unknown'} audio in chat; wav and mp3 are taken")
        return {"data": _base64(media), "format": wire_format}

    def _document(self, media: Media) -> dict[str, str]:
        if media.mime != "application/pdf":
            raise self._refused(f"{media.mime or 'unknown'} documents; application/pdf is taken")
        return {"filename": "document.pdf", "file_data": _data_url(media)}

    def _refused(self, what: str) -> BadRequest:
        return BadRequest(f"{self._subject} does not take {what}", code="input_not_supported")

    def _tell(self, field: str, reason: str) -> None:
        self.adaptations.append(Adaptation(field=field, action="translated", reason=reason))


def instruct(messages: list[dict[str, Any]], instruction: str) -> list[dict[str, Any]]:
    """The messages with an instruction in the first system message, which is made when there is none."""
    first = messages[0] if messages else {}
    if first.get("role") == "system" and isinstance(first.get("content"), str):
        return [{**first, "content": f"{first['content']}\n\n{instruction}"}, *messages[1:]]
    return [{"role": "system", "content": instruction}, *messages]


def write_tool(tool: Tool) -> dict[str, Any]:
    """A tool as a function; the caller's schema goes as it is, without strict mode, which few schemas of tools would pass."""
    function: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.parameters is not None:
        function["parameters"] = tool.parameters
    return {"type": "function", "function": function}


def write_tool_choice(choice: ToolChoice, words: dict[str, str]) -> str | dict[str, Any]:
    """`tool_choice`; `words` are a server's other words for `auto`, `none` and `required`."""
    if isinstance(choice, NamedTool):
        return {"type": "function", "function": {"name": choice.name}}
    return words.get(choice, choice)


def _data_url(media: Media) -> str:
    return f"data:{media.mime or 'application/octet-stream'};base64,{_base64(media)}"


def _base64(media: Media) -> str:
    try:
        return media.as_base64()
    except ValueError:
        raise BadRequest(
            f"{media.kind} given by URL cannot be passed on here; give its content",
            code="input_not_supported",
        ) from None
