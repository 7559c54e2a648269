"""Recordings that are longer than a model takes are refused before they are sent, by what their headers say."""

from collections.abc import Iterable

from inferway.errors import BadRequest
from inferway.media.probe import find_duration_ms
from inferway.pipeline.plan import Route
from inferway.types import Media


def require_length(recordings: Iterable[Media], routes: tuple[Route, ...]) -> None:
    """Raises `BadRequest` (code audio_too_long) for a recording above the fact `audio_s_max` of any route's model.

    A length that the headers do not tell is left to the provider.
    """
    limits = [
        (route.target.facts["audio_s_max"], route) for route in routes if "audio_s_max" in route.target.facts
    ]
    if not limits:
        return
    limit_s, route = min(limits, key=lambda each: float(each[0]))
    for recording in recordings:
        if recording.data is None and recording.base64 is None:
            continue
        told_ms = find_duration_ms(recording.as_bytes(), recording.mime or "")
        if told_ms is not None and told_ms > limit_s * 1000:
            raise BadRequest(
                f"{route.target.provider} {route.target.model} transcribes recordings of at most {limit_s:g} seconds; "
                f"this one has {told_ms / 1000:.0f}",
                code="audio_too_long",
                details={"limit_seconds": limit_s, "seconds": told_ms / 1000},
            )
