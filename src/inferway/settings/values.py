"""The settings as values: one frozen struct per section, each field with its bounds and what it means."""

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from inferway.settings.content import ContentSettings
from inferway.settings.dashboard import DashboardSettings
from inferway.settings.idempotency import IdempotencySettings
from inferway.settings.kinds import Secret, check_base_url
from inferway.settings.media import MediaSettings
from inferway.settings.observe import LogSettings, MetricsSettings, OtelSettings

_Count = Annotated[int, Meta(ge=0, le=100_000_000)]
_Usd = Annotated[float, Meta(ge=0, le=1e6)]
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class ServerSettings(Struct, frozen=True, kw_only=True):
    """`[server]`: the listening side."""

    host: Annotated[
        str, Meta(min_length=1, description="Address to listen on; 0.0.0.0 for every interface.")
    ] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port to listen on; 0 takes a free one.")] = (
        8080
    )
    workers: Annotated[int, Meta(ge=1, le=64, description="Worker processes.")] = 1
    allowed_hosts: Annotated[
        tuple[str, ...],
        Meta(
            description="Host names a request may be addressed to (`*.example.com` allowed); empty for any."
        ),
    ] = ()
    trusted_proxies: Annotated[
        tuple[str, ...],
        Meta(
            description="Addresses and networks (10.0.0.0/8) of proxies whose X-Forwarded-For says where a request comes from."
        ),
    ] = ()
    body_max_mb: Annotated[
        int, Meta(ge=1, le=1024, description="Largest request body, in MB of 1,048,576 bytes.")
    ] = 32
    headers_max: Annotated[int, Meta(ge=10, le=1000, description="Most header lines in one request.")] = 100
    header_max_kb: Annotated[int, Meta(ge=4, le=256, description="Largest header block, in KB.")] = 32
    header_timeout_s: Annotated[float, Meta(gt=0, le=300, description="Seconds to receive all headers.")] = (
        10.0
    )
    body_timeout_s: Annotated[float, Meta(gt=0, le=3600, description="Seconds to receive a whole body.")] = (
        30.0
    )
    keepalive_timeout_s: Annotated[
        float, Meta(gt=0, le=3600, description="Seconds an idle connection is kept.")
    ] = 5.0
    calls_max: Annotated[
        int,
        Meta(ge=1, le=1_000_000, description="Most calls under way in one worker; further ones get a 503."),
    ] = 4096
    memory_max_mb: Annotated[
        int,
        Meta(
            ge=0,
            le=16_777_216,
            description="Memory of one worker, in MB: at 90 % of it calls get a 503; 0 takes the container's limit, if there is one.",
        ),
    ] = 0
    stop_wait_s: Annotated[
        float,
        Meta(ge=0, le=300, description="Seconds to go on accepting after a stop signal, not ready already."),
    ] = 5.0
    stop_grace_s: Annotated[
        float, Meta(ge=0, le=3600, description="Seconds that running calls get to finish after that.")
    ] = 25.0

    def __post_init__(self) -> None:
        for network in self.trusted_proxies:
            ipaddress.ip_network(network, strict=False)


class CallSettings(Struct, frozen=True, kw_only=True):
    """`[calls]`: the life of one call."""

    timeout_s: Annotated[
        float, Meta(gt=0, le=3600, description="Total deadline of a call; a caller may ask for less.")
    ] = 120.0
    connect_timeout_s: Annotated[
        float, Meta(gt=0, le=60, description="Seconds to connect to a provider, TLS included.")
    ] = 5.0
    attempts: Annotated[
        int, Meta(ge=1, le=10, description="Most upstream attempts of one call, the first included.")
    ] = 3
    retry_share: Annotated[
        float,
        Meta(ge=0, le=1, description="Part of a provider's calls under way that may be repetitions at once."),
    ] = 0.2
    retries_least: Annotated[
        int,
        Meta(ge=0, le=1000, description="Repetitions at once that are allowed however few calls there are."),
    ] = 3
    breaker_failures: Annotated[
        int,
        Meta(
            ge=0,
            le=1000,
            description="Failures in a row after which a provider is left alone under one credential; 0 for never.",
        ),
    ] = 5
    breaker_open_s: Annotated[
        float,
        Meta(gt=0, le=3600, description="Seconds for which it is; as much more after each probe that fails."),
    ] = 30.0
    breaker_longest_s: Annotated[
        float, Meta(gt=0, le=86_400, description="Most seconds until the next probe.")
    ] = 300.0
    hedge_after_ms: Annotated[
        float,
        Meta(
            ge=0,
            le=3_600_000,
            description="Milliseconds after which a second call goes out beside a slow one; 0 for never.",
        ),
    ] = 0.0
    hedge_share: Annotated[
        float, Meta(gt=0, le=0.5, description="Most of such calls that may get a second one.")
    ] = 0.05
    coalesce: Annotated[
        bool, Meta(description="Let the same embedding calls in flight share one call of the provider.")
    ] = True
    prompt_concurrency: Annotated[
        int, Meta(ge=1, le=256, description="Prompts of one call that run side by side.")
    ] = 8
    prompts_max: Annotated[int, Meta(ge=1, le=50_000, description="Most prompts in one call.")] = 256
    texts_max: Annotated[int, Meta(ge=1, le=50_000, description="Most texts in one embedding call.")] = 10_000
    answer_max_mb: Annotated[
        int, Meta(ge=1, le=1024, description="Largest answer read from a provider, in MB.")
    ] = 48


