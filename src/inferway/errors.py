"""The error tree: every failure a caller can see, with its status, type and code.

    GatewayError
    ├── CallerError                      the caller can mend it
    │   ├── BadRequest              400  BadRequestError
    │   ├── Unauthorized            401  UnauthorizedError
    │   ├── Forbidden               403  ForbiddenError
    │   ├── QuotaExceeded           403  QuotaExceededError
    │   ├── NotFound                404  NotFoundError
    │   ├── Conflict                409  ConflictError            (administration only)
    │   ├── InvalidShape            422  ValidationError
    │   └── TooManyRequests         429  TooManyRequestsError  code rate_limited
    ├── UpstreamError                    a provider (or a local engine) failed us
    │   ├── ProviderRefused         400  BadRequestError       code provider_refused
    │   ├── ProviderRateLimited     429  TooManyRequestsError  code provider_rate_limited, retryable
    │   ├── ProviderAuth            500  InferenceError        code provider_auth
    │   ├── ProviderQuota           500  InferenceError        code provider_quota
    │   ├── ProviderBadAnswer       500  InferenceError        code provider_bad_answer
    │   ├── ProviderTls             500  InferenceError        code provider_tls
    │   ├── ProviderFailed          500  InferenceError        code provider_error, retryable
    │   ├── ProviderUnreachable     503  InferenceServiceUnavailableError  code provider_unreachable, retryable
    │   │   └── ProviderLost             the same, once the request had gone out
    │   ├── ProviderTimeout         503  InferenceServiceUnavailableError  code timeout
    │   └── EngineFailed            500  InferenceError        code engine_failed, retryable
    ├── Unavailable                 503  InferenceServiceUnavailableError
    │   ├── ModelWarming                 code model_warming
    │   ├── Overloaded                   code overloaded
    │   ├── CircuitOpen                  code circuit_open
    │   ├── StoreUnavailable             code store_unavailable
    │   ├── CredentialUnavailable        code credential_unavailable
    │   └── JournalFull                  code journal_full
    └── InternalError               500  InternalServerError

`message` is written for the caller and never holds a key, a prompt, an upstream address or a stack trace.
`retryable` says whether the same call may be tried again by us; it is false unless a class states it.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from inferway.types import Standing


class GatewayError(Exception):
    """A failure with a place in the wire contract.

    `code` is a stable machine-readable word, `details` a JSON object, `retry_after_s` seconds to wait (a hint).
    """

    status: ClassVar[int] = 500
    type: ClassVar[str] = "InternalServerError"
    default_code: ClassVar[str | None] = None
    retryable: bool = False

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        details: Mapping[str, Any] | None = None,
        retry_after_s: float | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code if code is not None else self.default_code
        self.details = details
        self.retry_after_s = retry_after_s
        if retryable is not None:
            self.retryable = retryable


class CallerError(GatewayError):
    """The request cannot be served as it is; the caller can mend it."""

    status = 400
    type = "BadRequestError"


class BadRequest(CallerError):
    """Well formed but not executable, or not JSON at all."""


class Unauthorized(CallerError):
    """No usable key."""

    status = 401
    type = "UnauthorizedError"


class Forbidden(CallerError):
    """The key is good and may not do this."""

    status = 403
    type = "ForbiddenError"


class QuotaExceeded(CallerError):
    """A spend cap is reached; `details` has `resource`, `current`, `limit`."""

    status = 403
    type = "QuotaExceededError"


class NotFound(CallerError):
    """A named thing that is not there; `details` has `resource` and `id`."""

    status = 404
    type = "NotFoundError"


class Conflict(CallerError):
    """Something else is in the way, such as a name that is taken; routes of administration only."""

    status = 409
    type = "ConflictError"


class InvalidShape(CallerError):
    """The body does not have the contract's shape; `details.validation_errors` lists where."""

    status = 422
    type = "ValidationError"

    @classmethod
    def at(cls, location: list[str | int], kind: str, message: str) -> "InvalidShape":
        """One finding; `location` starts with "body", `kind` is a stable word such as `extra_forbidden`."""
        finding = {"type": kind, "location": location, "message": message}
        return cls(message, details={"validation_errors": [finding]})


