"""Keeps Gemini's thought signatures with the parts they belong to while an answer travels through a caller's history.

A completion has one text, a list of tool calls and a list of reasoning entries; Gemini wants each signature back on the very part it
came on. So the `signature` of a reasoning entry is, in this order: `google/`, the kind of part, its place, `:`, and Gemini's own
signature. The kinds are `thought:` (the entry's own text), `text@OFFSET+LENGTH:` (that stretch of the completion's text, in
characters) and `call@INDEX,OFFSET:` (the tool call of that index, which stands at that offset of the text).
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from msgspec import Struct

from inferway.types import Reasoning, ToolCall

PREFIX = "google/"
_PLACE = re.compile(
    r"google/(?:(thought)|text@(\d{1,9})\+(\d{1,9})|call@(\d{1,4}),(\d{1,9})):(.+)", re.DOTALL
)
_MADE_ID = re.compile(r"call_\d{1,4}")


def sign_thought(signature: str) -> str:
    """The signature of a thought."""
    return f"{PREFIX}thought:{signature}"


def sign_text(offset: int, length: int, signature: str) -> str:
    """The signature of a stretch of the text."""
    return f"{PREFIX}text@{offset}+{length}:{signature}"


def sign_call(index: int, offset: int, signature: str) -> str:
    """The signature of a tool call that stands at an offset of the text."""
    return f"{PREFIX}call@{index},{offset}:{signature}"


def move_to_end(reasoning: Sequence[Reasoning], length: int) -> tuple[Reasoning, ...]:
    """The entries of a text that was rewritten to this length: signatures of its stretches now follow it."""
    return tuple(_moved(entry, length) for entry in reasoning)


def _moved(entry: Reasoning, length: int) -> Reasoning:
    place = _PLACE.fullmatch(entry.signature) if entry.signature else None
    if place is None or place[2] is None:
        return entry
    return Reasoning(text=entry.text, signature=sign_text(length, 0, place[6]))


def make_call_id(index: int) -> str:
    """The id of a call that Gemini gave none; such an id is never sent back."""
    return f"call_{index}"


def is_made_id(call_id: str) -> bool:
    """Whether an id was made here."""
    return _MADE_ID.fullmatch(call_id) is not None


class Turn(Struct, frozen=True, kw_only=True):
    """The parts of one assistant turn, and whether reasoning of another provider had to stay behind."""

    parts: list[dict[str, Any]]
    foreign: bool


class _Signed(Struct, kw_only=True):
    """Signatures by their place in the turn."""

    thoughts: list[dict[str, Any]]
    texts: list[tuple[int, int, str]]
    calls: dict[int, tuple[int, str]]
    foreign: bool = False


def make_turn(text: str, calls: Sequence[ToolCall], reasoning: Sequence[Reasoning]) -> Turn:
    """The parts that an assistant turn came from: thoughts, then text and calls, each with its signature.

    A text that the caller has changed since no longer has the signed stretch; its signature then follows the text in an empty part.
    """
    signed = _read(reasoning)
    placed = _calls(calls, signed.calls, len(text))
    cuts = sorted({place[0] for place, _ in placed})
    pieces = [*_texts(text, signed.texts, cuts), *placed]
    pieces.sort(key=lambda piece: piece[0])
    return Turn(parts=signed.thoughts + [part for _, part in pieces], foreign=signed.foreign)


def _read(reasoning: Sequence[Reasoning]) -> _Signed:
    signed = _Signed(thoughts=[], texts=[], calls={})
    for entry in reasoning:
        place = _PLACE.fullmatch(entry.signature) if entry.signature else None
        if place is None:
            if entry.signature:
                signed.foreign = True
            elif entry.text:
                signed.thoughts.append({"text": entry.text, "thought": True})
            continue
        thought, offset, length, index, call_offset, signature = place.groups()
        if thought:
            signed.thoughts.append({"text": entry.text or "", "thought": True, "thoughtSignature": signature})
        elif index is not None:
            signed.calls[int(index)] = (int(call_offset), signature)
        else:
            signed.texts.append((int(offset), int(length), signature))
    return signed


Piece = tuple[tuple[int, int], dict[str, Any]]
"""A part with its place: the offset in the text, and at the same offset calls, then empty texts, then the text that begins there."""


def _texts(text: str, signatures: Sequence[tuple[int, int, str]], cuts: Sequence[int]) -> list[Piece]:
    pieces: list[Piece] = []
    done = 0
    for offset, length, signature in sorted(signatures, key=lambda signed: signed[:2]):
        if offset < done or offset + length > len(text):
            # The caller changed the text, or the signature: it can no longer be put where it was.
            pieces.append(((len(text), 1), {"text": "", "thoughtSignature": signature}))
            continue
        pieces += _unsigned(text, done, offset, cuts)
        part = {"text": text[offset : offset + length], "thoughtSignature": signature}
        pieces.append(((offset, 2 if length else 1), part))
        done = offset + length
    return pieces + _unsigned(text, done, len(text), cuts)


def _unsigned(text: str, start: int, end: int, cuts: Sequence[int]) -> list[Piece]:
    """A stretch without a signature, cut where a call stands in it."""
    edges = [start, *(cut for cut in cuts if start < cut < end), end]
    return [((a, 2), {"text": text[a:b]}) for a, b in pairwise(edges) if a < b]


def _calls(calls: Sequence[ToolCall], signatures: dict[int, tuple[int, str]], end: int) -> list[Piece]:
    pieces: list[Piece] = []
    offset = end if 0 not in signatures else min(signatures[0][0], end)
    for index, call in enumerate(calls):
        wire: dict[str, Any] = {"name": call.name, "args": call.arguments}
        if not is_made_id(call.id):
            wire["id"] = call.id
        part: dict[str, Any] = {"functionCall": wire}
        if index in signatures:
            # Calls keep their order, whatever the offsets say.
            offset = max(offset, min(signatures[index][0], end)) if index else offset
            part["thoughtSignature"] = signatures[index][1]
        pieces.append(((offset, 0), part))
    return pieces
