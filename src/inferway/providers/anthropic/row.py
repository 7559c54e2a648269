"""The provider row of Anthropic, or of a server that speaks its messages API."""

from collections.abc import Iterable, Mapping
from typing import Any

from inferway.providers.anthropic.chat import MessagesTranslator
from inferway.providers.anthropic.errors import AnthropicErrors
from inferway.providers.anthropic.to_wire import API_VERSION
from inferway.providers.authenticators import KeyHeader, bearer
from inferway.providers.base import Authenticator, Credential, Endpoint, Headers, Provider, Transport
from inferway.providers.facts import load_facts
from inferway.providers.look import Look
from inferway.providers.wire import WireChat
from inferway.types import Deadline, Operation

KIND = "anthropic"
BASE_URL = "https://api.anthropic.com"
"""Without a version: the path has it, as in `ANTHROPIC_BASE_URL`."""

OPERATIONS = frozenset((Operation.CHAT, Operation.VISION))
"""There are no embeddings and no transcription."""

_VERSION = "anthropic-version"


class KeyOrToken:
    """Shows an API key as `x-api-key` and a token (credential kind `bearer`) as `authorization: Bearer`."""

    def __init__(self, provider: str) -> None:
        self._key: Authenticator = KeyHeader(provider, "x-api-key")
        self._token: Authenticator = bearer(provider)

    def find_headers(self, credential: Credential | None) -> Headers | None:
        """What was shown last."""
        return self._of(credential).find_headers(credential)

    async def headers(self, credential: Credential | None, deadline: Deadline | None = None) -> Headers:
        """One header; raises `ProviderAuth` without a usable credential."""
        return await self._of(credential).headers(credential, deadline)

    def _of(self, credential: Credential | None) -> Authenticator:
        return self._token if credential is not None and credential.kind == "bearer" else self._key


def build(  # noqa: PLR0913 - the settings of a row, all by name
    *,
    transport: Transport,
    name: str = KIND,
    base_url: str | None = None,
    headers: Headers = (),
    options: Mapping[str, Any] | None = None,
    facts: Iterable[Mapping[str, Any]] = (),
    credential: Credential | None = None,
    pass_media_urls: bool = False,
) -> Provider:
    """The row. `options` may hold `api_version` (default 2023-06-01; from 2026-10-21 on no sampling parameters are sent).

    `facts` are an operator's rows of model facts, in the form of `models.toml`, behind those that are shipped.
    """
    chosen = {key: value for key, value in (options or {}).items() if value is not None}
    for header, value in headers:
        if header.lower() == _VERSION:
            chosen.setdefault("api_version", value)
    endpoint = Endpoint(
        base_url=base_url or BASE_URL,
        headers=tuple(pair for pair in headers if pair[0].lower() != _VERSION),
        options=chosen,
    )
    wire: dict[str, Any] = {
        "authenticator": KeyOrToken(name),
        "classify": AnthropicErrors(name),
        "transport": transport,
    }
    chat = WireChat(translator=MessagesTranslator(name), endpoint=endpoint, **wire)
    version = (_VERSION, str(chosen.get("api_version") or API_VERSION))
    asked = Endpoint(base_url=endpoint.base_url, headers=(*endpoint.headers, version))
    table = load_facts(__package__, facts)
    return Provider(
        name=name,
        kind=KIND,
        chat=chat,
        operations=OPERATIONS,
        facts=table.facts,
        names=table.names,
        look=Look("/v1/models", endpoint=asked, **wire),
        credential=credential,
        address=endpoint.base_url,
        pass_media_urls=pass_media_urls,
        options=chosen,
    )
