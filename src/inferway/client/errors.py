"""What a call can end with besides an answer: one class for each error type of the wire contract.

InferwayError
├── ConnectionFailed                     nobody answered, or the answer broke off
└── APIError                             the server's error envelope
    ├── BadRequestError             400
    ├── UnauthorizedError           401
    ├── ForbiddenError              403
    │   └── QuotaExceededError      403
    ├── NotFoundError               404
    ├── ValidationError             422
    ├── TooManyRequestsError        429
    ├── InternalServerError         500
    │   └── InferenceError          500
    └── InferenceServiceUnavailableError  503
"""

from typing import Any


class InferwayError(Exception):
    """Any failure of a call."""


class ConnectionFailed(InferwayError):
    """Nobody answered at the address, or the answer broke off. `sent` is false when the request surely did not leave."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class APIError(InferwayError):
    """The server refused or failed.

    `type` and `code` are stable words, `details` an object, `envelope` the whole answer. `retry_after_s` is the server's hint in
    seconds, `retryable` whether the same call may succeed later.
    """

    def __init__(self, status: int, envelope: dict[str, Any], *, retry_after_s: float | None = None) -> None:
        found = envelope.get("error")
        error: dict[str, Any] = found if isinstance(found, dict) else {}
        super().__init__(str(error.get("message") or f"the server answered with status {status}"))
        self.status = status
        self.envelope = envelope
        self.type: str | None = error.get("type")
        self.code: str | None = error.get("code")
        details = error.get("details")
        self.details: dict[str, Any] = details if isinstance(details, dict) else {}
        self.retry_after_s = retry_after_s

    @property
    def retryable(self) -> bool:
        """Whether the server says that the same call may be sent again."""
        return self.details.get("retryable") is True

    @property
    def request_id(self) -> str | None:
        """The id under which the server knows the call."""
        return self.envelope.get("request_id")


class BadRequestError(APIError):
    """400: well formed, but it cannot be executed."""


class UnauthorizedError(APIError):
    """401: the key is missing, malformed, unknown, revoked or expired."""


class ForbiddenError(APIError):
    """403: the key may not do this."""


class QuotaExceededError(ForbiddenError):
    """403: a spend cap is reached."""


class NotFoundError(APIError):
    """404: the namespace, or another named thing, is not there."""


class ValidationError(APIError):
    """422: the body does not have the contract's shape; `details["validation_errors"]` says where."""


class TooManyRequestsError(APIError):
    """429: a limit of the server or of the provider."""


class InternalServerError(APIError):
    """500: the server failed."""


class InferenceError(InternalServerError):
    """500: the provider failed, or its answer cannot be used."""


class InferenceServiceUnavailableError(APIError):
    """503: not now: a timeout, an overload, a model that is still loading."""


_BY_TYPE: dict[str, type[APIError]] = {
    kind.__name__: kind
    for kind in (
        BadRequestError,
        UnauthorizedError,
        ForbiddenError,
        QuotaExceededError,
        NotFoundError,
        ValidationError,
        TooManyRequestsError,
        InternalServerError,
        InferenceError,
        InferenceServiceUnavailableError,
    )
}
_BY_STATUS: dict[int, type[APIError]] = {
    400: BadRequestError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    422: ValidationError,
    429: TooManyRequestsError,
    500: InternalServerError,
    503: InferenceServiceUnavailableError,
}


def error_of(status: int, envelope: dict[str, Any], retry_after_s: float | None = None) -> APIError:
    """The error of an envelope, by its type, else by its status."""
    error = envelope.get("error")
    name = error.get("type") if isinstance(error, dict) else None
    kind = _BY_TYPE.get(name or "") or _BY_STATUS.get(status, APIError)
    return kind(status, envelope, retry_after_s=retry_after_s)
