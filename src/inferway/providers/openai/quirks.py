"""How a server that speaks OpenAI's API differs from OpenAI itself, as data; the known servers are rows of `servers.toml`."""

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from inferway.types import Operation

_MIB = 1024 * 1024


class Quirks(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The differences a translator knows. The defaults describe OpenAI itself."""

    fields: dict[str, str] = msgspec.field(default_factory=lambda: {"max_tokens": "max_completion_tokens"})
    """The wire's name of a common parameter, where it is not the common one."""

    stream_usage: bool = True
    """Whether `stream_options.include_usage` is understood."""

    done_marker: bool = True
    """Whether a stream ends with `data: [DONE]`; without it a finish reason has to be seen."""

    structured: Literal["json_schema", "json_object", "prompt"] = "json_schema"
    """The best way to ask for JSON by a schema."""

    strict_schemas: bool = True
    """Whether `strict` is asked for when the schema allows it; without it the caller's schema is sent as it is."""

    send_reasoning: Literal["never", "tool_calls", "always"] = "never"
    """Which assistant turns carry their reasoning back: none, those with tool calls, or all."""

    reasoning_field: str = "reasoning_content"
    """The message field in which reasoning is sent back."""

    tool_choices: dict[str, str] = {}
    """Other words for `auto`, `none` and `required`."""

    stop_limit: int | None = 4
    """How many stop sequences are taken; None for any number."""

    temperature_limit: float | None = 2.0
    """The highest temperature that is taken."""

    image_types: tuple[str, ...] | None = ("image/png", "image/jpeg", "image/webp", "image/gif")
    """MIME types of images that are taken; None for any."""

    audio_types: dict[str, str] | None = None
    """File-name extensions by MIME type of what can be transcribed; None for OpenAI's."""

    audio_limit_bytes: int | None = 25 * _MIB
    """The largest recording that can be transcribed; None for any."""

    max_batch: int = 2048
    """How many texts one embeddings call takes."""


COMPATIBLE = Quirks(
    fields={},
    strict_schemas=False,
    stop_limit=None,
    image_types=None,
    audio_limit_bytes=None,
)
"""What is assumed of a compatible server that is not known."""


class Server(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A known compatible server. `hosts` are the host names by which it is known whatever its provider is called here."""

    name: str
    base_url: str
    title: str = ""
    hosts: tuple[str, ...] = ()
    key: Literal["required", "optional"] = "required"
    operations: tuple[Operation, ...] = (
        Operation.CHAT,
        Operation.VISION,
        Operation.TEXT_EMBEDDING,
        Operation.TRANSCRIPTION,
    )
    quirks: dict[str, Any] = {}
    facts: tuple[dict[str, Any], ...] = ()
    """Rows of model facts, as in `models.toml`."""


def load_servers() -> tuple[Server, ...]:
    """The servers shipped in `servers.toml`."""
    text = files(__package__).joinpath("servers.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text)["server"], tuple[Server, ...])


def find_server(servers: tuple[Server, ...], name: str, base_url: str | None) -> Server | None:
    """The known server at this address, else the one of this name (a proxy of it, or one's own Ollama on another machine)."""
    host = urlsplit(base_url).hostname if base_url else None
    at_host = (server for server in servers if host in server.hosts)
    return next(at_host, None) or next((server for server in servers if server.name == name), None)


def make_quirks(base: Quirks, *layers: Mapping[str, Any]) -> Quirks:
    """Quirks with layers of changes on top, each a mapping of names; ValueError for an unknown name or a value of the wrong type."""
    merged = msgspec.to_builtins(base)
    for layer in layers:
        merged |= layer
    try:
        return msgspec.convert(merged, Quirks)
    except msgspec.ValidationError as error:
        raise ValueError(f"quirks: {error}") from None
