"""What a recorded error has to become: the provider wire facts and the contract's table, written down once more by hand."""

import json
import math
import re
from typing import Any

from msgspec import Struct

from tests.recordings.book import Recording

LIMITED = ("TooManyRequestsError", "provider_rate_limited")
REFUSED = ("BadRequestError", "provider_refused")
AUTH = ("InferenceError", "provider_auth")
QUOTA = ("InferenceError", "provider_quota")
FAILED = ("InferenceError", "provider_error")
SAMPLING = ("temperature", "top_p", "seed", "stop")

_RETRIED = frozenset((408, 409, 429, 500, 502, 503, 504, 529))


class Failure(Struct, frozen=True, kw_only=True):
    """The error a caller gets, whether it is tried again first, and the seconds that the provider asks to wait."""

    status: int
    type: str
    code: str
    is_retried: bool
    hint_s: float | None


def expect_failure(recording: Recording) -> Failure:
    """The failure that a recorded error is."""
    status, kind = _kind(recording)
    hint = _hint_s(recording)
    asked = recording.response.header("x-should-retry")
    retried = recording.response.status in _RETRIED and kind in (LIMITED, FAILED)
    if asked in ("true", "false") and kind in (LIMITED, FAILED, REFUSED):
        retried = asked == "true"
    return Failure(status=status, type=kind[0], code=kind[1], is_retried=retried, hint_s=hint)


def _kind(recording: Recording) -> tuple[int, tuple[str, str]]:
    status, said = recording.response.status, json.dumps(_error(recording))
    if status in (401, 403) or "API_KEY_INVALID" in said or "API_KEY_EXPIRED" in said:
        return 500, AUTH
    if (
        status == 402
        or "insufficient_quota" in said
        or '"billing_error"' in said
        or re.search(r"quotaId[^}]*PerDay", said)
    ):
        return 500, QUOTA
    if status == 429:
        return 429, LIMITED
    if status in (408, 409):
        return 500, FAILED
    return (500, FAILED) if status >= 500 else (400, REFUSED)


def _error(recording: Recording) -> Any:
    body = recording.response.body
    body = body[0] if isinstance(body, list) else body
    return body.get("error", body) if isinstance(body, dict) else {}


def names_sampling(recording: Recording) -> bool:
    """Whether the provider says that it is a sampling parameter which this model does not take."""
    return str(_error(recording).get("param")) in SAMPLING


def _hint_s(recording: Recording) -> float | None:
    response = recording.response
    milliseconds, seconds = response.header("retry-after-ms"), response.header("retry-after")
    if milliseconds is not None:
        return float(milliseconds) / 1000
    if seconds is not None and re.fullmatch(r"[0-9.]+", seconds):
        return float(seconds)
    delay = re.search(r'"retryDelay": "([0-9.]+)s"', json.dumps(_error(recording)))
    return float(delay[1]) if delay else None


def retry_after(failure: Failure) -> int:
    """The least `Retry-After` that the caller has to be told."""
    return max(1, math.ceil(failure.hint_s or 0))


_SECRETS = re.compile(
    r"https?://|\bsk-\w|\borg-(?!REDACTED\b)\w{6}|googleapis\.com|(?:openai|anthropic)\.com|provided: (?!\[)|Traceback|\.py\b"
)


def leaks(recording: Recording, answer: Any, private: list[str]) -> list[str]:
    """What an error must not hold and does: addresses, keys and their fragments, texts of the request, traces."""
    text = json.dumps(answer, ensure_ascii=False)
    found = [match[0] for match in _SECRETS.finditer(text)]
    message = str(_error(recording).get("message", ""))
    key = re.search(r"key provided: (\S+?)\.? ", message)
    fragments = [piece for piece in re.split(r"[^\w-]+", key[1]) if len(piece) > 3] if key else []
    return found + [secret for secret in (*private, *fragments) if secret in text]
