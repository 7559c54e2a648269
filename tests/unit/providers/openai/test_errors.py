"""What OpenAI's error answers, and those of servers like it, become."""

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
from inferway.providers.errors import FALLBACK_RULES
from inferway.providers.openai.errors import ERROR_RULES, answer_error, classify
from tests.unit.providers.openai.samples import response


def error(status: int, body: object, **headers: str) -> UpstreamError:
    return classify("openai", response(body, status, **headers))


def said(
    kind: str | None = None, code: object = None, param: str | None = None, message: str = "Oh."
) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


@pytest.mark.parametrize(
    ("status", "body", "kind", "retryable"),
    [
        (400, said("invalid_request_error"), ProviderRefused, False),
        (400, said("invalid_request_error", "context_length_exceeded"), ProviderRefused, False),
        (400, said("invalid_request_error", "invalid_image_url"), ProviderRefused, False),
        (400, said("invalid_request_error", "billing_hard_limit_reached"), ProviderQuota, False),
        (401, said("invalid_request_error", "invalid_api_key"), ProviderAuth, False),
        (401, said("authentication_error"), ProviderAuth, False),
        (402, said(code="insufficient_balance"), ProviderQuota, False),
        (403, said("permission_error", "unsupported_country_region_territory"), ProviderAuth, False),
        (404, said("invalid_request_error", "model_not_found"), ProviderRefused, False),
        (408, said("timeout"), ProviderFailed, True),
        (409, said("conflict"), ProviderFailed, True),
        (413, b"<html>too large</html>", ProviderRefused, False),
        (422, {"detail": [{"loc": ["body"], "msg": "field required"}]}, ProviderRefused, False),
        (429, said("requests", "rate_limit_exceeded"), ProviderRateLimited, True),
        (429, said("tokens", "rate_limit_exceeded"), ProviderRateLimited, True),
        (429, said("insufficient_quota", "insufficient_quota"), ProviderQuota, False),
        (429, b"", ProviderRateLimited, True),
        (500, said("server_error"), ProviderFailed, True),
        (502, b"<html><h1>Bad gateway</h1>", ProviderFailed, True),
        (503, said("service_unavailable"), ProviderFailed, True),
        (504, b"", ProviderFailed, True),
        (529, b"", ProviderFailed, True),
        (302, b"", ProviderBadAnswer, False),
    ],
)
def test_the_table(status: int, body: object, kind: type[UpstreamError], *, retryable: bool) -> None:
    raised = error(status, body)
    assert type(raised) is kind
    assert raised.retryable is retryable
    assert raised.details is not None
    assert raised.details["provider_error"]["status"] == status
    assert raised.message.startswith("openai ")


def test_the_providers_words_reach_the_caller_scrubbed() -> None:
    raised = error(
        400,
        said("invalid_request_error", "bad", "messages[0]", "No: see https://x.example/y sk-abcdef123456"),
    )
    assert raised.details == {
        "provider_error": {
            "status": 400,
            "type": "invalid_request_error",
            "code": "bad",
            "param": "messages[0]",
            "message": "No: see [url] [key]",
        }
    }


@pytest.mark.parametrize("status", [401, 403])
def test_a_message_about_credentials_is_never_passed_on(status: int) -> None:
    raised = error(status, said("x", "invalid_api_key", message="Incorrect API key provided: sk-abc***xyz"))
    assert "message" not in json.dumps(raised.details)
    assert raised.message == "openai refused our credentials"


@pytest.mark.parametrize(
    ("param", "name"),
    [("temperature", "temperature"), ("top_p", "top_p"), ("seed", "seed"), ("random_seed", "seed"), ("stop", "stop"),
     ("messages", None), ("max_tokens", None), (None, None)],
)  # fmt: skip
def test_a_refused_sampling_parameter_is_named_whatever_its_code(param: str | None, name: str | None) -> None:
    for code in (None, "unsupported_parameter", "unsupported_value"):
        raised = error(400, said("invalid_request_error", code, param))
        assert isinstance(raised, ProviderRefused)
        assert raised.parameter == name


def test_hints_about_waiting_and_trying_again() -> None:
    limited = said("requests", "rate_limit_exceeded")
    assert error(429, limited, retry_after="20", retry_after_ms="20500").retry_after_s == 20.5
    assert error(429, limited).retry_after_s is None
    assert error(429, limited, x_should_retry="false").retryable is False
    assert error(500, said("server_error"), x_should_retry="false").retryable is False
    assert error(400, said("invalid_request_error"), x_should_retry="true").retryable is True
    assert error(429, said("insufficient_quota"), x_should_retry="true").retryable is False
    assert error(401, said(), x_should_retry="true").retryable is False


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": "model 'x' not found"}, "model 'x' not found"),
        ({"object": "error", "message": "too long", "type": "BadRequestError", "code": 400}, "too long"),
        ({"detail": "Not found"}, "Not found"),
        (
            {"object": "error", "message": {"detail": [{"msg": "x"}]}, "code": "1500"},
            '{"detail":[{"msg":"x"}]}',
        ),
        ([{"error": {"message": "in a list"}}], "in a list"),
        (b"<html>", None),
        (b"", None),
        ([], None),
        (5, None),
        ({"error": 5}, None),
        ({"error": {"message": 5, "type": [], "code": {}, "param": True}}, "5"),
        (b"[" * 100_000, None),
        (b'"\xff"', None),
    ],
)
def test_other_shapes_of_errors_are_read_as_far_as_they_go(body: object, message: str | None) -> None:
    details = error(400, body).details
    assert details is not None
    assert details["provider_error"].get("message") == message


def test_an_error_in_a_200_takes_its_own_code_for_a_status_only_when_it_is_one() -> None:
    assert type(answer_error("x", b'{"error":{"code":402}}')) is ProviderQuota
    assert type(answer_error("x", b'{"error":{"code":"503"}}')) is ProviderFailed
    for code in ("7", "1500", "99999999999999999999", "٤٠٠", "soon"):
        raised = answer_error("x", json.dumps({"error": {"code": code}}).encode())
        assert type(raised) is ProviderFailed


def test_the_table_is_complete_and_each_row_can_be_reached() -> None:
    for rule in ERROR_RULES:
        for status in rule.statuses:
            for word in rule.words or (None,):
                assert type(error(status, said(code=word))) is rule.error, (rule.situation, status, word)
    assert all(rule.situation for rule in (*ERROR_RULES, *FALLBACK_RULES))
