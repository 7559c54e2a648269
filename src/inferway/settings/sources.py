"""Reads the settings from their sources, and is the only reader of the environment.

Weakest first: defaults, the providers' standard variables (`OPENAI_API_KEY`, …), the settings file, `INFERWAY_*` variables, flags.
The standard variables rank below the file because they are often exported for other tools: what names Inferway wins.
"""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from inferway.settings.fields import ENV_PREFIX, EnvText, Found, bind, take_apart
from inferway.settings.kinds import SettingsError
from inferway.settings.values import ProviderSettings, Settings

FILE_NAME = "inferway.toml"

_PROVIDER_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_BUILT_IN = {"openai": "openai", "anthropic": "anthropic", "google": "google", "fake": "fake"}
_RESERVED = {
    "local": "the embedded models are set in [local]",
    "gemini": "it is another name of google: use [providers.google]",
    "plugin": "the name is used for plugins: choose another",
}
_STANDARD = (
    ("OPENAI_API_KEY", "openai", "api_key"),
    ("OPENAI_BASE_URL", "openai", "base_url"),
    ("OPENAI_ORG_ID", "openai", "organization"),
    ("OPENAI_PROJECT_ID", "openai", "project"),
    ("OPENAI_CUSTOM_HEADERS", "openai", "headers"),
    ("ANTHROPIC_API_KEY", "anthropic", "api_key"),
    ("ANTHROPIC_AUTH_TOKEN", "anthropic", "auth_token"),
    ("ANTHROPIC_BASE_URL", "anthropic", "base_url"),
    ("ANTHROPIC_CUSTOM_HEADERS", "anthropic", "headers"),
    ("GEMINI_API_KEY", "google", "api_key"),
    (
        "GOOGLE_API_KEY",
        "google",
        "api_key",
    ),  # Stands after GEMINI_API_KEY and so wins, as in Google's own SDK.
    ("GOOGLE_GEMINI_BASE_URL", "google", "base_url"),
    ("GOOGLE_GENAI_API_VERSION", "google", "api_version"),
    ("GOOGLE_CLOUD_PROJECT", "google", "project"),
    ("GOOGLE_CLOUD_LOCATION", "google", "location"),
    ("GOOGLE_GENAI_USE_VERTEXAI", "google", "use_vertex"),
    ("GOOGLE_VERTEX_BASE_URL", "google", "vertex_base_url"),
    ("GOOGLE_APPLICATION_CREDENTIALS", "google", "credentials_file"),
)
_STANDARD_OTEL = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "endpoint",
    "OTEL_EXPORTER_OTLP_HEADERS": "headers",
    "OTEL_EXPORTER_OTLP_CERTIFICATE": "ca_file",
    "OTEL_SERVICE_NAME": "service_name",
}
_SHORT_NAMES = {
    "INFERWAY_DATABASE_URL": "database.url",
    "INFERWAY_URL": "client.url",
    "INFERWAY_API_KEY": "client.api_key",
    "INFERWAY_NAMESPACE": "client.namespace",
}


def is_colourless(environ: Mapping[str, str] | None = None) -> bool:
    """Whether whoever runs this wants no colours on a terminal either (NO_COLOR, with any value but the empty one)."""
    return bool((os.environ if environ is None else environ).get("NO_COLOR"))


