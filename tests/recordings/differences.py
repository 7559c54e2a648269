"""Compares the request that left with the recorded one, field by field; every difference that is allowed is a row of one table here."""

import base64
import binascii
import json
from collections.abc import Callable, Iterator
from typing import Any

from msgspec import Struct

from tests.recordings.book import Recording
from tests.recordings.schemas import means_the_same


class _Absent:
    def __repr__(self) -> str:
        return "(absent)"


ABSENT = _Absent()
Path = tuple[str | int, ...]


class Spot(Struct, frozen=True, kw_only=True):
    """One place of a request where the two are not equal; `told` are the fields of the answer's adaptations."""

    recording: Recording
    path: Path
    recorded: Any
    sent: Any
    recorded_body: Any
    sent_body: Any
    told: frozenset[str] = frozenset()

    def at(self, *pattern: str) -> bool:
        """Whether the path is this one; `*` stands for any step."""
        return len(self.path) == len(pattern) and all(
            want in ("*", step) for step, want in zip(self.path, pattern, strict=True)
        )

    @property
    def last(self) -> str | int:
        """The field's own name."""
        return self.path[-1] if self.path else ""


class Allowed(Struct, frozen=True, kw_only=True):
    """A difference that loses nothing, and why it is there."""

    provider: str
    what: str
    reason: str
    holds: Callable[[Spot], bool]


def _decoded(text: Any) -> bytes | None:
    if not isinstance(text, str):
        return None
    content = text.partition(";base64,")[2] if text.startswith("data:") else text
    try:
        return base64.b64decode(content.replace("-", "+").replace("_", "/") + "=" * (-len(content) % 4))
    except binascii.Error:
        return None


def _same_content(spot: Spot) -> bool:
    recorded = _decoded(spot.recorded)
    return recorded is not None and recorded == _decoded(spot.sent)


