"""Media that comes inside the request: raw base64 or a `data:` URL."""

import base64
import re
from typing import Final

import msgspec
from msgspec import Struct

from inferway.media.refusals import MediaUnreadable
from inferway.media.wire import too_large

_DATA_URL: Final = re.compile(r"\s*data:([^,]{0,256}),", re.IGNORECASE)


class Decoded(Struct, frozen=True, kw_only=True):
    """Content as bytes and as standard padded base64, so that nobody has to encode it again."""

    data: bytes
    base64: str


def decode_base64(text: str, *, max_bytes: int) -> Decoded:
    """Read base64 strictly, with or without a `data:` head, whose declared type is ignored.

    White space is dropped, the URL-safe alphabet and missing padding are taken; the text given back is standard.
    Raises MediaUnreadable when it is not base64 or is empty, MediaTooLarge before anything is decoded.
    """
    text = _strip_head(text)
    # White space may triple the text at most before it is refused unread.
    if len(text) > 4 * max_bytes + 1024:
        raise too_large(max_bytes)
    if len(text) * 3 // 4 > max_bytes:
        text = "".join(text.split())
        if len(text.rstrip("=")) * 3 // 4 > max_bytes:
            raise too_large(max_bytes)
    data = _find_content(text)
    if data is None:
        text = _standard("".join(text.split()))
        data = _find_content(text)
    if data is None:
        raise MediaUnreadable("The media is not valid base64.")
    if not data:
        raise MediaUnreadable("The media is empty.")
    return Decoded(data=data, base64=_canonical(text, data))


def _find_content(text: str) -> bytes | None:
    """What standard padded base64 means; None when it is not that. As strict as `binascii`, and it holds the event loop for less time."""
    try:
        return msgspec.convert(text, bytes)
    except (msgspec.ValidationError, UnicodeEncodeError):
        return None


def _strip_head(text: str) -> str:
    head = _DATA_URL.match(text[:512])
    if head is None:
        return text
    if "base64" not in [part.strip().lower() for part in head[1].split(";")[1:]]:
        raise MediaUnreadable("A data: URL of media must be base64.")
    return text[head.end() :]


def _standard(text: str) -> str:
    if "-" in text or "_" in text:
        if "+" in text or "/" in text:
            raise MediaUnreadable("The media mixes two base64 alphabets.")
        text = text.replace("-", "+").replace("_", "/")
    content = text.rstrip("=")
    padding = -len(content) % 4
    if len(text) - len(content) not in (0, padding):
        raise MediaUnreadable("The media is not valid base64.")
    return content + "=" * padding


def _canonical(text: str, data: bytes) -> str:
    """The same text with the unused last bits zero, which some providers insist on."""
    spare = len(data) % 3
    return text[:-4] + base64.b64encode(data[-spare:]).decode("ascii") if spare else text
