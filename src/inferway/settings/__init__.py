"""The settings: one frozen value, read once from defaults, a TOML file, the environment and the command line."""

from inferway.settings.content import ContentSettings
from inferway.settings.fields import Description, describe
from inferway.settings.idempotency import IdempotencySettings
from inferway.settings.kinds import Secret, SettingsError
from inferway.settings.media import MediaSettings
from inferway.settings.observe import LogSettings, MetricsSettings, OtelSettings
from inferway.settings.sources import is_colourless, load
from inferway.settings.values import (
    AccessSettings,
    CallSettings,
    ClientSettings,
    DatabaseSettings,
    JournalSettings,
    LimitSettings,
    LocalSettings,
    PriceSettings,
    ProviderSettings,
    ServerSettings,
    Settings,
    UsageSettings,
)

__all__ = [
    "AccessSettings",
    "CallSettings",
    "ClientSettings",
    "ContentSettings",
    "DatabaseSettings",
    "Description",
    "IdempotencySettings",
    "JournalSettings",
    "LimitSettings",
    "LocalSettings",
    "LogSettings",
    "MediaSettings",
    "MetricsSettings",
    "OtelSettings",
    "PriceSettings",
    "ProviderSettings",
    "Secret",
    "ServerSettings",
    "Settings",
    "SettingsError",
    "UsageSettings",
    "describe",
    "is_colourless",
    "load",
]