def _as_blocks(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return [{"type": "text", "text": value}] if value else []


def _same_json(spot: Spot) -> bool:
    if not isinstance(spot.recorded, str) or not isinstance(spot.sent, str):
        return False
    return bool(json.loads(spot.recorded or "{}") == json.loads(spot.sent or "{}"))


def _is_empty(value: Any) -> bool:
    return value is ABSENT or value is None or value is False or value in ({}, [], "")


_SAMPLING = {
    "temperature": "temperature",
    "top_p": "top_p",
    "topP": "top_p",
    "seed": "seed",
    "stop": "stop",
    "stop_sequences": "stop",
}
_AUDIO = {"audio/mp3": "audio/mpeg", "audio/x-wav": "audio/wav", "audio/wave": "audio/wav"}


def _dropped_and_told(spot: Spot) -> bool:
    """An error answer has no adaptations to tell: there it is taken on trust."""
    name = _SAMPLING.get(str(spot.last))
    told = f"parameters.{name}" in spot.told or not spot.recording.is_success
    return name is not None and spot.sent is ABSENT and told


ALLOWED: tuple[Allowed, ...] = (
    Allowed(
        provider="*",
        what="an empty value and none at all",
        reason="null, false, {} and [] are what the API takes for a field that is not there",
        holds=lambda spot: len(spot.path) > 0 and _is_empty(spot.recorded) and _is_empty(spot.sent),
    ),
    Allowed(
        provider="*",
        what="a sampling parameter that this model is known to refuse",
        reason="it is left out and told in the answer's adaptations",
        holds=_dropped_and_told,
    ),
    Allowed(
        provider="openai",
        what="max_tokens",
        reason="it is sent under its newer name, which every chat model takes",
        holds=lambda spot: (
            (
                spot.at("max_tokens")
                and spot.sent is ABSENT
                and spot.sent_body.get("max_completion_tokens") == spot.recorded
            )
            or (
                spot.at("max_completion_tokens")
                and spot.recorded is ABSENT
                and spot.recorded_body.get("max_tokens") == spot.sent
            )
        ),
    ),
    Allowed(
        provider="openai",
        what="stop",
        reason="one sequence is sent as a list of one",
        holds=lambda spot: spot.at("stop") and [spot.recorded] == spot.sent,
    ),
    Allowed(
        provider="openai",
        what="stream_options",
        reason="usage is always asked for, because calls are metered by it",
        holds=lambda spot: (
            (spot.at("stream_options") and spot.recorded is ABSENT and spot.sent == {"include_usage": True})
            or (spot.at("stream_options", "include_usage") and spot.sent is True)
        ),
    ),
    Allowed(
        provider="openai",
        what="messages[].content",
        reason="one part of text is sent as a text; an assistant's calls have a null or no content",
        holds=lambda spot: (
            (spot.at("messages", "*", "content") and _as_blocks(spot.recorded) == _as_blocks(spot.sent))
            or (spot.at("messages", "*", "content") and _is_empty(spot.recorded) and _is_empty(spot.sent))
        ),
    ),
    Allowed(
        provider="openai",
        what="messages[].role",
        reason="`developer` is the newer word for `system`, which all models take",
        holds=lambda spot: (
            spot.at("messages", "*", "role") and (spot.recorded, spot.sent) == ("developer", "system")
        ),
    ),
    Allowed(
        provider="openai",
        what="messages[].tool_calls[].function.arguments",
        reason="the same JSON with other blanks",
        holds=lambda spot: spot.last == "arguments" and _same_json(spot),
    ),
    Allowed(
        provider="openai",
        what="image_url",
        reason="the previews of 2023 took the URL itself where an object is wanted now; `auto` is the detail of an image without one",
        holds=lambda spot: (
            (spot.last == "image_url" and spot.sent == {"url": spot.recorded})
            or (spot.last == "detail" and spot.recorded == "auto" and spot.sent is ABSENT)
        ),
    ),
    Allowed(
        provider="openai",
        what="input",
        reason="one text is sent as a text",
        holds=lambda spot: spot.at("input") and spot.recorded == [spot.sent],
    ),
    Allowed(
        provider="openai",
        what="response_format.json_schema",
        reason="the schema is sent in strict form when that keeps its meaning; a name and strictness are always said",
        holds=lambda spot: (
            (spot.at("response_format", "json_schema", "schema") and means_the_same(spot.recorded, spot.sent))
            or (spot.at("response_format", "json_schema", "strict") and spot.recorded is ABSENT)
        ),
    ),
    Allowed(
        provider="openai",
        what="file",
        reason="the file's type is found in its bytes, and its name is ours with the extension of that type",
        holds=lambda spot: (
            (spot.at("file", "content_type") and spot.recorded in (None, ABSENT, "application/octet-stream"))
            or (spot.at("file", "content_type") and _AUDIO.get(spot.recorded, spot.recorded) == spot.sent)
            or (spot.at("file", "filename") and str(spot.sent).startswith("audio."))
        ),
    ),
    Allowed(
        provider="openai",
        what="chunking_strategy, response_format of a diarizing model",
        reason="without them the model refuses longer recordings and gives no speakers",
        holds=lambda spot: (
            "diarize" in spot.recording.model
            and spot.recorded is ABSENT
            and (spot.path, spot.sent)
            in ((("chunking_strategy",), ["auto"]), (("response_format",), ["diarized_json"]))
        ),
    ),
    Allowed(
        provider="openai",
        what="temperature of a transcription",
        reason="the same number in other digits",
        holds=lambda spot: spot.at("temperature") and _same_number(spot.recorded, spot.sent),
    ),
    Allowed(
        provider="anthropic",
        what="content and system",
        reason="a text stands for one block of text",
        holds=lambda spot: (
            spot.last in ("content", "system") and _as_blocks(spot.recorded) == _as_blocks(spot.sent)
        ),
    ),
    Allowed(
        provider="anthropic",
        what="output_config.format.schema",
        reason="objects are closed, as the API demands, and limits it does not know stand in descriptions",
        holds=lambda spot: (
            spot.at("output_config", "format", "schema") and means_the_same(spot.recorded, spot.sent)
        ),
    ),
    Allowed(
        provider="anthropic",
        what="tools[].input_schema.type",
        reason="the API demands the type of the root",
        holds=lambda spot: (
            spot.at("tools", "*", "input_schema", "type")
            and spot.recorded is ABSENT
            and spot.sent == "object"
        ),
    ),
    Allowed(
        provider="*",
        what="media in base64",
        reason="the same bytes in the standard alphabet with padding",
        holds=lambda spot: (
            spot.last in ("data", "url", "file_data", "bytesBase64Encoded") and _same_content(spot)
        ),
    ),
    Allowed(
        provider="*",
        what="the type of media",
        reason="it is found in the bytes; this is another name of the same one",
        holds=lambda spot: (
            spot.last in ("mimeType", "media_type") and _AUDIO.get(spot.recorded, spot.recorded) == spot.sent
        ),
    ),
    Allowed(
        provider="google",
        what="systemInstruction.role",
        reason="it says nothing: there is one instruction, whoever is named",
        holds=lambda spot: spot.at("systemInstruction", "role") and spot.sent is ABSENT,
    ),
    Allowed(
        provider="google",
        what="contents[].role",
        reason="a content without a role is the user's",
        holds=lambda spot: (
            spot.at("contents", "*", "role") and (spot.recorded, spot.sent) == (ABSENT, "user")
        ),
    ),
    Allowed(
        provider="google",
        what="the instruction of a transcription",
        reason="the contract has the wanted thing, not the words: they are the gateway's",
        holds=lambda spot: (
            spot.recording.kind.startswith("transcription")
            and spot.at("contents", "*", "parts", "*", "text")
            and "ranscri" in str(spot.sent)
        ),
    ),
    Allowed(
        provider="google",
        what="generationConfig.responseMimeType of a transcription",
        reason="plain text is asked for, always",
        holds=lambda spot: (
            spot.recording.kind.startswith("transcription")
            and (spot.path[-1:] in (("generationConfig",), ("responseMimeType",)))
            and spot.sent in ("text/plain", {"responseMimeType": "text/plain"})
            and _is_empty(spot.recorded)
        ),
    ),
)
"""Besides these: credentials, the names of programs and of connections in headers, and what `ALLOWED_QUERY` says."""

ALLOWED_QUERY = {
    "beta": "the SDK's own switch to the beta form of its types; the API answers the same without it",
    "$alt": "asks for enums as numbers; names are asked for here, and numbers are read all the same",
    "alt": "streams are asked for as server-sent events, always; the recorded one came as one JSON array",
    "key": "a credential",
}


def _same_number(recorded: Any, sent: Any) -> bool:
    try:
        one, other = (value[0] if isinstance(value, list) else value for value in (recorded, sent))
        return float(one) == float(other)
    except (TypeError, ValueError):
        return False


def unexplained(
    recording: Recording, recorded: Any, sent: Any, told: frozenset[str] = frozenset()
) -> list[str]:
    """The differences between two bodies that no row of the table allows, one line each."""
    spots = _walk(
        Spot(
            recording=recording,
            path=(),
            recorded=recorded,
            sent=sent,
            recorded_body=recorded,
            sent_body=sent,
            told=told,
        )
    )
    return [
        f"{'.'.join(map(str, spot.path)) or 'body'}: {_short(spot.recorded)} was recorded, {_short(spot.sent)} left"
        for spot in spots
    ]


def _walk(spot: Spot) -> Iterator[Spot]:
    recorded, sent = spot.recorded, spot.sent
    if type(recorded) is type(sent) and recorded == sent:
        return
    if _number(recorded) and _number(sent) and recorded == sent:
        return
    if any(row.provider in ("*", spot.recording.provider) and row.holds(spot) for row in ALLOWED):
        return
    if isinstance(recorded, dict) and isinstance(sent, dict):
        for name in {**recorded, **sent}:
            yield from _walk(_below(spot, name, recorded.get(name, ABSENT), sent.get(name, ABSENT)))
    elif isinstance(recorded, list) and isinstance(sent, list) and len(recorded) == len(sent):
        for index, (one, other) in enumerate(zip(recorded, sent, strict=True)):
            yield from _walk(_below(spot, index, one, other))
    elif recorded is ABSENT and isinstance(sent, dict) and sent:
        for name, value in sent.items():
            yield from _walk(_below(spot, name, ABSENT, value))
    else:
        yield spot


def _below(spot: Spot, step: str | int, recorded: Any, sent: Any) -> Spot:
    return Spot(
        recording=spot.recording,
        path=(*spot.path, step),
        recorded=recorded,
        sent=sent,
        recorded_body=spot.recorded_body,
        sent_body=spot.sent_body,
        told=spot.told,
    )


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}… ({len(text)} characters)"
