"""What a provider's error answer means: rules as data, matched on status and the provider's own words, never on its message."""

from collections.abc import Container, Mapping
from typing import Any

from msgspec import Struct

from inferway.errors import (
    ProviderAuth,
    ProviderBadAnswer,
    ProviderFailed,
    ProviderQuota,
    ProviderRateLimited,
    ProviderRefused,
    UpstreamError,
)
from inferway.providers.scrub import scrub

SERVER_ERRORS = range(500, 600)
CLIENT_ERRORS = range(400, 500)


class ErrorRule(Struct, frozen=True, kw_only=True):
    """One row of a provider's error table: an answer with this status and one of these words is this error of ours.

    `statuses` is what the status must be in (a tuple or a range). `words` are the provider's machine-readable types, codes, states or
    reasons, lower case; an empty tuple matches any. `retryable` overrides what the error class says. `situation` is what a person calls it.
    """

    situation: str
    statuses: tuple[int, ...] | range
    error: type[UpstreamError]
    words: tuple[str, ...] = ()
    retryable: bool | None = None

    @property
    def is_retryable(self) -> bool:
        """Whether the gateway may try the same call again."""
        return self.error.retryable if self.retryable is None else self.retryable


ErrorRules = tuple[ErrorRule, ...]


class ProviderSaid(Struct, frozen=True, kw_only=True):
    """What a provider's error answer says, read from its body and headers.

    `status` is None for an error inside a stream that carries none. `words` are all machine-readable words of the body, for matching.
    `retry_after_s` and `should_retry` are its hints. The texts are as the provider wrote them; `provider_error` scrubs them.
    """

    status: int | None
    words: tuple[str, ...] = ()
    type: str | None = None
    code: str | None = None
    param: str | None = None
    message: str | None = None
    retry_after_s: float | None = None
    should_retry: bool | None = None


def get_rule(rules: ErrorRules, said: ProviderSaid) -> ErrorRule:
    """The first rule that matches, else the fallback of the status class.

    Without a status (inside a stream) only rules with words can match.
    """
    words = {word.lower() for word in said.words}
    for rule in rules:
        if _matches(rule, said.status, words):
            return rule
    return next((rule for rule in FALLBACK_RULES if _in(said.status, rule.statuses)), _STREAM_RULE)


def make_error(provider: str, rules: ErrorRules, said: ProviderSaid) -> UpstreamError:
    """The error a caller sees, with `details.provider_error` (see `provider_error`).

    A provider's own hint that a retry is useless wins over the rule; its hint that one is useful does so
    unless credentials or money are the trouble.
    """
    rule = get_rule(rules, said)
    return rule.error(
        f"{provider} {_PHRASES[rule.error]}",
        details={"provider_error": provider_error(rule.error, said)},
        retry_after_s=said.retry_after_s,
        retryable=_retryable(rule, said),
    )


def provider_error(error: type[UpstreamError], said: ProviderSaid) -> Mapping[str, Any]:
    """`details.provider_error`: the provider's status, type, code, param and scrubbed message, as far as it gave them.

    The message is left out when credentials are refused, because providers echo parts of the key there.
    """
    message = None if issubclass(error, ProviderAuth) else said.message
    fields = {
        "status": said.status,
        "type": said.type,
        "code": said.code,
        "param": said.param,
        "message": message,
    }
    return {
        name: scrub(value) if isinstance(value, str) else value
        for name, value in fields.items()
        if value is not None
    }


FALLBACK_RULES: ErrorRules = (
    ErrorRule(
        situation="a proxy between here and the provider asks for credentials",
        statuses=(407,),
        error=ProviderAuth,
    ),
    ErrorRule(situation="any other refusal of the request", statuses=CLIENT_ERRORS, error=ProviderRefused),
    ErrorRule(situation="any other failure of the provider", statuses=SERVER_ERRORS, error=ProviderFailed),
    ErrorRule(
        situation="a status that is no answer (1xx, redirects, 204 and the like)",
        statuses=range(400),
        error=ProviderBadAnswer,
    ),
    ErrorRule(situation="a status outside of HTTP", statuses=range(600, 1000), error=ProviderBadAnswer),
)
"""What the status alone says; matched after every rule of a provider's own table."""

_STREAM_RULE = ErrorRule(
    situation="an error inside a stream that no rule knows", statuses=(), error=ProviderFailed
)

_PHRASES: Mapping[type[UpstreamError], str] = {
    ProviderRefused: "refused the request as invalid",
    ProviderRateLimited: "limits the rate of our requests",
    ProviderAuth: "refused our credentials",
    ProviderQuota: "reports that our account is out of money or quota",
    ProviderFailed: "failed to serve the request",
    ProviderBadAnswer: "gave an answer that cannot be used",
}


def _matches(rule: ErrorRule, status: int | None, words: set[str]) -> bool:
    if rule.words and words.isdisjoint(rule.words):
        return False
    if status is None:
        return bool(rule.words)
    return status in rule.statuses


def _in(status: int | None, statuses: Container[int]) -> bool:
    return status is not None and status in statuses


def _retryable(rule: ErrorRule, said: ProviderSaid) -> bool:
    if said.should_retry is None:
        return rule.is_retryable
    if said.should_retry and issubclass(rule.error, ProviderAuth | ProviderQuota):
        return False
    return said.should_retry
