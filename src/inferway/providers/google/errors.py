"""What Google's error answers mean, by status, `error.status` and the reasons in `error.details`. Source: Google API error model."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
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
from inferway.providers.errors import (
    CLIENT_ERRORS,
    SERVER_ERRORS,
    ErrorRule,
    ErrorRules,
    ProviderSaid,
    make_error,
)
from inferway.providers.retry_after import find_retry_after_s
from inferway.providers.scrub import scrub

_ANY = range(400, 600)
PER_DAY = "quota_per_day"
"""Our word for a quota whose id says that it is counted by the day, which no short wait refills."""

ERROR_RULES: ErrorRules = (
    ErrorRule(
        situation="API key not valid (400 with a reason) or blocked",
        statuses=_ANY,
        words=(
            "api_key_invalid",
            "api_key_expired",
            "api_key_service_blocked",
            "api_key_http_referrer_blocked",
            "api_key_ip_address_blocked",
            "api_key_android_app_blocked",
            "api_key_ios_app_blocked",
            "credentials_missing",
            "access_token_expired",
            "access_token_type_unsupported",
            "access_token_scope_insufficient",
            "account_state_invalid",
            "consumer_invalid",
            "consumer_suspended",
            "service_disabled",
        ),
        error=ProviderAuth,
    ),
    ErrorRule(
        situation="billing is off",
        statuses=_ANY,
        words=("billing_disabled", "billing_not_enabled"),
        error=ProviderQuota,
    ),
    ErrorRule(
        situation="no valid credentials", statuses=_ANY, words=("unauthenticated",), error=ProviderAuth
    ),
    ErrorRule(situation="no rights", statuses=_ANY, words=("permission_denied",), error=ProviderAuth),
    ErrorRule(situation="credentials refused without a word", statuses=(401, 403), error=ProviderAuth),
    ErrorRule(situation="out of money", statuses=(402,), error=ProviderQuota),
    ErrorRule(situation="quota of the day used up", statuses=(429,), words=(PER_DAY,), error=ProviderQuota),
    ErrorRule(
        situation="rate limit",
        statuses=_ANY,
        words=("resource_exhausted", "rate_limit_exceeded"),
        error=ProviderRateLimited,
    ),
    ErrorRule(situation="rate limit without a word", statuses=(429,), error=ProviderRateLimited),
    ErrorRule(
        situation="model or method unknown",
        statuses=CLIENT_ERRORS,
        words=("not_found",),
        error=ProviderRefused,
    ),
    ErrorRule(
        situation="bad request (also a context that is too long, or media that cannot be read)",
        statuses=CLIENT_ERRORS,
        words=("invalid_argument", "failed_precondition", "out_of_range"),
        error=ProviderRefused,
    ),
    ErrorRule(situation="too large", statuses=(413,), error=ProviderRefused),
    ErrorRule(situation="timeout in front of the model", statuses=(408,), error=ProviderFailed),
    ErrorRule(
        situation="cancelled by the provider",
        statuses=_ANY,
        words=("cancelled",),
        error=ProviderFailed,
        retryable=False,
    ),
    ErrorRule(
        situation="not implemented",
        statuses=SERVER_ERRORS,
        words=("unimplemented",),
        error=ProviderFailed,
        retryable=False,
    ),
    ErrorRule(
        situation="failure or overload of the provider",
        statuses=SERVER_ERRORS,
        words=("internal", "unavailable", "deadline_exceeded", "unknown", "data_loss", "aborted"),
        error=ProviderFailed,
    ),
)
"""Google's error table; the first row that matches counts."""

_PARAMETERS = {
    "temperature": "temperature",
    "topp": "top_p",
    "seed": "seed",
    "stopsequences": "stop",
    "thinkingconfig": "reasoning_effort",
    "thinkingbudget": "reasoning_effort",
    "thinkinglevel": "reasoning_effort",
}
_DELAY = re.compile(r"(\d{1,12}(?:\.\d{0,9})?)s", re.ASCII)
_VIOLATIONS_SHOWN = 8
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,79}", re.ASCII)