class TooManyRequests(CallerError):
    """Our own limit; `details` has `limit`, `window`, `retry_after_seconds`, …; `standing` says how the caller stands with it."""

    standing: Standing | None = None

    status = 429
    type = "TooManyRequestsError"
    default_code = "rate_limited"


class UpstreamError(GatewayError):
    """A provider failed us. `provider_error` (status, code, type, param, message) reaches the caller scrubbed."""

    status = 500
    type = "InferenceError"


class ProviderRefused(UpstreamError):
    """The provider says the request itself is bad: the caller's to mend.

    `parameter` is the common name of a sampling parameter that the provider says this model does not take, if it says so.
    """

    parameter: str | None = None

    status = 400
    type = "BadRequestError"
    default_code = "provider_refused"


class ProviderRateLimited(UpstreamError):
    """The provider's rate limit; `retry_after_s` is its hint, if it gave one."""

    status = 429
    type = "TooManyRequestsError"
    default_code = "provider_rate_limited"
    retryable = True


class ProviderAuth(UpstreamError):
    """The provider refuses our credentials."""

    default_code = "provider_auth"


class ProviderQuota(UpstreamError):
    """Our account at the provider is out of money or of a quota that no short wait refills."""

    default_code = "provider_quota"


class ProviderBadAnswer(UpstreamError):
    """A 200 whose body is not an answer: malformed, cut, incomplete."""

    default_code = "provider_bad_answer"


class ProviderTls(UpstreamError):
    """The provider's certificate or handshake cannot be trusted."""

    default_code = "provider_tls"


class ProviderFailed(UpstreamError):
    """The provider's own 5xx."""

    default_code = "provider_error"
    retryable = True


class ProviderUnreachable(UpstreamError):
    """No connection, or it broke before anything came back."""

    status = 503
    type = "InferenceServiceUnavailableError"
    default_code = "provider_unreachable"
    retryable = True


class ProviderLost(ProviderUnreachable):
    """The connection broke after the request had gone out; it may have been billed, so whoever raises it has it not tried again."""


class ProviderTimeout(UpstreamError):
    """No complete answer by the deadline; it may have been billed, so it is not tried again."""

    status = 503
    type = "InferenceServiceUnavailableError"
    default_code = "timeout"


class EngineFailed(UpstreamError):
    """A local engine died or failed under this call."""

    default_code = "engine_failed"
    retryable = True


class Unavailable(GatewayError):
    """We cannot serve this now; always answered with Retry-After."""

    status = 503
    type = "InferenceServiceUnavailableError"


class ModelWarming(Unavailable):
    """A local model is still loading or being downloaded."""

    default_code = "model_warming"


class Overloaded(Unavailable):
    """Shed: too much work is queued here."""

    default_code = "overloaded"


class CircuitOpen(Unavailable):
    """A provider failed so often in a row that it is not asked for a while; `retry_after_s` says for how long."""

    default_code = "circuit_open"


class StoreUnavailable(Unavailable):
    """A store that this call needs is away."""

    default_code = "store_unavailable"


class CredentialUnavailable(Unavailable):
    """The caller's own provider credential cannot be used; the operator's never takes its place."""

    default_code = "credential_unavailable"


class JournalFull(Unavailable):
    """The call could not be recorded, so it is not served."""

    default_code = "journal_full"


class InternalError(GatewayError):
    """A defect of ours; the message says nothing but the request id to quote."""


class OperatorError(Exception):
    """What whoever runs Inferway must mend: a setting, a file, an address. The message is one line that says what to do."""


class UsageError(OperatorError):
    """What was asked for makes no sense, whatever is there: options that contradict one another, a value that is none."""
