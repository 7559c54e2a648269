"""The provider rows that the settings ask for."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from inferway.providers.anthropic.row import build as build_anthropic
from inferway.providers.base import Credential, Headers, Provider, Transport
from inferway.providers.fake import build as build_fake
from inferway.providers.google.row import build as build_google
from inferway.providers.google.vertex import read_credentials_file
from inferway.providers.openai.row import build as build_openai
from inferway.settings import ProviderSettings, Settings, SettingsError


def build_rows(settings: Settings, transport: Transport) -> Iterable[Provider]:
    """A row for each provider that is enabled. Raises `SettingsError` when one cannot be made."""
    for name, chosen in settings.providers.items():
        if not chosen.enabled:
            continue
        try:
            yield _row(name, chosen, transport, pass_media_urls=settings.media.pass_urls)
        except ValueError as error:
            raise SettingsError(f"providers.{name}: {error}.") from None


def _row(name: str, chosen: ProviderSettings, transport: Transport, *, pass_media_urls: bool) -> Provider:
    shared: dict[str, Any] = {
        "transport": transport,
        "name": name,
        "base_url": chosen.base_url,
        "headers": _headers(chosen),
        "credential": _credential(chosen),
        "facts": [{"models": [pattern], **facts} for pattern, facts in chosen.models.items()],
        "pass_media_urls": pass_media_urls or chosen.pass_media_urls,
    }
    match chosen.kind:
        case "openai" | "openai_compatible":
            options = {
                "organization": chosen.organization,
                "project": chosen.project,
                "quirks": chosen.quirks,
            }
            return build_openai(**shared, kind=chosen.kind, options=options | chosen.options)
        case "anthropic":
            return build_anthropic(**shared, options={"api_version": chosen.api_version} | chosen.options)
        case "google":
            return build_google(
                **shared | {"credential": _google_key(chosen)},
                vertex_base_url=chosen.vertex_base_url,
                vertex_credential=_vertex_credential(chosen),
                options={
                    "api_version": chosen.api_version,
                    "project": chosen.project,
                    "location": chosen.location,
                    "use_vertex": chosen.use_vertex or None,
                }
                | chosen.options,
            )
        case "fake":
            return build_fake(name=name, options=chosen.options)


def _headers(chosen: ProviderSettings) -> Headers:
    return tuple((name, value.reveal()) for name, value in chosen.headers.items())


def _credential(chosen: ProviderSettings) -> Credential | None:
    if chosen.api_key is not None:
        return Credential(secret=chosen.api_key.reveal())
    if chosen.auth_token is not None:
        return Credential(secret=chosen.auth_token.reveal(), kind="bearer")
    return None


def _google_key(chosen: ProviderSettings) -> Credential | None:
    return None if chosen.api_key is None else Credential(secret=chosen.api_key.reveal())


def _vertex_credential(chosen: ProviderSettings) -> Credential | None:
    if chosen.auth_token is not None:
        return Credential(secret=chosen.auth_token.reveal(), kind="access_token")
    if chosen.credentials_file is None:
        return None
    try:
        return read_credentials_file(Path(chosen.credentials_file).expanduser())
    except ValueError as error:
        raise ValueError(f"credentials_file: {error}") from None
