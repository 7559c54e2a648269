"""What OpenAI's error answers mean, as a table; compatible servers are read by the same code.

Source: OpenAI API guide, error codes; recorded answers.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from inferway.errors import (
    ProviderAuth,
    ProviderFailed,
    ProviderQuota,
    ProviderRateLimited,
    ProviderRefused,
    UpstreamError,
)
from inferway.providers.base import WireResponse
from inferway.providers.errors import ErrorRule, ErrorRules, ProviderSaid, make_error
from inferway.providers.retry_after import find_retry_after_s

ERROR_RULES: ErrorRules = (
    ErrorRule(
        situation="the key is wrong, revoked or missing",
        statuses=(400, 401, 403),
        words=("invalid_api_key", "invalid_authentication", "authentication_error"),
        error=ProviderAuth,
    ),
    ErrorRule(situation="the credentials are refused", statuses=(401,), error=ProviderAuth),
    ErrorRule(
        situation="the account is out of money or of quota",
        statuses=(400, 402, 403, 429),
        words=(
            "insufficient_quota",
            "billing_hard_limit_reached",
            "billing_not_active",
            "insufficient_balance",
        ),
        error=ProviderQuota,
    ),
    ErrorRule(situation="payment is required", statuses=(402,), error=ProviderQuota),
    ErrorRule(situation="no rights, or not from this country", statuses=(403,), error=ProviderAuth),
    ErrorRule(
        situation="too many requests or tokens",
        statuses=(429,),
        words=("rate_limit_exceeded", "rate_limit_error", "requests", "tokens"),
        error=ProviderRateLimited,
    ),
    ErrorRule(situation="any other rate limit", statuses=(429,), error=ProviderRateLimited),
    ErrorRule(
        situation="the model is unknown, or not for this account",
        statuses=(400, 404),
        words=("model_not_found",),
        error=ProviderRefused,
    ),
    ErrorRule(
        situation="the prompt is longer than the model's context",
        statuses=(400, 413),
        words=("context_length_exceeded", "string_above_max_length"),
        error=ProviderRefused,
    ),
    ErrorRule(
        situation="the schema cannot be used for structured output",
        statuses=(400,),
        words=("invalid_json_schema",),
        error=ProviderRefused,
    ),
    ErrorRule(
        situation="an image or file cannot be read or fetched",
        statuses=(400,),
        words=("invalid_image_url", "invalid_image_format", "invalid_base64", "image_parse_error"),
        error=ProviderRefused,
    ),
    ErrorRule(
        situation="a parameter or value that this model does not take",
        statuses=(400,),
        words=("unsupported_parameter", "unsupported_value", "invalid_value", "unknown_parameter"),
        error=ProviderRefused,
    ),
    ErrorRule(
        situation="the request is invalid",
        statuses=(400, 404, 413, 415, 422),
        words=("invalid_request_error", "badrequesterror"),
        error=ProviderRefused,
    ),
    ErrorRule(
        situation="the request timed out or met a conflict at the provider",
        statuses=(408, 409, 425),
        error=ProviderFailed,
        retryable=True,
    ),
    ErrorRule(
        situation="the provider failed",
        statuses=(500, 502, 503, 504, 529),
        words=(
            "server_error",
            "internal_server_error",
            "service_unavailable",
            "overloaded",
            "overloaded_error",
        ),
        error=ProviderFailed,
    ),
)

_COMMON_NAMES: Mapping[str, str] = {
    "temperature": "temperature",
    "top_p": "top_p",
    "seed": "seed",
    "random_seed": "seed",
    "stop": "stop",
}
"""Sampling parameters that a model may not take, by the name that `error.param` gives them."""

_HINTS = {"true": True, "false": False}


def classify(subject: str, response: WireResponse) -> UpstreamError:
    """The error that an answer of status 400 or more is; `subject` names the provider to callers."""
    headers = response.headers
    return _to_error(
        subject,
        _read(
            response.body,
            status=response.status,
            retry_after_s=find_retry_after_s(headers),
            should_retry=_HINTS.get(headers.get("x-should-retry", "").strip().lower()),
        ),
    )


def answer_error(subject: str, body: bytes) -> UpstreamError:
    """The error inside an answer or event that came with a 200. Its own code counts as the status when it is one."""
    said = _read(body, status=None)
    code = said.code or ""
    if code.isascii() and code.isdigit() and 400 <= int(code[:4]) < 600:
        said = msgspec.structs.replace(said, status=int(code[:4]))
    return _to_error(subject, said)


def _to_error(subject: str, said: ProviderSaid) -> UpstreamError:
    error = make_error(subject, ERROR_RULES, said)
    if isinstance(error, ProviderRefused) and said.param is not None:
        error.parameter = _COMMON_NAMES.get(said.param)
    return error


def _read(
    body: bytes,
    *,
    status: int | None,
    retry_after_s: float | None = None,
    should_retry: bool | None = None,
) -> ProviderSaid:
    fields = _find_fields(body)
    kind, code = _word(fields.get("type")), _word(fields.get("code"))
    return ProviderSaid(
        status=status,
        words=tuple(word for word in (kind, code) if word is not None),
        type=kind,
        code=code,
        param=_word(fields.get("param")),
        message=_message(fields),
        retry_after_s=retry_after_s,
        should_retry=should_retry,
    )


def _find_fields(body: bytes) -> dict[str, Any]:
    """The object that says what is wrong: `error`, or the body itself; a bare text counts as its message.

    Bodies that are no JSON (HTML of a proxy, nothing at all) say nothing.
    """
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return {}
    if isinstance(answer, list):
        answer = answer[0] if answer else {}
    if not isinstance(answer, dict):
        return {}
    error = answer.get("error", answer)
    if isinstance(error, str):
        return {**answer, "message": error}
    return error if isinstance(error, dict) else {}


def _message(fields: dict[str, Any]) -> str | None:
    message = next((fields[key] for key in ("message", "detail") if fields.get(key)), None)
    if message is None or isinstance(message, str):
        return message
    return msgspec.json.encode(message).decode()


def _word(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value)[:200] or None
