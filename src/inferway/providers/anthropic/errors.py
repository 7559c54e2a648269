"""Anthropic's error answers → ours, by status, error type and error code."""

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
from inferway.providers.errors import CLIENT_ERRORS, ErrorRule, ErrorRules, ProviderSaid, make_error
from inferway.providers.retry_after import find_retry_after_s
from inferway.providers.scrub import scrub

_ANY = range(400, 600)

ERROR_RULES: ErrorRules = (
    ErrorRule(
        situation="a spend limit of our account is reached",
        statuses=_ANY,
        words=(
            "contract_spend_limit_reached",
            "enforced_spend_limit_reached",
            "linked_organization_spend_limit_reached",
            "linked_organization_billing_unavailable",
            "user_profile_billing_not_authorized",
        ),
        error=ProviderQuota,
    ),
    ErrorRule(situation="payment needed", statuses=_ANY, words=("billing_error",), error=ProviderQuota),
    ErrorRule(situation="payment needed", statuses=(402,), error=ProviderQuota),
    ErrorRule(
        situation="our organization is disabled",
        statuses=_ANY,
        words=("organization_on_hold",),
        error=ProviderAuth,
    ),
    ErrorRule(
        situation="our key is refused", statuses=_ANY, words=("authentication_error",), error=ProviderAuth
    ),
    ErrorRule(situation="our key is refused", statuses=(401,), error=ProviderAuth),
    ErrorRule(
        situation="our key may not do this", statuses=_ANY, words=("permission_error",), error=ProviderAuth
    ),
    ErrorRule(situation="our key may not do this", statuses=(403,), error=ProviderAuth),
    ErrorRule(
        situation="rate limit; not retryable when the provider says so",
        statuses=_ANY,
        words=("rate_limit_error",),
        error=ProviderRateLimited,
    ),
    ErrorRule(situation="rate limit", statuses=(429,), error=ProviderRateLimited),
    ErrorRule(situation="overloaded", statuses=_ANY, words=("overloaded_error",), error=ProviderFailed),
    ErrorRule(
        situation="the provider took too long", statuses=_ANY, words=("timeout_error",), error=ProviderFailed
    ),
    ErrorRule(situation="the provider took too long", statuses=(408,), error=ProviderFailed),
    ErrorRule(situation="conflict", statuses=(409,), error=ProviderFailed),
    ErrorRule(
        situation="internal failure", statuses=range(500, 600), words=("api_error",), error=ProviderFailed
    ),
    ErrorRule(
        situation="model or resource unknown",
        statuses=_ANY,
        words=("not_found_error",),
        error=ProviderRefused,
    ),
    ErrorRule(
        situation="request too large", statuses=_ANY, words=("request_too_large",), error=ProviderRefused
    ),
    ErrorRule(situation="request too large (also as HTML)", statuses=(413,), error=ProviderRefused),
    ErrorRule(
        situation="bad request, or the context is too long",
        statuses=CLIENT_ERRORS,
        words=("invalid_request_error",),
        error=ProviderRefused,
    ),
)
"""Source: Anthropic API reference, errors, and the error types of the official SDK."""


class AnthropicErrors:
    """Reads error answers and error events. `provider` is the name that callers know. Implements `ErrorClassifier`."""

    def __init__(self, provider: str) -> None:
        self._provider = provider

    def __call__(self, response: WireResponse) -> UpstreamError:
        """The error that a non-2xx answer tells; its body may be the API's, HTML or nothing."""
        headers = response.headers
        hint = headers.get("x-should-retry", "").strip().lower()
        body = _read(response.body)
        said = _said(
            body,
            status=response.status,
            retry_after_s=find_retry_after_s(headers),
            should_retry={"true": True, "false": False}.get(hint),
        )
        return self._make(said, _text(body.get("request_id")) or headers.get("request-id"))

    def in_stream(self, data: bytes) -> UpstreamError:
        """The error that an `error` event tells, after a 200."""
        body = _read(data)
        return self._make(_said(body, status=None), _text(body.get("request_id")))

    def _make(self, said: ProviderSaid, request_id: str | None) -> UpstreamError:
        error = make_error(self._provider, ERROR_RULES, said)
        if request_id is not None:
            told = dict((error.details or {}).get("provider_error", {}))
            error.details = {"provider_error": {**told, "request_id": scrub(request_id)[:128]}}
        return error


def _said(
    body: dict[str, Any],
    *,
    status: int | None,
    retry_after_s: float | None = None,
    should_retry: bool | None = None,
) -> ProviderSaid:
    fields = body.get("error")
    fields = fields if isinstance(fields, dict) else {}
    details = fields.get("details")
    kind = _text(fields.get("type"))
    code = _text(details.get("error_code")) if isinstance(details, dict) else None
    return ProviderSaid(
        status=status,
        words=tuple(word for word in (kind, code) if word is not None),
        type=kind,
        code=code,
        message=_text(fields.get("message")),
        retry_after_s=retry_after_s,
        should_retry=should_retry,
    )


def _read(body: bytes) -> dict[str, Any]:
    """The JSON object of an error body; empty for anything else, such as the HTML of a proxy."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