class ProviderSettings(Struct, frozen=True, kw_only=True):
    """`[providers.NAME]`: one provider. `openai`, `anthropic` and `google` exist without a table."""

    kind: Annotated[
        Literal["openai", "anthropic", "google", "openai_compatible", "fake"],
        Meta(
            description="The wire it speaks. A name of your own is `openai_compatible` unless it says otherwise."
        ),
    ] = "openai_compatible"
    enabled: Annotated[
        bool, Meta(description="Whether it may be called; `fake` is off unless this is true.")
    ] = True
    base_url: Annotated[
        str | None,
        Meta(
            description="Where it lives; with the version for OpenAI-like wires (`https://host/v1`), without it elsewhere."
        ),
    ] = None
    api_key: Annotated[Secret | None, Meta(description="Its key.")] = None
    api_key_env: Annotated[
        str | None,
        Meta(description="Name of the environment variable that holds its key, instead of `api_key`."),
    ] = None
    auth_token: Annotated[
        Secret | None,
        Meta(description="A bearer token instead of a key (Anthropic, Vertex AI access tokens)."),
    ] = None
    headers: Annotated[
        dict[str, Secret],
        Meta(description="Headers added to each request; their values are treated as secrets."),
    ] = {}
    api_version: Annotated[
        str | None, Meta(description="Version of the wire (Google: `v1beta`; Anthropic: a date).")
    ] = None
    organization: Annotated[str | None, Meta(description="OpenAI organization id.")] = None
    project: Annotated[str | None, Meta(description="OpenAI project id, or Google Cloud project.")] = None
    location: Annotated[str | None, Meta(description="Google Cloud location, such as us-central1.")] = None
    vertex_base_url: Annotated[str | None, Meta(description="Vertex AI's address, if not Google's own.")] = (
        None
    )
    credentials_file: Annotated[
        str | None, Meta(description="Google service-account file (JSON) for Vertex AI.")
    ] = None
    use_vertex: Annotated[bool, Meta(description="Send all Google calls to Vertex AI.")] = False
    pass_media_urls: Annotated[
        bool, Meta(description="Hand media URLs to the provider to fetch instead of fetching them here.")
    ] = False
    quirks: Annotated[
        dict[str, Any], Meta(description="Known differences of an OpenAI-compatible server, by name.")
    ] = {}
    options: Annotated[
        dict[str, Any], Meta(description="Switches of the kind, such as the fake's latency.")
    ] = {}
    models: Annotated[
        dict[str, Any],
        Meta(
            description='Facts of models by name pattern, over the shipped: `"my-*" = {temperature = false}`.'
        ),
    ] = {}

    def __post_init__(self) -> None:
        for name in ("base_url", "vertex_base_url"):
            check_base_url(name, getattr(self, name))
        for header, value in self.headers.items():
            if not _HEADER_NAME.fullmatch(header) or not _HEADER_VALUE.fullmatch(value.reveal()):
                raise ValueError(f"headers: {header!r} is not a header that can be sent")
        for pattern, facts in self.models.items():
            if not isinstance(facts, dict):
                raise ValueError(  # noqa: TRY004 - a ValueError becomes the operator's line
                    f"models: {pattern!r} needs a table of facts, such as {{temperature = false}}"
                )


class LocalSettings(Struct, frozen=True, kw_only=True):
    """`[local]`: the embedded models."""

    enabled: Annotated[bool, Meta(description="Whether the provider `local` exists.")] = True
    models_dir: Annotated[
        str | None, Meta(description="Folder of the model files; by default `models` in the data folder.")
    ] = None
    pull_defaults: Annotated[
        bool, Meta(description="Fetch the default models (about 200 MB) in the background at start.")
    ] = True
    memory_mb: Annotated[
        int, Meta(ge=128, le=1_048_576, description="Memory that all loaded models together may take, in MB.")
    ] = 2048
    cold_wait_s: Annotated[
        float,
        Meta(ge=0, le=600, description="Seconds a call waits for a model to load before it gets a 503."),
    ] = 25.0
    idle_s: Annotated[
        float, Meta(ge=1, le=604_800, description="Seconds without a call after which a model is unloaded.")
    ] = 900.0
    threads: Annotated[
        int,
        Meta(
            ge=0, le=256, description="Threads of an engine; 0 for one per core, and half as many for chat."
        ),
    ] = 0
    python: Annotated[
        str | None, Meta(description="Interpreter that runs the engines; by default this one.")
    ] = None


