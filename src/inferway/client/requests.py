"""The pure part of a client: bodies and headers to send, and what an answer means."""

import base64
import json
import math
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from msgspec import Struct

from inferway.client.errors import APIError, ConnectionFailed, InferwayError, error_of

PATH = "/v1/inference"
Source = str | bytes | Path | BinaryIO
"""A piece of media: a URL or a `data:` URL as text, a file's path, an open file, or the bytes themselves."""

_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 8.0
_LONGEST_HINT_S = 30.0
_TOP = ("provider", "model", "fallbacks", "dry_run")


class Address(Struct, frozen=True, kw_only=True):
    """Where a server is, and who calls it in which namespace. Given values win over `INFERWAY_URL`, `_API_KEY` and `_NAMESPACE`."""

    url: str
    api_key: str
    namespace: str

    def headers(self, idempotency_key: str | None = None) -> dict[str, str]:
        """The headers of an inference call."""
        sent = {
            "Authorization": f"Bearer {self.api_key}",
            "X-Namespace": self.namespace,
            "Content-Type": "application/json",
        }
        return sent if idempotency_key is None else {**sent, "Idempotency-Key": idempotency_key}


def chat_body(
    prompt: str | Sequence[str] | Sequence[Mapping[str, Any]],
    *,
    system: str | None = None,
    images: Iterable[Source] = (),
    **given: Any,
) -> dict[str, Any]:
    """The body of a chat: a prompt, several prompts, or the messages of one conversation."""
    inputs: dict[str, Any] = {}
    if isinstance(prompt, str):
        inputs["prompts"] = [prompt]
    elif prompt and isinstance(prompt[0], Mapping):
        inputs["messages"] = list(prompt)
    else:
        inputs["prompts"] = list(prompt)
    if system is not None:
        inputs["system"] = system
    return _body(inputs | media("image", images), given)


def embedding_body(
    text: str | Sequence[str] | None = None,
    *,
    images: Iterable[Source] = (),
    video: Source | None = None,
    **given: Any,
) -> dict[str, Any]:
    """The body of an embedding: of a text, of several texts, of images, or of a video."""
    inputs: dict[str, Any] = {}
    if text is not None:
        inputs |= {"text": text} if isinstance(text, str) else {"texts": list(text)}
    if video is not None:
        inputs |= media("video", [video])
    return _body(inputs | media("image", images), given)


def transcription_body(audio: Source, **given: Any) -> dict[str, Any]:
    """The body of a transcription."""
    return _body(media("audio", [audio]), given)


def media(kind: str, sources: Iterable[Source]) -> dict[str, Any]:
    """The keys of `inputs` for pieces of media. Raises `ValueError` for text that is no URL, and `OSError` for unreadable files."""
    urls, contents = [], []
    for source in sources:
        if isinstance(source, str) and source.startswith(("http://", "https://")):
            urls.append(source)
        else:
            contents.append(_as_base64(source))
    found: dict[str, Any] = {}
    if urls:
        found |= {f"{kind}_url": urls[0]} if len(urls) == 1 else {f"{kind}_urls": urls}
    if contents:
        found |= {f"{kind}_base64": contents[0]} if len(contents) == 1 else {f"{kind}s_base64": contents}
    return found


def _as_base64(source: Source) -> str:
    if isinstance(source, str):
        if source.startswith("data:"):
            return source
        # Text that names a file is not read: it may come from somebody who should not choose which file that is.
        raise ValueError("media given as text must be a URL; for a file give a pathlib.Path")
    if isinstance(source, Path):
        source = source.read_bytes()
    content = source if isinstance(source, bytes) else source.read()
    return base64.b64encode(content).decode("ascii")


def _body(inputs: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of the call stand at its top, everything else is a parameter; None counts as not given."""
    values = {name: value for name, value in given.items() if value is not None}
    top = {name: values.pop(name) for name in _TOP if name in values}
    return {**top, "inputs": inputs, **({"parameters": values} if values else {})}


class Patience(Struct, frozen=True, kw_only=True):
    """How often a failed call is sent again: at most `retries` times, never when the server says that it is of no use.

    A server that asks for more than `longest_hint_s` seconds is not waited for.
    """

    retries: int = 2
    longest_hint_s: float = _LONGEST_HINT_S

    def wait_s(self, error: InferwayError, tried: int, *, may_repeat: bool) -> float | None:
        """Seconds to wait before the next try after `tried` tries; None when there is none.

        `may_repeat` says whether a request that may have arrived can be sent twice without being done twice.
        """
        if tried > self.retries:
            return None
        backoff = random.uniform(0, min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0 ** (tried - 1)))  # noqa: S311 - no secret
        if isinstance(error, ConnectionFailed):
            return backoff if may_repeat or not error.sent else None
        if not isinstance(error, APIError) or not error.retryable:
            return None
        hint_s = error.retry_after_s or 0.0
        return None if hint_s > self.longest_hint_s else max(hint_s, backoff)


def require_object(status: int, content: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
    """The JSON object of a 200; raises the `APIError` of any other status."""
    try:
        found = json.loads(content)
    except ValueError:
        found = None
    value: dict[str, Any] = found if isinstance(found, dict) else {}
    if status != 200:
        raise error_of(status, value, _hint_s(headers.get("retry-after", "")))
    return value


def _hint_s(text: str) -> float | None:
    try:
        hint = float(text)
    except ValueError:
        return None
    return hint if math.isfinite(hint) and hint >= 0 else None
