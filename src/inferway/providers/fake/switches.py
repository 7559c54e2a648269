"""What the fake provider can be told to do wrong, by its settings, its model's name or `parameters.extra`."""

import asyncio
import math
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct

from inferway.errors import (
    BadRequest,
    ProviderAuth,
    ProviderBadAnswer,
    ProviderFailed,
    ProviderQuota,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimeout,
    ProviderTls,
    ProviderUnreachable,
    UpstreamError,
)
from inferway.providers.base import Context, Target
from inferway.types import FinishReason, Usage

PREFIX = "fake-"

_ERRORS: Mapping[str, type[UpstreamError]] = {
    "refused": ProviderRefused,
    "rate_limited": ProviderRateLimited,
    "auth": ProviderAuth,
    "quota": ProviderQuota,
    "bad_answer": ProviderBadAnswer,
    "tls": ProviderTls,
    "failed": ProviderFailed,
    "unreachable": ProviderUnreachable,
    "timeout": ProviderTimeout,
}
_STATUSES: Mapping[int, type[UpstreamError]] = {
    401: ProviderAuth,
    402: ProviderQuota,
    403: ProviderAuth,
    429: ProviderRateLimited,
}
_WRONG_COUNTS: Mapping[str, int] = {"negative": -7, "huge": 10**15, "zero": 0}


class Switches(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the fake does besides answering.

    `latency_ms` passes before an answer begins and `chunk_ms` before each piece of a stream. `error` is one of refused,
    rate_limited, auth, quota, bad_answer, tls, failed, unreachable, timeout, or an HTTP status from 400 to 599. It strikes at
    the first `error_attempts` upstream attempts of a request (0: at every one), with `retry_after_s` as the hint. `cut_after`
    ends an answer after so many pieces: with the error when there is one, else as a connection that is lost. `usage` reports
    nothing, negative or absurd counts, or zeros. `finish` is the reason given for the end, `text` the exact answer of a chat,
    `dimensions` the length of a vector.
    """

    latency_ms: float = 0.0
    chunk_ms: float = 0.0
    error: str | int | None = None
    error_attempts: int = 0
    retry_after_s: float | None = None
    cut_after: int | None = None
    usage: Literal["right", "missing", "negative", "huge", "zero"] = "right"
    finish: FinishReason | None = None
    text: str | None = None
    dimensions: int = 64

    def __post_init__(self) -> None:
        if self.error is not None and _find_error(self.error) is None:
            raise ValueError(f"`error` is one of {', '.join(_ERRORS)}, or a status from 400 to 599")
        if not 1 <= self.dimensions <= 4_096:
            raise ValueError("`dimensions` is from 1 to 4096")
        waits = (self.latency_ms, self.chunk_ms, self.retry_after_s or 0.0)
        if not all(math.isfinite(wait) and wait >= 0 for wait in waits):
            raise ValueError("times are finite and not negative")

    def failure(self) -> UpstreamError:
        """The error that was asked for."""
        kind = None if self.error is None else _find_error(self.error)
        if self.error is None or kind is None:
            return ProviderBadAnswer("The fake provider cut its answer, as it was told to.")
        said: dict[str, Any] = {"message": "a fake error, as asked for"}
        if str(self.error).isdecimal():
            said["status"] = int(self.error)
        return kind(
            f"The fake provider answers with the error {str(self.error)!r}, as it was told to.",
            details={"provider_error": said},
            retry_after_s=self.retry_after_s,
        )

    def strikes(self, context: Context) -> bool:
        """Whether the error strikes at this attempt."""
        return self.error is not None and (
            not self.error_attempts or context.timing.attempts <= self.error_attempts
        )

    def report(self, right: Usage) -> Usage:
        """The usage as it is told: right, or wrong as asked for."""
        if self.usage == "right":
            return right
        if self.usage == "missing":
            return Usage()
        count = _WRONG_COUNTS[self.usage]
        raw = msgspec.json.encode({"input": count, "output": count})
        return Usage(input=count, output=count, source="provider", raw=raw)


def check_options(options: Mapping[str, Any]) -> None:
    """Raises ValueError for options that are no switches."""
    try:
        msgspec.convert(dict(options), Switches)
    except msgspec.ValidationError as error:
        raise ValueError(f"options of the fake provider: {error}") from None


def read_switches(target: Target, extra: Mapping[str, Any] | None, options: Mapping[str, Any]) -> Switches:
    """The switches of one call: `parameters.extra` over the model's name over the provider's options.

    Raises `BadRequest` for a model that is not fake and for a switch that is none.
    """
    name, _, query = target.model.partition("?")
    if not name.startswith(PREFIX):
        message = f"The fake provider's models have names that begin with {PREFIX!r}, such as 'fake-chat'."
        raise BadRequest(message, code="unknown_model")
    chosen = {**options, **dict(parse_qsl(query, keep_blank_values=True)), **(extra or {})}
    try:
        return msgspec.convert(chosen, Switches, strict=False)
    except msgspec.ValidationError as error:
        accepted = ", ".join(Switches.__struct_fields__)
        message = f"A switch of the fake provider is not usable: {error}. There are: {accepted}."
        raise BadRequest(message, code="bad_switch") from None


async def begin(switches: Switches, context: Context) -> None:
    """Count the attempt, let the latency pass and raise the error, unless it strikes later, in the middle of the answer."""
    context.timing.attempts += 1
    await wait(switches.latency_ms, context)
    if switches.cut_after is None and switches.strikes(context):
        raise switches.failure()


async def wait(time_ms: float, context: Context) -> None:
    """Let time pass as an upstream would take it; raises `ProviderTimeout` at the deadline."""
    if not time_ms:
        return
    left_s = context.deadline.remaining_s()
    wait_s = min(time_ms / 1000, left_s)
    await asyncio.sleep(wait_s)
    context.timing.upstream_s += wait_s
    if time_ms / 1000 > left_s:
        raise ProviderTimeout("The fake provider did not answer by the deadline, as it was told to.")


def _find_error(error: str | int) -> type[UpstreamError] | None:
    if not str(error).isdecimal():
        return _ERRORS.get(str(error))
    status = int(error)
    if status in _STATUSES:
        return _STATUSES[status]
    if 500 <= status < 600:
        return ProviderFailed
    return ProviderRefused if 400 <= status < 500 else None
