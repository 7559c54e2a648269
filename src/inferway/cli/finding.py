"""One line of an examination's report."""

from typing import Literal

from msgspec import Struct


class Finding(Struct, frozen=True, kw_only=True):
    """What was looked at, how it is, and what to do."""

    check: str
    state: Literal["ok", "warn", "fail"]
    message: str


def ok(check: str, message: str) -> Finding:
    """It is as it should be."""
    return Finding(check=check, state="ok", message=message)


def warn(check: str, message: str) -> Finding:
    """It works, and should be looked at."""
    return Finding(check=check, state="warn", message=message)


def fail(check: str, message: str) -> Finding:
    """It does not work."""
    return Finding(check=check, state="fail", message=message)