def load(
    *,
    config: Path | None = None,
    overrides: Mapping[str, object] | None = None,
    table: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Reads all sources and returns the settings; `overrides` are flags by dotted name (None: not given).

    `table` is what a program gives, in the shape of the file; only flags are nearer.

    The file is `config`, else INFERWAY_CONFIG, else `inferway.toml` in the data folder if there is one.
    Raises `SettingsError` for an unknown, mistyped or impossible setting and for an unreadable file.
    """
    env = os.environ if environ is None else environ
    found: Found = {("data_dir",): (_default_data_dir(env), "the default")}
    found |= _built_in_providers() | _read_standard(env)
    given = take_apart(dict(table or {}), "settings")
    nearer = _read_environment(env) | given | _read_flags(overrides or {})
    folder = _folder(*(found | nearer)[("data_dir",)])
    file = _named_file(config, env)
    if file is None and (folder / FILE_NAME).exists():
        file = folder / FILE_NAME
        found |= _read_file(file, beside_data=True)
    elif file is not None:
        found |= _read_file(file, beside_data=False)
    found |= nearer
    _resolve_key_variables(found, env)
    data_dir = _folder(*found.pop(("data_dir",)))
    settings: Settings = bind(Settings, found, data_dir=data_dir, config_file=file)
    _check_providers(settings.providers)
    return settings


def _read_environment(env: Mapping[str, str]) -> Found:
    """Every `INFERWAY_*` variable; an empty one counts as not set, as compose files leave them."""
    found: Found = {}
    for variable in sorted(env):
        if (
            not variable.startswith(ENV_PREFIX)
            or not env[variable]
            or _is_no_setting(variable, env[variable])
        ):
            continue
        dotted = _SHORT_NAMES.get(variable) or variable.removeprefix(ENV_PREFIX).lower().replace("__", ".")
        table: Any = EnvText(env[variable])
        for part in reversed(dotted.split(".")):
            table = {part: table}
        found |= take_apart(table, variable)
    return found


def _is_no_setting(variable: str, value: str) -> bool:
    """What finds the file, what belongs to tests, and what Kubernetes sets for a service named `inferway`."""
    if variable == f"{ENV_PREFIX}CONFIG" or variable.startswith(
        (f"{ENV_PREFIX}TEST_", f"{ENV_PREFIX}SERVICE_")
    ):
        return True
    is_link = variable == f"{ENV_PREFIX}PORT" and value.startswith(("tcp://", "udp://", "sctp://"))
    return is_link or re.match(rf"{ENV_PREFIX}PORT_\d+_", variable) is not None


def _read_flags(overrides: Mapping[str, object]) -> Found:
    given = {tuple(name.split(".")): value for name, value in overrides.items() if value is not None}
    return {path: (value, "--" + path[-1].replace("_", "-")) for path, value in given.items()}


def _read_standard(env: Mapping[str, str]) -> Found:
    found: Found = {}
    for variable, provider, field in _STANDARD:
        if not env.get(variable):
            continue
        value: Any = EnvText(env[variable])
        if field == "headers":
            value = dict(_header_lines(variable, env[variable]))
        found["providers", provider, field] = (value, variable)
    return found | _read_standard_otel(env)


def _read_standard_otel(env: Mapping[str, str]) -> Found:
    """What OpenTelemetry's own variables say, unless they are meant for a wire that is not spoken here."""
    if env.get("OTEL_SDK_DISABLED", "").lower() == "true" or env.get("OTEL_EXPORTER_OTLP_PROTOCOL") == "grpc":
        return {}
    found: Found = {}
    for variable, field in _STANDARD_OTEL.items():
        if env.get(variable):
            value: Any = EnvText(env[variable])
            if field == "headers":
                value = dict(_otel_headers(variable, env[variable]))
            found["otel", field] = (value, variable)
    return found


def _otel_headers(variable: str, text: str) -> Iterator[tuple[str, str]]:
    """`name=value` pairs with commas between them, percent-encoded (W3C baggage)."""
    for pair in filter(None, map(str.strip, text.split(","))):
        name, sign, value = pair.partition("=")
        if not sign:
            raise SettingsError(f"{variable}: expected name=value, with commas between them.")
        yield unquote(name.strip()), unquote(value.strip())


def _header_lines(variable: str, text: str) -> Iterator[tuple[str, str]]:
    for line in filter(None, map(str.strip, text.splitlines())):
        name, colon, value = line.partition(":")
        if not colon:
            raise SettingsError(f"{variable}: expected one `Name: value` per line.")
        yield name.strip(), value.strip()


def _built_in_providers() -> Found:
    """The providers that exist without a table; the fake one exists too, and is off."""
    found: Found = {("providers", name, "kind"): (kind, "the default") for name, kind in _BUILT_IN.items()}
    found["providers", "fake", "enabled"] = (False, "the default")
    return found


def _named_file(config: Path | None, env: Mapping[str, str]) -> Path | None:
    named = config or env.get(f"{ENV_PREFIX}CONFIG") or None
    return Path(named).expanduser().absolute() if named else None


def _read_file(file: Path, *, beside_data: bool) -> Found:
    try:
        table = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        reason = (error.strerror or "unreadable").lower()
        hint = "Name a readable settings file with --config or INFERWAY_CONFIG."
        raise SettingsError(f"{file}: {reason}. {hint}") from None
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise SettingsError(f"{file}: this is not TOML ({reason}). Mend it there.") from None
    if beside_data and "data_dir" in table:
        raise SettingsError(
            f"{file}: data_dir cannot be set in the file that is found through it. Take it out, or use --data-dir."
        )
    return take_apart(table, str(file))


def _default_data_dir(env: Mapping[str, str]) -> str:
    return str(Path(env.get("XDG_DATA_HOME") or "~/.local/share") / "inferway")


def _folder(value: object, origin: str) -> Path:
    if not isinstance(value, str | Path) or not str(value) or "\0" in str(value):
        raise SettingsError(f"{origin}: data_dir: expected the path of a folder.")
    try:
        return Path(value).expanduser().absolute()
    except RuntimeError:
        reason = "there is no home folder here. Give a path with --data-dir or INFERWAY_DATA_DIR."
        raise SettingsError(f"{origin}: data_dir: {reason}") from None


def _resolve_key_variables(found: Found, env: Mapping[str, str]) -> None:
    """Reads the variables that `api_key_env` names, so that nothing else needs the environment."""
    for path, (variable, origin) in list(found.items()):
        if (
            path[0] != "providers"
            or path[-1] != "api_key_env"
            or found.get((*path[:2], "enabled"), (True,))[0] is False
        ):
            continue
        if not isinstance(variable, str) or not env.get(variable):
            raise SettingsError(
                f"{origin}: {'.'.join(path)}: the variable {variable} is not set. Export it, or take the line out."
            )
        found[(*path[:2], "api_key")] = (EnvText(env[variable]), variable)


def _check_providers(providers: Mapping[str, ProviderSettings]) -> None:
    for name, provider in providers.items():
        where = f"providers.{name}"
        if name in _RESERVED:
            raise SettingsError(f"{where}: {_RESERVED[name]}.")
        if not _PROVIDER_NAME.fullmatch(name):
            raise SettingsError(f"{where}: a provider's name has only lower-case letters, digits, - and _.")
        if _BUILT_IN.get(name, provider.kind) != provider.kind:
            raise SettingsError(
                f"{where}: its kind is {_BUILT_IN[name]}. Give the other provider its own name."
            )
