"""What Google's error answers mean."""

import json
from typing import Any

import pytest

from inferway.errors import (
    ProviderAuth,
    ProviderBadAnswer,
    ProviderFailed,
    ProviderQuota,
    ProviderRateLimited,
    ProviderRefused,
    UpstreamError,
)
from inferway.providers.google.errors import classify
from tests.unit.providers.google.exchanges import response

_TYPE = "type.googleapis.com/google.rpc."


def _error(status: str | None, *details: Any, message: str = "no") -> dict[str, Any]:
    body: dict[str, Any] = {"code": 1, "message": message, "details": list(details)}
    return {"error": body if status is None else {**body, "status": status}}


def _reason(reason: str) -> dict[str, Any]:
    return {
        "@type": _TYPE + "ErrorInfo",
        "reason": reason,
        "domain": "googleapis.com",
        "metadata": {"service": "x"},
    }


def _quota(quota_id: str) -> dict[str, Any]:
    return {"@type": _TYPE + "QuotaFailure", "violations": [{"quotaId": quota_id, "quotaValue": "50"}]}


def _retry(delay: Any) -> dict[str, Any]:
    return {"@type": _TYPE + "RetryInfo", "retryDelay": delay}


@pytest.mark.parametrize(
    ("status", "body", "kind", "retryable"),
    [
        (400, _error("INVALID_ARGUMENT", _reason("API_KEY_INVALID")), ProviderAuth, False),
        (400, _error("INVALID_ARGUMENT"), ProviderRefused, False),
        (400, _error("FAILED_PRECONDITION"), ProviderRefused, False),
        (400, _error("FAILED_PRECONDITION", _reason("BILLING_DISABLED")), ProviderQuota, False),
        (401, _error("UNAUTHENTICATED"), ProviderAuth, False),
        (401, _error(None), ProviderAuth, False),
        (403, _error("PERMISSION_DENIED"), ProviderAuth, False),
        (403, _error("PERMISSION_DENIED", _reason("BILLING_DISABLED")), ProviderQuota, False),
        (403, _error("PERMISSION_DENIED", _reason("SERVICE_DISABLED")), ProviderAuth, False),
        (404, _error("NOT_FOUND"), ProviderRefused, False),
        (408, _error(None), ProviderFailed, True),
        (413, b"<html>too large</html>", ProviderRefused, False),
        (429, _error("RESOURCE_EXHAUSTED"), ProviderRateLimited, True),
        (
            429,
            _error("RESOURCE_EXHAUSTED", _quota("GenerateRequestsPerMinutePerProject")),
            ProviderRateLimited,
            True,
        ),
        (
            429,
            _error("RESOURCE_EXHAUSTED", _quota("GenerateRequestsPerDayPerProjectPerModel")),
            ProviderQuota,
            False,
        ),
        (429, _error("RESOURCE_EXHAUSTED", _quota("a_per_day_b"), _retry("3s")), ProviderQuota, False),
        (429, b"", ProviderRateLimited, True),
        (499, _error("CANCELLED"), ProviderFailed, False),
        (500, _error("INTERNAL"), ProviderFailed, True),
        (501, _error("UNIMPLEMENTED"), ProviderFailed, False),
        (503, _error("UNAVAILABLE"), ProviderFailed, True),
        (504, _error("DEADLINE_EXCEEDED"), ProviderFailed, True),
        (502, b"<html><body>Bad Gateway</body></html>", ProviderFailed, True),
        (403, b"<html>Forbidden</html>", ProviderAuth, False),
        (400, b"", ProviderRefused, False),
        (304, b"", ProviderBadAnswer, False),
    ],
)
def test_status_and_words_say_what_it_is(
    status: int, body: Any, kind: type[UpstreamError], *, retryable: bool
) -> None:
    for shape in (body, body if isinstance(body, bytes) else [body]):
        error = classify(response(shape, status))
        assert type(error) is kind
        assert error.retryable is retryable


@pytest.mark.parametrize(
    ("delay", "seconds"),
    [
        ("48s", 48.0),
        ("0.5s", 0.5),
        ("48.939935699s", 48.939935699),
        ("0s", 0.0),
        ("-1s", None),
        ("nans", None),
        ("infs", None),
        ("1e309s", None),
        ("48", None),
        ("", None),
        (48, None),
        (None, None),
        ({"seconds": 4}, None),
    ],
)
def test_the_delay_is_read_from_the_body(delay: Any, seconds: float | None) -> None:
    error = classify(response(_error("RESOURCE_EXHAUSTED", _retry(delay)), 429))
    assert error.retry_after_s == seconds


def test_the_longer_of_header_and_body_counts() -> None:
    body = _error("RESOURCE_EXHAUSTED", _retry("4s"))
    assert classify(response(body, 429, **{"retry-after": "9"})).retry_after_s == 9
    assert classify(response(body, 429, **{"retry-after": "1"})).retry_after_s == 4


def test_the_callers_mistake_is_told_with_its_place() -> None:
    violation = {"field": "contents[0].parts[1]", "description": "Unknown name, see https://example.com/x"}
    details = {"@type": _TYPE + "BadRequest", "fieldViolations": [violation]}
    error = classify(response(_error("INVALID_ARGUMENT", details, message="Invalid JSON payload."), 400))
    assert error.details == {
        "provider_error": {
            "status": 400,
            "type": "INVALID_ARGUMENT",
            "param": "contents[0].parts[1]",
            "message": "Invalid JSON payload.",
            "field_violations": [{"field": "contents[0].parts[1]", "description": "Unknown name, see [url]"}],
        }
    }


@pytest.mark.parametrize(
    ("field", "parameter"),
    [
        ("generation_config.temperature", "temperature"),
        ("generationConfig.topP", "top_p"),
        ("generation_config.thinking_config.thinking_budget", "reasoning_effort"),
        ("generation_config.top_k", None),
        ("contents", None),
    ],
)
def test_a_refused_parameter_is_named_by_its_common_name(field: str, parameter: str | None) -> None:
    details = {"fieldViolations": [{"field": field, "description": "no"}]}
    error = classify(response(_error("INVALID_ARGUMENT", details), 400))
    assert isinstance(error, ProviderRefused)
    assert error.parameter == parameter


def test_nothing_of_the_account_is_shown() -> None:
    message = "Quota exceeded for project 123456789012, consumer project_number:987654321098 key AIzaSyA-1234567890abcdefghijklmnopqrstu"
    for status in (400, 403, 429):
        shown = json.dumps(dict(classify(response(_error("X", message=message), status)).details or {}))
        for secret in ("123456789012", "987654321098", "AIza"):
            assert secret not in shown


def test_a_refusal_of_credentials_shows_no_words_at_all() -> None:
    error = classify(response(_error("UNAUTHENTICATED", message="key sk-secret"), 401))
    assert error.details == {"provider_error": {"status": 401, "type": "UNAUTHENTICATED"}}


@pytest.mark.parametrize(
    "body",
    [
        b"7",
        b"[]",
        b"[7]",
        b'"x"',
        b"{}",
        b'{"error": null}',
        b'{"error": []}',
        b'{"error": {"status": 7, "message": [], "details": {}}}',
        b'{"error": {"details": [7, {"reason": 7, "violations": 7, "fieldViolations": [7, {"field": 7}]}]}}',
        b"[" * 5000,
    ],
)
def test_a_body_of_any_shape_is_classified_by_its_status(body: bytes) -> None:
    assert type(classify(response(body, 400))) is ProviderRefused
    assert type(classify(response(body, 500))) is ProviderFailed
