"""Anthropic's error answers."""

import json

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
from inferway.providers.anthropic.errors import ERROR_RULES, AnthropicErrors
from inferway.providers.base import WireResponse

ERRORS = AnthropicErrors("anthropic")


def _classify(status: int, body: object, **headers: str) -> UpstreamError:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return ERRORS(WireResponse(status=status, headers=named, body=content))


def _body(kind: str, message: str = "Something.", code: str | None = None) -> dict[str, object]:
    error: dict[str, object] = {"type": kind, "message": message}
    if code is not None:
        error["details"] = {"error_code": code}
    return {"type": "error", "error": error, "request_id": "req_011CeCGmMJJGRCp7xgjqapmJ"}


@pytest.mark.parametrize(
    ("status", "kind", "error", "ours", "retryable"),
    [
        (400, "invalid_request_error", ProviderRefused, 400, False),
        (401, "authentication_error", ProviderAuth, 500, False),
        (402, "billing_error", ProviderQuota, 500, False),
        (403, "permission_error", ProviderAuth, 500, False),
        (404, "not_found_error", ProviderRefused, 400, False),
        (408, "timeout_error", ProviderFailed, 500, True),
        (409, "conflict_error", ProviderFailed, 500, True),
        (413, "request_too_large", ProviderRefused, 400, False),
        (422, "invalid_request_error", ProviderRefused, 400, False),
        (429, "rate_limit_error", ProviderRateLimited, 429, True),
        (500, "api_error", ProviderFailed, 500, True),
        (503, "api_error", ProviderFailed, 500, True),
        (504, "timeout_error", ProviderFailed, 500, True),
        (529, "overloaded_error", ProviderFailed, 500, True),
        (418, "a_new_error", ProviderRefused, 400, False),
        (507, "a_new_error", ProviderFailed, 500, True),
    ],
)
def test_each_error_has_its_place(
    status: int,
    kind: str,
    error: type[UpstreamError],
    ours: int,
    retryable: bool,  # noqa: FBT001 - a column of the table above
) -> None:
    found = _classify(status, _body(kind))
    assert type(found) is error
    assert (found.status, found.retryable) == (ours, retryable)
    assert found.details is not None
    told = found.details["provider_error"]
    assert (told["status"], told["type"]) == (status, kind)
    assert told["request_id"] == "req_011CeCGmMJJGRCp7xgjqapmJ"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><h1>413 Request Entity Too Large</h1></html>",
        b"[1]",
        b'"x"',
        b"\xff",
        b'{"error": {"message": "Trop de requ\xeates"}}',
        b"[" * 9999,
    ],
)
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, ProviderRefused),
        (401, ProviderAuth),
        (402, ProviderQuota),
        (403, ProviderAuth),
        (413, ProviderRefused),
        (429, ProviderRateLimited),
        (502, ProviderFailed),
        (529, ProviderFailed),
        (304, ProviderBadAnswer),
    ],
)
def test_a_body_that_is_not_the_apis_is_judged_by_its_status(
    status: int, error: type[UpstreamError], body: bytes
) -> None:
    found = _classify(status, body)
    assert type(found) is error
    assert found.details == {"provider_error": {"status": status}}


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (429, "rate_limit_error", "enforced_spend_limit_reached"),
        (429, "rate_limit_error", "contract_spend_limit_reached"),
        (402, "billing_error", "linked_organization_spend_limit_reached"),
        (400, "billing_error", None),
    ],
)
def test_a_spend_limit_is_no_rate_limit(status: int, kind: str, code: str | None) -> None:
    found = _classify(status, _body(kind, code=code), retry_after="1", x_should_retry="true")
    assert type(found) is ProviderQuota
    assert found.retryable is False
    assert found.details is not None
    assert found.details["provider_error"].get("code") == code


def test_a_growth_limit_is_a_rate_limit() -> None:
    found = _classify(429, _body("rate_limit_error", code="ramp_limit_exceeded"), retry_after="9")
    assert type(found) is ProviderRateLimited
    assert (found.retryable, found.retry_after_s) == (True, 9)


def test_a_disabled_organization_is_not_the_callers_fault() -> None:
    assert type(_classify(400, _body("invalid_request_error", code="organization_on_hold"))) is ProviderAuth


def test_the_providers_own_word_on_retrying_is_heard() -> None:
    limited = _classify(429, _body("rate_limit_error"), x_should_retry="false")
    assert type(limited) is ProviderRateLimited
    assert (limited.retryable, limited.retry_after_s) == (False, None)
    assert _classify(529, _body("overloaded_error"), x_should_retry="true").retryable is True
    assert _classify(500, _body("api_error"), x_should_retry="False").retryable is False
    assert _classify(401, _body("authentication_error"), x_should_retry="true").retryable is False
    assert _classify(529, _body("overloaded_error"), x_should_retry="perhaps").retryable is True


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("7", 7),
        ("0.5", 0.5),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        ("1e309", None),
        ("soon", None),
        ("9999999", 9999999),
        ("3, 7", 7),
    ],
)
def test_a_hint_to_wait_is_read_and_junk_is_none(given: str, seconds: float | None) -> None:
    assert _classify(429, _body("rate_limit_error"), retry_after=given).retry_after_s == seconds


def test_a_message_never_decides() -> None:
    text = "temperature: Extra inputs are not permitted; authentication_error; overloaded_error; rate limit"
    found = _classify(400, _body("invalid_request_error", text))
    assert type(found) is ProviderRefused
    assert found.parameter is None
    assert type(_classify(500, _body("api_error", "insufficient credit, billing_error"))) is ProviderFailed


def test_a_message_reaches_the_caller_scrubbed_and_not_at_all_for_credentials() -> None:
    key = "sk-ant-api03-" + "x1Y2" * 12
    refused = _classify(400, _body("invalid_request_error", f"bad {key} at https://api.internal/x"))
    assert refused.details is not None
    assert refused.details["provider_error"]["message"] == "bad [key] at [url]"
    auth = _classify(401, _body("authentication_error", f"invalid x-api-key {key}"))
    assert auth.details is not None
    assert "message" not in auth.details["provider_error"]
    assert key not in str(auth)


def test_the_request_id_is_also_read_from_the_header() -> None:
    found = _classify(500, b"", request_id="req_1")
    assert found.details == {"provider_error": {"status": 500, "request_id": "req_1"}}


@pytest.mark.parametrize(
    "error",
    [None, [], "x", {"type": 7, "message": [], "details": "x"}, {"type": "", "details": {"error_code": 3}}],
)
def test_an_error_body_of_a_wrong_shape_is_harmless(error: object) -> None:
    found = _classify(500, {"type": "error", "error": error, "request_id": 7})
    assert type(found) is ProviderFailed
    assert found.details == {"provider_error": {"status": 500}}


def test_every_rule_says_what_it_is() -> None:
    assert all(rule.situation for rule in ERROR_RULES)
