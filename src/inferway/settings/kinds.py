"""Kinds of values that several sections have: secrets, ports, addresses."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta

from inferway.errors import OperatorError

Port = Annotated[int, Meta(ge=0, le=65535)]
_NOT_IN_URL = re.compile(r"[\s\\?#@]")


def check_base_url(name: str, url: str | None) -> None:
    """Raises ValueError unless `url` is None or an http(s) address without user, query and fragment."""
    if url is None:
        return
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or _NOT_IN_URL.search(url):
        raise ValueError(f"{name}: expected an address like https://host/v1, without user, query or fragment")


class SettingsError(OperatorError):
    """A setting that cannot be used; the message is one line that says where it stands and what to do."""


class Secret:
    """A text that never shows itself: its repr, str and format are masked, `reveal()` gives it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the request that needs it."""
        return self._text

    def __repr__(self) -> str:
        return "Secret('***')"

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)
