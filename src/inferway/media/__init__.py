"""Media of callers: judged, fetched, typed by their own bytes, never decoded here."""

from inferway.media.loader import MediaLoader
from inferway.media.policy import MediaSettings
from inferway.media.resolve import Resolver

__all__ = ["MediaLoader", "MediaSettings", "Resolver"]
