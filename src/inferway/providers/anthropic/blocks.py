"""Messages as the messages API wants them: turns of content blocks, with the system text apart."""

import re
import zlib
from collections import deque
from typing import Any

from msgspec import Struct

from inferway.errors import BadRequest
from inferway.providers.base import Target
from inferway.types import (
    Adaptation,
    Media,
    MediaKind,
    MediaPart,
    Message,
    Part,
    Reasoning,
    ToolCall,
)

MAX_IMAGE_BASE64 = 5 * 1024 * 1024
"""The most base64 characters of one image that the API takes."""

IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
REDACTED = "redacted_thinking:"
"""Before a `signature` that holds the data of a redacted thinking block, which has no text of its own."""

_TOOL_ID = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_NOT_IN_TOOL_ID = re.compile(r"[^A-Za-z0-9_-]", re.ASCII)

Block = dict[str, Any]
Turn = dict[str, Any]


class Conversation(Struct, frozen=True, kw_only=True):
    """The `system` text (None when there is none), the turns, and what was changed to get them."""

    system: str | None
    turns: list[Turn]
    adaptations: tuple[Adaptation, ...]


def to_conversation(messages: tuple[Message, ...], target: Target) -> Conversation:
    """The system text and turns of a conversation. Raises `BadRequest` for media or shapes that the API does not take.

    Tool results become blocks of a user turn; neighbours of one role become one turn. Source: Anthropic API reference, messages.
    """
    writer = _Writer(target)
    for index, message in enumerate(messages):
        writer.add(message, messages[index + 1 :])
    if not writer.turns:
        raise BadRequest("anthropic needs at least one user message with content", code="no_user_message")
    return Conversation(
        system="\n\n".join(writer.system) or None,
        turns=writer.turns,
        adaptations=tuple(dict.fromkeys(writer.told)),
    )


class _Writer:
    """Collects the turns of one conversation."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self.system: list[str] = []
        self.turns: list[Turn] = []
        self.told: list[Adaptation] = []
        self._waiting: dict[str, deque[str]] = {}
        self._taken: dict[str, int] = {}

    def add(self, message: Message, rest: tuple[Message, ...]) -> None:
        if message.role == "system":
            self._add_system(message, rest)
        elif message.role == "tool":
            self._append("user", [self._tool_result(message)])
        elif message.role == "assistant":
            self._add_assistant(message)
        else:
            blocks = self._content(message.content)
            if not blocks:
                raise BadRequest("anthropic takes no user message without content", code="empty_message")
            self._append("user", blocks)

    def _append(self, role: str, blocks: list[Block]) -> None:
        if self.turns and self.turns[-1]["role"] == role:
            self.turns[-1]["content"].extend(blocks)
        else:
            self.turns.append({"role": role, "content": blocks})

    def _add_system(self, message: Message, rest: tuple[Message, ...]) -> None:
        if any(isinstance(part, MediaPart) for part in message.content):
            raise BadRequest("anthropic takes only text in system messages", code="media_unsupported")
        text = message.text()
        if not text.strip():
            return
        if not self.turns:
            self.system.append(text)
        elif self._takes_system_here(rest):
            self.turns.append({"role": "system", "content": text})
        else:
            self.system.append(text)
            self._tell("a system message inside the conversation was moved to its beginning")

    def _takes_system_here(self, rest: tuple[Message, ...]) -> bool:
        """Where the model takes such a message at all, it stands between a user turn and what the assistant answers to it."""
        follows_user = self.turns[-1]["role"] == "user"
        answered_next = not rest or rest[0].role == "assistant"
        return self._target.facts.get("inline_system") is True and follows_user and answered_next

    def _add_assistant(self, message: Message) -> None:
        thinking = [block for step in message.reasoning if (block := self._thinking(step)) is not None]
        content = self._content(message.content)
        if not any(block["text"].strip() for block in content if block["type"] == "text"):
            # Texts of blanks only are refused, and models do write them before a tool call.
            content = [block for block in content if block["type"] != "text"]
        calls = [self._tool_use(call) for call in message.tool_calls]
        if not content and not calls:
            self._tell("an assistant message without content cannot be sent and was left out")
            return
        self._append("assistant", [*thinking, *content, *calls])

    def _thinking(self, step: Reasoning) -> Block | None:
        if step.signature is not None and step.signature.startswith(REDACTED):
            return {"type": "redacted_thinking", "data": step.signature.removeprefix(REDACTED)}
        # The API's own signatures are base64; a colon is in those that we make for other providers.
        if step.signature is None or ":" in step.signature:
            self._drop_reasoning()
            return None
        return {"type": "thinking", "thinking": step.text or "", "signature": step.signature}

    def _drop_reasoning(self) -> None:
        reason = "reasoning without a signature of anthropic's cannot be sent back"
        self.told.append(Adaptation(field="inputs.messages", action="dropped", reason=reason))

    def _tool_use(self, call: ToolCall) -> Block:
        return {
            "type": "tool_use",
            "id": self._new_id(call.id),
            "name": call.name,
            "input": call.arguments,
        }

    def _tool_result(self, message: Message) -> Block:
        if message.tool_call_id is None:
            raise BadRequest("a tool message needs tool_call_id", code="tool_call_id_missing")
        block: Block = {"type": "tool_result", "tool_use_id": self._known_id(message.tool_call_id)}
        content = self._content(message.content)
        if len(content) == 1 and content[0]["type"] == "text":
            block["content"] = content[0]["text"]
        elif content:
            block["content"] = content
        return block

    def _new_id(self, given: str) -> str:
        """The id for a call. One that stands for an earlier call is numbered: the API refuses ids that repeat, and providers that count
        the calls of each answer from 0 repeat theirs."""
        wire = self._tool_id(given)
        if wire in self._taken:
            self._tell("a tool call id that stands for an earlier call too was numbered")
            wire = self._numbered(wire)
        self._taken[wire] = 1
        self._waiting.setdefault(given, deque()).append(wire)
        return wire

    def _numbered(self, wire: str) -> str:
        count = self._taken[wire] + 1
        while (made := f"{wire}_{count}") in self._taken:
            count += 1
        self._taken[wire] = count
        return made

    def _known_id(self, given: str) -> str:
        """The id for a result: that of the first call so named which has none yet."""
        waiting = self._waiting.get(given)
        return waiting.popleft() if waiting else self._tool_id(given)

    def _tool_id(self, given: str) -> str:
        """The id itself, or one made of it where it has characters that the API refuses."""
        if _TOOL_ID.fullmatch(given):
            return given
        self._tell("a tool call id with characters that anthropic does not take was rewritten")
        return f"{_NOT_IN_TOOL_ID.sub('_', given)[:48]}_{zlib.crc32(given.encode('utf-8', 'replace')):08x}"

    def _content(self, parts: tuple[Part, ...]) -> list[Block]:
        blocks: list[Block] = []
        for part in parts:
            if isinstance(part, MediaPart):
                blocks.append(to_media_block(part.media, self._target))
            elif part.text:
                blocks.append({"type": "text", "text": part.text})
        return blocks

    def _tell(self, reason: str) -> None:
        self.told.append(Adaptation(field="inputs.messages", action="translated", reason=reason))


def to_media_block(media: Media, target: Target) -> Block:
    """An image or a document block. Raises `BadRequest` for other media, other types and images above the API's limit."""
    if target.facts.get("vision") is False:
        raise BadRequest(f"{target.model} takes text only", code="media_unsupported")
    if media.kind is MediaKind.IMAGE:
        return {"type": "image", "source": _image_source(media, target)}
    if media.kind is MediaKind.DOCUMENT:
        return {"type": "document", "source": _document_source(media, target)}
    raise BadRequest(
        f"anthropic takes no {media.kind} input, only images, PDF and plain text documents",
        code="media_unsupported",
        details={"kind": media.kind.value},
    )