class AccessSettings(Struct, frozen=True, kw_only=True):
    """`[access]`: how keys are looked up."""

    cached_keys: Annotated[
        int, Meta(ge=16, le=10_000_000, description="Keys kept in memory by a worker.")
    ] = 10_000
    refresh_s: Annotated[
        float, Meta(gt=0, le=5, description="Seconds between looks for changes made by other processes.")
    ] = 1.0
    outage_grace_s: Annotated[
        float,
        Meta(ge=0, le=86_400, description="Seconds a known key goes on working while the database is away."),
    ] = 900.0
    secrets_key: Annotated[
        Secret | None,
        Meta(
            description=(
                "The key that secrets are encrypted under (base64 of 32 bytes) instead of one in a file; behind commas older ones, which "
                "only open."
            )
        ),
    ] = None
    bad_keys_per_minute: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000,
            description="Bad keys that one address may try in a minute once its burst is used up; further ones get a 429; 0: no limit.",
        ),
    ] = 10
    bad_keys_burst: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000,
            description="Bad keys that an address may try at once, before that limit holds.",
        ),
    ] = 300
    secrets_key_file: Annotated[
        str | None,
        Meta(description="File of the keys that secrets are encrypted under; by default in the data folder."),
    ] = None


class DatabaseSettings(Struct, frozen=True, kw_only=True):
    """`[database]`: where organizations, keys and usage are kept."""

    url: Annotated[
        Secret | None,
        Meta(
            description=(
                "A PostgreSQL database (postgresql://user:password@host:port/name) that several machines share; by default a file in "
                "the data folder (INFERWAY_DATABASE_URL too)."
            )
        ),
    ] = None
    connections: Annotated[
        int, Meta(ge=1, le=100, description="Connections that one worker may have to PostgreSQL.")
    ] = 4
    timeout_s: Annotated[
        float,
        Meta(gt=0, le=30, description="Seconds that PostgreSQL may take to answer before it counts as away."),
    ] = 3.0


class LimitSettings(Struct, frozen=True, kw_only=True):
    """`[limits]`: how much a caller may use. What is not set is the tier's; 0 turns a limit off, and its headers with it."""

    tier: Annotated[
        Literal["free", "pro", "enterprise"],
        Meta(
            description=(
                "Where the limits start: free 60 a minute, 10 a second, 5 at once, burst 20; pro 600, 100, 50, 200; "
                "enterprise 6,000, 200, 200, 400."
            )
        ),
    ] = "enterprise"
    per_minute: Annotated[
        _Count | None, Meta(description="Calls of one key per minute; by default the tier's, 0 for no limit.")
    ] = None
    burst: Annotated[
        _Count | None,
        Meta(
            description="Calls of one key that may come at once; by default the tier's, 0 for a minute's worth."
        ),
    ] = None
    per_second: Annotated[
        _Count | None, Meta(description="Calls of one key per second; by default the tier's, 0 for no limit.")
    ] = None
    concurrent: Annotated[
        _Count | None,
        Meta(description="Calls of one organization at once; by default the tier's, 0 for no limit."),
    ] = None
    tokens_per_minute: Annotated[
        int,
        Meta(ge=0, le=100_000_000, description="Tokens of one key per minute, in and out; 0 for no limit."),
    ] = 0
    max_output_tokens: Annotated[
        Annotated[int, Meta(ge=1, le=10_000_000)] | None,
        Meta(
            description=(
                "Tokens of an answer that are reserved, and sent as `max_tokens`, where tokens or money are limited and the call "
                "names none; by default the model's maximum, or 8,192 where that is not known."
            ),
        ),
    ] = None
    url: Annotated[
        Secret | None,
        Meta(
            description="A Valkey or Redis server (redis://…, rediss://…, unix://…) on which several machines count together."
        ),
    ] = None
    replicas: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000,
            description="Machines that count there; while it is away each allows this part of a limit.",
        ),
    ] = 2


