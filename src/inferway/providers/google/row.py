"""The provider row of Google: the Gemini API by key, and Vertex AI by project and account, as one provider."""

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from typing import Any, Generic

from inferway.providers.base import (
    Authenticator,
    CallT,
    ChatTranslator,
    Context,
    Credential,
    Endpoint,
    Facts,
    Headers,
    Prepared,
    Provider,
    ResultT,
    Target,
    Translator,
    Transport,
)
from inferway.providers.facts import load_facts
from inferway.providers.google.chat import GoogleChatTranslator
from inferway.providers.google.embeddings import GoogleEmbeddingTranslator
from inferway.providers.google.errors import classify
from inferway.providers.google.paths import DEFAULT_LOCATION, GEMINI_VERSION, on_vertex
from inferway.providers.google.paths import vertex_base_url as google_vertex_url
from inferway.providers.google.transcription import GoogleTranscriptionTranslator
from inferway.providers.google.vertex import TOKEN_URL, GeminiAuth, TokenSource, VertexAuth, find_project
from inferway.providers.google.vertex_embeddings import vertex_batch
from inferway.providers.look import Look
from inferway.providers.wire import WireCapability, WireChat
from inferway.types import ChatCall, ChatEvent, ChatResult, Operation

KIND = "google"
BASE_URL = "https://generativelanguage.googleapis.com"
"""Without a version: the path has it, as in `GOOGLE_GEMINI_BASE_URL`."""

OPERATIONS = frozenset(
    (
        Operation.CHAT,
        Operation.VISION,
        Operation.TEXT_EMBEDDING,
        Operation.IMAGE_EMBEDDING,
        Operation.VIDEO_EMBEDDING,
        Operation.TRANSCRIPTION,
    )
)


class _Place:
    """One of the two addresses, with how a credential is shown there."""

    def __init__(self, endpoint: Endpoint, authenticator: Authenticator, transport: Transport) -> None:
        self._endpoint = endpoint
        self._authenticator = authenticator
        self._transport = transport

    def capability(self, translator: Translator[CallT, ResultT]) -> WireCapability[CallT, ResultT]:
        """An operation served here."""
        return WireCapability(
            translator=translator,
            endpoint=self._endpoint,
            authenticator=self._authenticator,
            classify=classify,
            transport=self._transport,
        )

    def look(self, path: str) -> Look:
        """A question that is free."""
        return Look(
            path,
            endpoint=self._endpoint,
            authenticator=self._authenticator,
            classify=classify,
            transport=self._transport,
        )

    def chat(self, translator: ChatTranslator) -> WireChat:
        """Chat served here."""
        return WireChat(
            translator=translator,
            endpoint=self._endpoint,
            authenticator=self._authenticator,
            classify=classify,
            transport=self._transport,
        )


class PlacedCapability(Generic[CallT, ResultT]):
    """One operation, sent to Vertex AI or to the Gemini API by what the target says."""

    def __init__(
        self, gemini: WireCapability[CallT, ResultT], vertex: WireCapability[CallT, ResultT]
    ) -> None:
        self.max_batch = gemini.max_batch
        # A token may be fetched first, by other hands than the transport's deadline.
        self.keeps_deadline = False
        self._gemini = gemini
        self._vertex = vertex

    def prepare(self, call: CallT, target: Target) -> Prepared:
        """Translate; raises `CallerError` for what the target cannot take."""
        return self._at(target).prepare(call, target)

    async def execute(self, prepared: Prepared, context: Context) -> ResultT:
        """Send once and read the answer; raises `UpstreamError`."""
        return await self._at(prepared.target).execute(prepared, context)

    def _at(self, target: Target) -> WireCapability[CallT, ResultT]:
        return self._vertex if on_vertex(target) else self._gemini