def classify(response: WireResponse) -> UpstreamError:
    """The error of a non-2xx answer, whatever its body is: an object, an array with one, HTML, or nothing."""
    hint_s = find_retry_after_s(response.headers)
    return classify_body(response.status, _read(response.body), hint_s)


def classify_body(status: int | None, body: Any, hint_s: float | None = None) -> UpstreamError:
    """The error that a body tells of; inside a stream `status` is None and the body's own code stands in."""
    said = _Said(body)
    if status is None:
        status = said.status
    failure = make_error(
        "google",
        ERROR_RULES,
        ProviderSaid(
            status=status,
            words=said.words,
            type=said.type,
            code=said.reason,
            param=said.field,
            message=said.message,
            retry_after_s=_longest(hint_s, said.retry_after_s),
        ),
    )
    if isinstance(failure, ProviderRefused):
        _add_places(failure, said)
    return failure


def _add_places(failure: ProviderRefused, said: "_Said") -> None:
    """Tell where in the request the trouble is, and which common parameter it is."""
    failure.parameter = said.parameter
    if said.violations:
        provider_error = dict((failure.details or {}).get("provider_error", {}))
        provider_error["field_violations"] = said.violations
        failure.details = {"provider_error": provider_error}


class _Said:
    """Reads a body of any shape; what is not there or of a wrong type is None or empty."""

    def __init__(self, body: Any) -> None:
        if isinstance(body, list):
            body = next((item for item in body if isinstance(item, dict)), None)
        error = body.get("error") if isinstance(body, dict) else None
        if isinstance(error, str):
            # Google's token servers answer {"error": "invalid_grant", "error_description": …}.
            error = {"status": error, "message": body.get("error_description")}
        self._error: Mapping[str, Any] = error if isinstance(error, dict) else {}
        details = self._error.get("details")
        self._details = (
            [item for item in details if isinstance(item, dict)] if isinstance(details, list) else []
        )
        self.type = _name(self._error.get("status"))
        self.status = _status(self._error.get("code"))
        self.reason = next((reason for reason in map(_name, self._texts("reason")) if reason), None)
        self.message = _shown(self._error.get("message"))
        self.violations = [*self._violations()][:_VIOLATIONS_SHOWN]
        self.field = self.violations[0].get("field") if self.violations else None
        self.retry_after_s = _longest(*map(_seconds, self._texts("retryDelay")))
        self.words = tuple(self._words())

    @property
    def parameter(self) -> str | None:
        """The common name of the sampling parameter that the first violation is about."""
        last = (self.field or "").rpartition(".")[2].replace("_", "").lower()
        return _PARAMETERS.get(last)

    def _texts(self, name: str) -> Iterator[Any]:
        return (detail.get(name) for detail in self._details)

    def _words(self) -> Iterator[str]:
        yield from filter(None, (self.type, *map(_name, self._texts("reason"))))
        for violation in self._listed("violations"):
            quota = violation.get("quotaId")
            if isinstance(quota, str) and "perday" in quota.replace("_", "").lower():
                yield PER_DAY

    def _listed(self, name: str) -> Iterator[Mapping[str, Any]]:
        for items in self._texts(name):
            if isinstance(items, Sequence) and not isinstance(items, str):
                yield from (item for item in items if isinstance(item, dict))

    def _violations(self) -> Iterator[dict[str, str]]:
        for violation in self._listed("fieldViolations"):
            shown = {name: _shown(violation.get(name)) for name in ("field", "description")}
            told = {name: text for name, text in shown.items() if text}
            if told:
                yield told


def _read(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _status(code: Any) -> int | None:
    return code if isinstance(code, int) and not isinstance(code, bool) and 400 <= code < 600 else None


def _name(value: Any) -> str | None:
    return value if isinstance(value, str) and _NAME.fullmatch(value) else None


def _shown(value: Any) -> str | None:
    return scrub(value) or None if isinstance(value, str) else None


def _seconds(delay: Any) -> float | None:
    """A protobuf duration such as "48s" or "0.5s"; anything else is no hint."""
    found = _DELAY.fullmatch(delay) if isinstance(delay, str) else None
    return float(found[1]) if found else None


def _longest(*hints: float | None) -> float | None:
    return max((hint for hint in hints if hint is not None and math.isfinite(hint)), default=None)
