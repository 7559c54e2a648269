"""One line's call, as often as it takes: the same key each time, so that it is paid once."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from inferway.cli.batching.lines import Job
from inferway.cli.batching.told import answer_line, failure_line
from inferway.client.errors import (
    APIError,
    ConnectionFailed,
    InferwayError,
    NotFoundError,
    QuotaExceededError,
    UnauthorizedError,
)
from inferway.client.requests import Patience

_COMING = frozenset({"model_warming", "idempotency_in_progress"})
"""What is waited for however often it is said, up to `wait_s`: a model is being fetched, an earlier run's call still goes on."""
_NO_ROOM = "idempotency_keys_exhausted"


class GoingOnIsUseless(Exception):
    """Every further call would fail alike; the message says what to do. The line that found it out counts as not called."""


class Infers(Protocol):
    """Who makes the calls: an `AsyncClient` that does not retry by itself."""

    async def infer(self, body: Mapping[str, Any], *, idempotency_key: str | None = None) -> dict[str, Any]:
        """The answer's object; raises `InferwayError`."""


class Caller:
    """Makes the calls of one run; gives the line of the output. `without_key` counts those that could not have a key."""

    def __init__(
        self,
        client: Infers,
        run: str,
        patience: Patience,
        wait_s: float,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._client = client
        self._run = run
        self._patience = patience
        self._wait_s = wait_s
        self._sleep = sleep
        self.without_key = 0

    async def call(self, job: Job) -> bytes:
        """The line of the output for a job. Raises `GoingOnIsUseless`."""
        try:
            return answer_line(job, _checked(await self._answer(job)))
        except APIError as error:
            if advice := _useless(error):
                raise GoingOnIsUseless(advice) from None
            return failure_line(job, error.status, _error_of(error))
        except ConnectionFailed as error:
            if not error.sent:
                raise GoingOnIsUseless(f"{error}. Start it, or mend the address") from None
            return failure_line(job, None, {"message": str(error), "type": "ConnectionFailed"})

    async def _answer(self, job: Job) -> dict[str, Any]:
        key: str | None = f"batch-{self._run}-{job.number}-{job.sum}"
        ends_at = time.monotonic() + self._wait_s
        tried = 0
        while True:
            try:
                return await self._client.infer(job.body, idempotency_key=key)
            except InferwayError as error:
                if isinstance(error, APIError) and error.code == _NO_ROOM and key is not None:
                    # The server keeps as many answers as it may. Calls go on; only a restart may pay one twice.
                    key = None
                    self.without_key += 1
                    continue
                wait_s = _coming_s(error) if time.monotonic() < ends_at else None
                if wait_s is None:
                    tried += 1
                    wait_s = self._patience.wait_s(error, tried, may_repeat=key is not None)
                if wait_s is None:
                    raise
            await self._sleep(wait_s)


def _coming_s(error: InferwayError) -> float | None:
    if isinstance(error, APIError) and error.code in _COMING:
        return max(0.5, error.retry_after_s or 1.0)
    return None


def _checked(body: dict[str, Any]) -> dict[str, Any]:
    if "data" not in body or "provider" not in body:
        raise GoingOnIsUseless(
            "What answers there is not Inferway. Check the address (client.url, INFERWAY_URL)"
        )
    return body


def _error_of(error: APIError) -> dict[str, Any]:
    found = error.envelope.get("error")
    known: dict[str, Any] = found if isinstance(found, dict) else {"message": str(error), "type": "APIError"}
    return known if error.request_id is None else {**known, "request_id": error.request_id}


def _useless(error: APIError) -> str | None:
    """What to do before any call can succeed; None when others may."""
    if isinstance(error, UnauthorizedError):
        return f"{error} [401 {error.code}]. Use the key of the server's own data folder, or set INFERWAY_API_KEY"
    if isinstance(error, QuotaExceededError):
        return f"{error} [403]. Raise the budget, or wait for its next day or month"
    if isinstance(error, NotFoundError) and error.details.get("resource") == "namespace":
        return f"{error} [404]. Name another with --namespace"
    return None