class PlacedChat(PlacedCapability[ChatCall, ChatResult]):
    """Chat at one of two places, streamed too."""

    def __init__(self, gemini: WireChat, vertex: WireChat) -> None:
        super().__init__(gemini, vertex)
        self._chats = (gemini, vertex)

    def stream(self, prepared: Prepared, context: Context) -> AsyncGenerator[ChatEvent | ChatResult, None]:
        """Events as they come and, last, the whole result."""
        return self._chats[on_vertex(prepared.target)].stream(prepared, context)


def build(  # noqa: PLR0913 - one keyword for each setting
    *,
    transport: Transport,
    name: str = KIND,
    base_url: str | None = None,
    vertex_base_url: str | None = None,
    headers: Headers = (),
    options: Mapping[str, Any] | None = None,
    facts: Iterable[Mapping[str, Any]] = (),
    credential: Credential | None = None,
    vertex_credential: Credential | None = None,
    token_url: str = TOKEN_URL,
    pass_media_urls: bool = False,
) -> Provider:
    """The row.

    `options` may hold `api_version` (default v1beta), `project` (default: that of the account), `location` (default us-central1),
    `vertex_api_version` (default v1beta1) and `use_vertex`, which sends everything to Vertex AI; so does a Google Cloud credential
    without an API key. `credential` is the operator's API key, `vertex_credential` a service account or an access token (see
    `vertex.read_credentials_file`). `facts` are an operator's rows of model facts, in the form of `models.toml`, behind those that
    are shipped.
    """
    chosen = _options(options, credential, vertex_credential)
    tokens = TokenSource(transport, token_url=token_url)
    gemini = _Place(
        Endpoint(base_url=base_url or BASE_URL, headers=headers, options=chosen),
        GeminiAuth(tokens),
        transport,
    )
    vertex = _Place(
        Endpoint(base_url=vertex_base_url or _vertex_url(chosen), headers=headers, options=chosen),
        VertexAuth(tokens, own=vertex_credential, own_key=credential),
        transport,
    )
    chat, embedding, transcription = (
        GoogleChatTranslator(),
        GoogleEmbeddingTranslator(),
        GoogleTranscriptionTranslator(),
    )
    table = load_facts(__package__, facts)
    return Provider(
        name=name,
        kind=KIND,
        chat=PlacedChat(gemini.chat(chat), vertex.chat(chat)),
        embedding=PlacedCapability(gemini.capability(embedding), vertex.capability(embedding)),
        transcription=PlacedCapability(gemini.capability(transcription), vertex.capability(transcription)),
        operations=OPERATIONS,
        facts=_with_batches(table.facts, name, chosen),
        names=table.names,
        # Vertex AI has no such list that every account may read.
        look=None
        if chosen.get("use_vertex")
        else gemini.look(f"/{chosen.get('api_version') or GEMINI_VERSION}/models"),
        credential=credential or vertex_credential,
        address=" ".join((base_url or BASE_URL, vertex_base_url or _vertex_url(chosen))),
        pass_media_urls=pass_media_urls,
        options=chosen,
    )


def _options(
    options: Mapping[str, Any] | None, key: Credential | None, account: Credential | None
) -> dict[str, Any]:
    """The options as given, and what follows from the credentials: the project, and whether Vertex AI is used for all or at all."""
    chosen = {name: value for name, value in (options or {}).items() if value is not None}
    project = find_project(account)
    if project is not None:
        chosen.setdefault("project", project)
    if key is None and account is not None:
        chosen["use_vertex"] = True
    chosen["vertex_configured"] = account is not None and bool(chosen.get("project"))
    return chosen


def _vertex_url(options: Mapping[str, Any]) -> str:
    return google_vertex_url(str(options.get("location") or DEFAULT_LOCATION))


def _with_batches(
    table: Callable[[str], Facts], name: str, options: Mapping[str, Any]
) -> Callable[[str], Facts]:
    """Facts that also say how many items an embedding call carries (`max_batch`) where Vertex AI takes fewer than the Gemini API."""

    def facts(model: str) -> Facts:
        known = table(model)
        target = Target(provider=name, model=model, facts=known, options=options)
        if not options.get("project") or not on_vertex(target):
            return known
        return {**known, "max_batch": vertex_batch(target)}

    return facts
