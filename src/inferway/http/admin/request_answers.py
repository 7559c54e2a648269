"""What the routes of single calls answer."""

from datetime import datetime

from msgspec import Struct

from inferway.http.admin.answers import KeptDays, ShownAttempt, Used
from inferway.http.admin.usage_answers import Tokens


class RequestLine(Struct, frozen=True, kw_only=True):
    """A call in a list. `time` is when it began; a cost of null is not known, and never 0.

    A key or a namespace that was removed has no name. `latency_ms` is the whole call here, `upstream_ms` the part of it that was spent
    with providers, `first_event_ms` the time until the first event of a streamed answer.
    """

    record_id: str
    request_id: str
    time: datetime
    operation: str
    provider: str
    model: str
    status: str
    namespace_id: str
    namespace_name: str | None
    key_id: str
    key_name: str | None
    error_type: str | None
    error_code: str | None
    latency_ms: float
    upstream_ms: float
    first_event_ms: float | None
    streamed: bool
    cached: bool
    cache_kind: str | None
    retries: int
    tokens: Tokens
    cost_usd: float | None
    cost_microusd: int | None


class RequestLines(Struct, frozen=True, kw_only=True):
    """A page of calls, the newest first; `next_cursor` is null at the end."""

    results: tuple[RequestLine, ...]
    next_cursor: str | None


class ShownRequest(RequestLine, frozen=True, kw_only=True):
    """A call with its attempts. `adaptations` are the fields that the provider got otherwise than they were given, each with what was done.

    `keep_content` says for how many days the namespace keeps what is asked and answered now; null: it keeps nothing.
    """

    usage: Used | None
    price_version: str | None
    model_version: str | None
    adaptations: tuple[str, ...]
    attempts: tuple[ShownAttempt, ...]
    keep_content: KeptDays | None