def _image_source(media: Media, target: Target) -> Block:
    if (url := _find_url(media, target)) is not None:
        return {"type": "url", "url": url}
    mime = media.mime
    if mime not in IMAGE_TYPES:
        raise _unaccepted(mime, IMAGE_TYPES)
    size = _base64_length(media)
    if size > MAX_IMAGE_BASE64:
        raise BadRequest(
            f"the image is {size} bytes as base64; anthropic takes at most {MAX_IMAGE_BASE64} (5 MiB) for each",
            code="media_too_large",
            details={"bytes": size, "limit_bytes": MAX_IMAGE_BASE64},
        )
    return {"type": "base64", "media_type": mime, "data": media.as_base64()}


def _document_source(media: Media, target: Target) -> Block:
    if (url := _find_url(media, target)) is not None:
        return {"type": "url", "url": url}
    if media.mime == "application/pdf":
        return {"type": "base64", "media_type": "application/pdf", "data": media.as_base64()}
    if media.mime is not None and media.mime.startswith("text/"):
        return {"type": "text", "media_type": "text/plain", "data": _text_of(media)}
    raise _unaccepted(media.mime, ("application/pdf", "text/plain"))


def _text_of(media: Media) -> str:
    try:
        return media.as_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadRequest("a text document must be UTF-8", code="media_unreadable") from None


def _unaccepted(mime: str | None, accepted: tuple[str, ...]) -> BadRequest:
    return BadRequest(
        f"anthropic takes {', '.join(accepted)}, not {mime or 'content of an unknown type'}",
        code="media_unsupported",
        details={"type": mime, "accepted": list(accepted)},
    )


def _find_url(media: Media, target: Target) -> str | None:
    """The URL to hand on when the content was not fetched here; None when there is content."""
    if media.base64 is not None or media.data is not None:
        return None
    if media.url is None or not target.pass_media_urls:
        raise BadRequest("the media's content was not loaded", code="media_not_loaded")
    return media.url


def _base64_length(media: Media) -> int:
    if media.base64 is not None:
        return len(media.base64)
    return 4 * ((len(media.data or b"") + 2) // 3)