class UsageSettings(Struct, frozen=True, kw_only=True):
    """`[usage]`: how long what was used is kept. What is older is deleted in the background, in short steps."""

    calls_days: Annotated[
        int, Meta(ge=0, le=36_500, description="Days that the row of each call is kept; 0 for good.")
    ] = 0
    hourly_days: Annotated[
        int, Meta(ge=0, le=36_500, description="Days that sums by hour are kept; 0 for good.")
    ] = 400
    daily_days: Annotated[
        int, Meta(ge=0, le=36_500, description="Days that sums by day are kept; 0 for good.")
    ] = 0


class JournalSettings(Struct, frozen=True, kw_only=True):
    """`[journal]`: where usage is written before an answer leaves."""

    durability: Annotated[
        Literal["process", "power"],
        Meta(
            description="`process` survives a killed process; `power` waits for the disk too (group fsync)."
        ),
    ] = "process"
    file_mb: Annotated[
        int, Meta(ge=1, le=1024, description="Size at which a journal file is rotated, in MB.")
    ] = 16
    drain_s: Annotated[
        float,
        Meta(
            gt=0,
            le=60,
            description="Seconds between moves of settled records to the database, at most: many that wait are moved sooner.",
        ),
    ] = 1.0
    backlog_max_mb: Annotated[
        int,
        Meta(
            ge=8,
            le=1_048_576,
            description="Undrained records a worker may hold, in MB; above it calls get a 503.",
        ),
    ] = 1024


class PriceSettings(Struct, frozen=True, kw_only=True):
    """`[prices."provider/model"]`: your own price, in US dollars per million tokens unless said otherwise."""

    input: Annotated[_Usd | None, Meta(description="Input tokens, per million.")] = None
    output: Annotated[_Usd | None, Meta(description="Output tokens, reasoning included, per million.")] = None
    cached_read: Annotated[
        _Usd | None, Meta(description="Input tokens read from the provider's cache, per million.")
    ] = None
    cache_write: Annotated[
        _Usd | None, Meta(description="Input tokens written to the provider's cache, per million.")
    ] = None
    audio_input: Annotated[_Usd | None, Meta(description="Audio input tokens, per million.")] = None
    audio_minute: Annotated[_Usd | None, Meta(description="Audio billed by time, per minute.")] = None
    image: Annotated[_Usd | None, Meta(description="Each image.")] = None
    request: Annotated[_Usd | None, Meta(description="Each call.")] = None


class ClientSettings(Struct, frozen=True, kw_only=True):
    """`[client]`: what the command line uses to call a server."""

    url: Annotated[
        str | None,
        Meta(description="The server to call; by default the one on this machine (INFERWAY_URL too)."),
    ] = None
    api_key: Annotated[
        Secret | None,
        Meta(description="The key to call it with; by default the data folder's (INFERWAY_API_KEY too)."),
    ] = None
    namespace: Annotated[
        str | None, Meta(description="The namespace to call it in (INFERWAY_NAMESPACE too).")
    ] = None

    def __post_init__(self) -> None:
        check_base_url("url", self.url)


class Settings(Struct, frozen=True, kw_only=True):
    """Everything that can be set. `config_file` is the file that was read, if there was one."""

    data_dir: Annotated[
        Path,
        Meta(description="Folder of the database, the journal, the models and the developer's credentials."),
    ]
    server: ServerSettings = ServerSettings()
    calls: CallSettings = CallSettings()
    providers: dict[str, ProviderSettings] = {}
    local: LocalSettings = LocalSettings()
    media: MediaSettings = MediaSettings()
    access: AccessSettings = AccessSettings()
    database: DatabaseSettings = DatabaseSettings()
    limits: LimitSettings = LimitSettings()
    journal: JournalSettings = JournalSettings()
    usage: UsageSettings = UsageSettings()
    idempotency: IdempotencySettings = IdempotencySettings()
    content: ContentSettings = ContentSettings()
    dashboard: DashboardSettings = DashboardSettings()
    log: LogSettings = LogSettings()
    metrics: MetricsSettings = MetricsSettings()
    otel: OtelSettings = OtelSettings()
    prices: dict[str, PriceSettings] = {}
    client: ClientSettings = ClientSettings()
    config_file: Path | None = None

    @property
    def models_dir(self) -> Path:
        """The folder of the model files."""
        return Path(self.local.models_dir).expanduser() if self.local.models_dir else self.data_dir / "models"

    @property
    def secrets_key(self) -> str | None:
        """The keys that secrets are encrypted under, if they are given and not in a file."""
        return None if self.access.secrets_key is None else self.access.secrets_key.reveal()

    @property
    def secrets_key_file(self) -> Path:
        """The file of the keys that secrets are encrypted under."""
        chosen = self.access.secrets_key_file
        return Path(chosen).expanduser() if chosen else self.data_dir / "secrets.key"
