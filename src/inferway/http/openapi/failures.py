"""How failures look on the wire, declared for the description."""

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType


class Failure(Struct, frozen=True, kw_only=True):
    """What went wrong: a sentence for people, a type by status, and a stable word for programs where there is one."""

    message: str
    type: str
    code: str | UnsetType = UNSET
    details: dict[str, Any] | UnsetType = UNSET


class ErrorEnvelope(Struct, frozen=True, kw_only=True):
    """Every failure. `details.validation_errors` of a 422 lists `type`, `location` (a path into body or query) and `message`."""

    success: Literal[False]
    status: int
    error: Failure
    request_id: str
