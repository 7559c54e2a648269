"""The provider row of OpenAI, and of any server that speaks its API."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Literal

from inferway.providers.authenticators import bearer, optional_bearer
from inferway.providers.base import Authenticator, Credential, Endpoint, Headers, Provider, Transport
from inferway.providers.facts import FactTable, load_facts
from inferway.providers.look import Look
from inferway.providers.openai.chat import OpenAIChat
from inferway.providers.openai.embeddings import OpenAIEmbeddings
from inferway.providers.openai.errors import classify
from inferway.providers.openai.quirks import (
    COMPATIBLE,
    Quirks,
    Server,
    find_server,
    load_servers,
    make_quirks,
)
from inferway.providers.openai.transcription import OpenAITranscription
from inferway.providers.wire import WireCapability, WireChat
from inferway.types import Operation

Kind = Literal["openai", "openai_compatible"]
KIND: Kind = "openai"
BASE_URL = "https://api.openai.com/v1"
"""With the version, as in `OPENAI_BASE_URL`."""

OPERATIONS = frozenset((Operation.CHAT, Operation.VISION, Operation.TEXT_EMBEDDING, Operation.TRANSCRIPTION))

_IDENTITY = {"organization": "openai-organization", "project": "openai-project"}


def build(  # noqa: PLR0913 - the settings of a row, all by name
    *,
    transport: Transport,
    name: str = KIND,
    kind: Kind = KIND,
    base_url: str | None = None,
    headers: Headers = (),
    options: Mapping[str, Any] | None = None,
    facts: Iterable[Mapping[str, Any]] = (),
    credential: Credential | None = None,
    pass_media_urls: bool = False,
) -> Provider:
    """The row. A compatible server of a known name or address needs no more than a key; any other needs its `base_url`.

    `options` may hold `organization` and `project` (OpenAI's headers), `quirks` (see `Quirks`; on top of the known ones) and `operations`
    (what a compatible server can do). `facts` are an operator's rows of model facts, in the form of `models.toml`, behind those
    that are shipped. ValueError when a compatible server has no address, or an option is not usable.
    """
    chosen = {key: value for key, value in (options or {}).items() if value is not None}
    own = kind == "openai"
    server = None if own else find_server(load_servers(), name, base_url)
    address = base_url or (BASE_URL if own else _address(name, server))
    quirks = make_quirks(
        Quirks() if own else COMPATIBLE, server.quirks if server else {}, chosen.get("quirks", {})
    )
    wire: dict[str, Any] = {
        "endpoint": Endpoint(base_url=address, headers=(*headers, *_identity(chosen)), options=chosen),
        "authenticator": _authenticator(name, server, own=own),
        "classify": partial(classify, name),
        "transport": transport,
    }
    table = _facts(server, facts, own=own)
    return Provider(
        name=name,
        kind=kind,
        chat=WireChat(translator=OpenAIChat(name, quirks), **wire),
        embedding=WireCapability(translator=OpenAIEmbeddings(name, quirks), **wire),
        transcription=WireCapability(translator=OpenAITranscription(name, quirks), **wire),
        operations=_operations(chosen, server),
        facts=table.facts,
        names=table.names,
        look=Look("/models", **wire),
        credential=credential,
        address=address,
        pass_media_urls=pass_media_urls,
        options=chosen,
    )


def _address(name: str, server: Server | None) -> str:
    if server is None:
        known = ", ".join(row.name for row in load_servers())
        raise ValueError(f"{name} needs a base_url; servers known by name are {known}")
    return server.base_url


def _authenticator(name: str, server: Server | None, *, own: bool) -> Authenticator:
    """Only OpenAI and the hosted servers that are known want a key for certain."""
    if own or (server is not None and server.key == "required"):
        return bearer(name)
    return optional_bearer(name)


def _operations(options: Mapping[str, Any], server: Server | None) -> frozenset[Operation]:
    if "operations" in options:
        return frozenset(map(Operation, options["operations"]))
    return OPERATIONS if server is None else frozenset(server.operations)


def _facts(server: Server | None, rows: Iterable[Mapping[str, Any]], *, own: bool) -> FactTable:
    if own:
        return load_facts(__package__, rows)
    return FactTable([*(server.facts if server else ()), *rows])


def _identity(options: Mapping[str, Any]) -> Headers:
    return tuple((header, str(options[key])) for key, header in _IDENTITY.items() if key in options)
