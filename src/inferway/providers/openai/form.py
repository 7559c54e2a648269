"""Writes a multipart form. Source: RFC 7578."""

import hashlib
from collections.abc import Iterable

from msgspec import Struct


class File(Struct, frozen=True, kw_only=True):
    """The file of a form."""

    field: str
    filename: str
    mime: str
    content: bytes


def write_form(fields: Iterable[tuple[str, str]], file: File) -> tuple[bytes, str]:
    """The body and its content type. The boundary is a hash of all parts: the same form is the same bytes, and no content can hold it."""
    parts = [_text_part(name, value) for name, value in fields]
    head = (
        f'content-disposition: form-data; name="{_quoted(file.field)}"; filename="{_quoted(file.filename)}"\r\n'
        f"content-type: {_quoted(file.mime)}\r\n\r\n"
    ).encode()
    digest = hashlib.sha256(b"\0".join((*parts, head)))
    digest.update(file.content)
    boundary = f"form-{digest.hexdigest()[:40]}".encode()
    pieces = [line for part in parts for line in (b"--", boundary, b"\r\n", part, b"\r\n")]
    pieces += [b"--", boundary, b"\r\n", head, file.content, b"\r\n--", boundary, b"--\r\n"]
    return b"".join(pieces), f"multipart/form-data; boundary={boundary.decode()}"


def _text_part(name: str, value: str) -> bytes:
    return f'content-disposition: form-data; name="{_quoted(name)}"\r\n\r\n{value}'.encode()


def _quoted(text: str) -> str:
    """Line ends and quotes as browsers write them, so that no name can end its header."""
    return text.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")
