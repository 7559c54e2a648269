"""Renders answers and errors: the one place that knows how they look on the wire."""

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import msgspec

from inferway.errors import GatewayError
from inferway.pipeline.answer import error_body, worth_repeating
from inferway.providers.base import Timing
from inferway.types import Standing

Header = tuple[bytes, bytes]

_encoder = msgspec.json.Encoder()
_JSON: Header = (b"content-type", b"application/json")
_NOSNIFF: Header = (b"x-content-type-options", b"nosniff")
_DOT = tuple([b".%02d" % hundredths for hundredths in range(100)])
_LONGEST_HINT_S = 10.0**9
_RETRY_AFTER_S = 1.0
"""The hint of an error that has none: most overloads and outages outlast a second, and clients back off from there."""


@lru_cache(1024)
def digits(number: int) -> bytes:
    """A whole number as it is written; headers say the same few again and again."""
    return b"%d" % number


def encode(value: object) -> bytes:
    """A value as JSON bytes."""
    return _encoder.encode(value)


def json_headers(body: bytes, request_id: str, timing: Timing | None = None) -> list[Header]:
    """The headers of a JSON answer."""
    headers = [
        _JSON,
        (b"content-length", digits(len(body))),
        (b"x-request-id", request_id.encode("ascii")),
        _NOSNIFF,
    ]
    if timing is not None:
        headers.append(server_timing(timing))
    return headers


def standing_headers(standing: Standing | None) -> tuple[Header, ...]:
    """How the caller stands with its limit: how many calls, how many left now, all again when (unix time), in what window (seconds)."""
    if standing is None:
        return ()
    return (
        (b"x-ratelimit-limit", digits(standing.limit)),
        (b"x-ratelimit-remaining", digits(standing.remaining)),
        (b"x-ratelimit-reset", digits(standing.reset_at)),
        (b"x-ratelimit-window", digits(standing.window_s)),
    )


def server_timing(timing: Timing) -> Header:
    """Where the time went, in milliseconds: in the gateway, and waiting for the upstream (summed over parallel attempts)."""
    # In whole hundredths: formatting a float takes longer than all else here.
    upstream = int(timing.upstream_s * 100_000 + 0.5)
    gateway = int(timing.elapsed_ms() * 100 + 0.5) - upstream
    gateway = gateway if gateway > 0 else 0  # noqa: FURB136 - `max` takes longer
    shown = (digits(gateway // 100), _DOT[gateway % 100], digits(upstream // 100), _DOT[upstream % 100])
    return (b"server-timing", b"gateway;dur=%b%b, upstream;dur=%b%b" % shown)


def envelope(error: GatewayError, request_id: str) -> dict[str, Any]:
    """The error envelope."""
    return {
        "success": False,
        "status": error.status,
        "error": error_body(error),
        "request_id": request_id,
    }


def error_headers(error: GatewayError) -> Iterable[Header]:
    """The headers that an error adds: when to come back, and whether to."""
    if error.status in (429, 503):
        hint_s = _RETRY_AFTER_S if error.retry_after_s is None else error.retry_after_s
        yield (b"retry-after", b"%d" % max(1, math.ceil(min(hint_s, _LONGEST_HINT_S))))
    if error.status in (429, 500, 503) and not worth_repeating(error):
        yield (b"x-should-retry", b"false")
    if error.status == 401:
        yield (b"www-authenticate", b"Bearer")
