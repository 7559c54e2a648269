"""Reads recorded exchanges and the manifest that says what is checked of each."""

import base64
import os
import re
import tomllib
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import parse_qsl, urlsplit

import msgspec
from msgspec import Struct

from tests.guards.omissions import RECORDINGS

INDEX = "INDEX.json"
MANIFEST = Path(__file__).with_name("manifest.toml")

Checks = Literal["request+answer", "request+error", "answer", "error", "tolerance"]
"""What is checked: that the recorded request leaves, and what the caller gets of the recorded answer or error.

`answer` and `error` stand alone where the recorded request has no form in the contract. `tolerance` is an answer of a method that is never
called: it must be refused, not read as something else.
"""

CHECKS: tuple[Checks, ...] = get_args(Checks)
_NOT_REPLAYED = re.compile(
    r"connection|keep-alive|content-length|content-encoding|transfer-encoding|trailer|upgrade|alt-svc|set-cookie",
    re.IGNORECASE,
)
_VERTEX = re.compile(r"/(?P<version>[^/]+)/projects/(?P<project>[^/]+)/locations/(?P<location>[^/]+)/")
_GOOGLE_METHOD = re.compile(r"/models/(?P<model>[^/:]+):(?P<method>\w+)$")


class Request(Struct, frozen=True, kw_only=True):
    """What left then. `body` is JSON, or `{"multipart": [parts]}`."""

    method: str
    url: str
    headers: dict[str, str]
    body: Any = None

    @property
    def path(self) -> str:
        """The path as it was sent."""
        return urlsplit(self.url).path

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters."""
        return dict(parse_qsl(urlsplit(self.url).query))

    def header(self, name: str) -> str | None:
        """A header by its lower-case name."""
        return next((value for key, value in self.headers.items() if key.lower() == name), None)


class Response(Struct, frozen=True, kw_only=True):
    """What came back then."""

    status: int
    headers: dict[str, Any]
    body_type: str
    body: Any = None

    def content(self) -> bytes:
        """The body's bytes."""
        if self.body_type == "json":
            return msgspec.json.encode(self.body)
        if self.body_type == "base64":
            return base64.b64decode(self.body["base64"] if isinstance(self.body, dict) else self.body)
        return (self.body or "").encode()

    def replayed_headers(self) -> list[tuple[str, str]]:
        """The headers, without those that belong to the connection of then."""
        pairs: list[tuple[str, str]] = []
        for name, value in self.headers.items():
            if not _NOT_REPLAYED.fullmatch(name):
                pairs += [(name, str(each)) for each in (value if isinstance(value, list) else [value])]
        return pairs

    def header(self, name: str) -> str | None:
        """A header by its lower-case name."""
        return next((str(value) for key, value in self.headers.items() if key.lower() == name), None)


class Recording(Struct, frozen=True, kw_only=True):
    """One exchange with a real provider."""

    name: str
    provider: str
    kind: str
    request: Request
    response: Response

    @property
    def is_success(self) -> bool:
        """Whether the provider answered."""
        return self.response.status < 300

    @property
    def method(self) -> str:
        """What was called: the last part of the path, or the method of a Google model."""
        found = _GOOGLE_METHOD.search(self.request.path)
        return found["method"] if found else self.request.path.rsplit("/v1/", 1)[-1]

    @property
    def model(self) -> str:
        """The model that was asked for."""
        found = _GOOGLE_METHOD.search(self.request.path)
        if found:
            return found["model"]
        body = self.request.body
        if "multipart" in body:
            return next(str(part["value"]) for part in body["multipart"] if part["name"] == "model")
        return str(body["model"])

    @property
    def row(self) -> "Row":
        """The provider row that reaches the recorded address."""
        vertex = _VERTEX.match(self.request.path)
        if vertex:
            name = re.sub(r"[^a-z0-9]+", "-", f"vertex-{vertex['version']}-{vertex['location']}".lower())
            return Row(name=name, kind="google", vertex=vertex.groupdict())
        if self.provider == "google":
            version = self.request.path.split("/")[1]
            name = "google" if version == "v1beta" else f"google-{version.lower()}"
            return Row(name=name, kind="google", api_version=version)
        version = self.request.header("anthropic-version") or ""
        if self.provider == "anthropic" and version not in ("", "2023-06-01"):
            return Row(name=f"anthropic-{version}", kind="anthropic", api_version=version)
        return Row(name=self.provider, kind=self.provider)


class Row(Struct, frozen=True, kw_only=True):
    """A provider of the server under test; `vertex` has version, project and location."""

    name: str
    kind: str
    api_version: str | None = None
    vertex: dict[str, str] | None = None


class Entry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line of the manifest; `because` says why not everything is checked."""

    checks: Checks
    because: str | None = None


def folder() -> Path | None:
    """Where the recordings lie, if they are here."""
    named = os.environ.get(RECORDINGS)
    return Path(named) if named and Path(named).is_dir() else None


def file_names() -> list[str]:
    """The recordings of the folder, by name."""
    place = folder()
    return sorted(file.name for file in place.glob("*.json") if file.name != INDEX) if place else []


def load(name: str) -> Recording:
    """One recording."""
    place = folder()
    assert place is not None
    return msgspec.json.decode((place / name).read_bytes(), type=Recording)


def load_all() -> list[Recording]:
    """All of them."""
    return [load(name) for name in file_names()]


def manifest() -> dict[str, Entry]:
    """The entries by file name."""
    return msgspec.convert(tomllib.loads(MANIFEST.read_text("utf-8")), dict[str, Entry])
