"""Counting calls for several machines, on a Valkey or Redis server that they share."""

import asyncio
import itertools
import logging
import os
import time
from collections.abc import Callable
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from inferway.errors import OperatorError
from inferway.limits.admission import Counter, Visit
from inferway.limits.bucket import Bucket
from inferway.limits.scripts import ENTER, ROOM, SCRIPTS, TOKENS
from inferway.limits.share import Breaker, shared_rules
from inferway.limits.table import Refused, Room, at_once_refused, refused_by, room_of
from inferway.limits.terms import Rules

_log = logging.getLogger("inferway.limits")

TIMEOUT_S = 0.05
"""A server that takes longer is away, as far as a call is concerned."""

_FAILURES = (RedisError, OSError, TimeoutError)


class ValkeyServer:
    """One server and whether it answers. Its clock is the one that counts, as machines' clocks differ."""

    def __init__(
        self, url: str, *, timeout_s: float = TIMEOUT_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        try:
            self._client: Redis = Redis.from_url(
                url, retry=Retry(NoBackoff(), 0), socket_connect_timeout=timeout_s, protocol=2
            )
        except ValueError:
            raise OperatorError(
                "limits.url: expected redis://host:port/0, rediss://… or unix://…; see the settings."
            ) from None
        self._scripts = {name: self._client.register_script(name) for name in SCRIPTS}
        self._timeout_s = timeout_s
        self._breaker = Breaker(clock)

    async def run(self, script: str, keys: list[str], arguments: list[Any]) -> Any:
        """What a script answers; None while the server is away."""
        if not self._breaker.allows():
            return None
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._scripts[script](keys, arguments)
        except _FAILURES as error:
            self._failed(error)
            return None
        except BaseException:
            self._breaker.abandoned()
            raise
        if self._breaker.succeeded():
            _log.warning("the server of the limits is back: all machines count together again")
        return answer

    async def forget(self, key: str, member: str) -> None:
        """Removes a member of a sorted set, unless the server is away."""
        if not self._breaker.allows():
            return
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._client.zrem(key, member)
        except _FAILURES as error:
            self._failed(error)
        except BaseException:
            self._breaker.abandoned()
            raise
        else:
            self._breaker.succeeded()

    async def aclose(self) -> None:
        """Ends all connections."""
        await self._client.aclose()

    def _failed(self, error: Exception) -> None:
        if self._breaker.failed():
            _log.warning(
                "the server of the limits is away (%s): counting our share here", type(error).__name__
            )


class ValkeyVisit:
    """A call that is counted on the server. `owed` is what the key owed by minute and by second once it was in."""

    def __init__(  # noqa: PLR0913 - where it is counted, and what it was told
        self,
        server: ValkeyServer,
        *,
        key: str,
        running: str,
        member: str | None,
        rules: Rules,
        owed: tuple[int, int],
        clock_us: Callable[[], int],
    ) -> None:
        self._server, self._key, self._running, self._member = server, key, running, member
        self._rules, self._owed, self._clock_us = rules, owed, clock_us
        self._at_us = clock_us()

    def room(self) -> Room | None:
        """What was left when the call came in, and what has come back since."""
        now = self._clock_us()
        minute, second = self._rules.minute, self._rules.second
        by_minute, by_second = self._owed
        return room_of(
            minute,
            minute.owed(by_minute, self._at_us, now) if minute is not None else 0,
            second,
            second.owed(by_second, self._at_us, now) if second is not None else 0,
        )

    async def take_tokens(self, bucket: Bucket, tokens: int) -> Refused | None:
        """Reserve tokens. While the server is away none are counted: the calls still are."""
        answer = await self._server.run(TOKENS, [self._key], _token_arguments(bucket, tokens, is_final=False))
        if answer is None or answer[0]:
            return None
        return refused_by(bucket, int(answer[1]), min(tokens, bucket.capacity))

    async def correct_tokens(self, bucket: Bucket, tokens: int) -> None:
        """Take more tokens, or give some back."""
        if tokens:
            await self._server.run(TOKENS, [self._key], _token_arguments(bucket, tokens, is_final=True))

    async def leave(self) -> None:
        """The call has ended. If the server does not hear of it, its lease ends there."""
        member, self._member = self._member, None
        if member is not None:
            await self._server.forget(self._running, member)


class ValkeyCounter:
    """Counts on the server; while it is away, this machine's share of each limit is counted by `local`.

    `lease_s` is how long a call counts as running at most: one whose process died is forgotten then.
    """

    def __init__(
        self,
        server: ValkeyServer,
        local: Counter,
        *,
        replicas: int,
        lease_s: float,
        clock_us: Callable[[], int] = lambda: time.monotonic_ns() // 1000,
    ) -> None:
        self._server, self._local, self._replicas, self._clock_us = server, local, replicas, clock_us
        self._lease_us = int(lease_s * 1_000_000)
        self._members = (f"{os.urandom(6).hex()}:{number}" for number in itertools.count())

    async def enter(self, key_id: str, organization_id: str, rules: Rules) -> Visit | Refused:
        """Let a call in, or say which limit has no room."""
        # Both names have one hash tag, so that a cluster keeps them on one node.
        key, running = _key(organization_id, key_id), f"inferway:{{{organization_id}}}:running"
        member = next(self._members) if rules.concurrent else None
        arguments = [
            *_numbers(rules.minute),
            *_numbers(rules.second),
            rules.concurrent,
            self._lease_us,
            member or "",
        ]
        answer = await self._server.run(ENTER, [key, running], arguments)
        if answer is None:
            return await self._local.enter(key_id, organization_id, shared_rules(rules, self._replicas))
        verdict, by_minute, by_second = (int(number) for number in answer)
        if verdict == 1:
            return ValkeyVisit(
                self._server,
                key=key,
                running=running,
                member=member,
                rules=rules,
                owed=(by_minute, by_second),
                clock_us=self._clock_us,
            )
        return _refused(rules, verdict, by_minute, by_second)

    async def room(self, key_id: str, organization_id: str, rules: Rules) -> Room | None:
        """What a key's limits have left now; None when there are none."""
        if rules.minute is None and rules.second is None:
            return None
        limits = [bucket.limit if bucket is not None else 0 for bucket in (rules.minute, rules.second)]
        owed = await self._server.run(ROOM, [_key(organization_id, key_id)], limits)
        if owed is None:
            return await self._local.room(key_id, organization_id, shared_rules(rules, self._replicas))
        return room_of(rules.minute, int(owed[0]), rules.second, int(owed[1]))


def _key(organization_id: str, key_id: str) -> str:
    return f"inferway:{{{organization_id}}}:key:{key_id}"


def _refused(rules: Rules, verdict: int, by_minute: int, by_second: int) -> Refused:
    if verdict == 0:
        return at_once_refused(rules.concurrent)
    pairs = ((rules.minute, by_minute), (rules.second, by_second))
    full = [refused_by(bucket, owed) for bucket, owed in pairs if bucket is not None and owed > bucket.brim]
    return max(full, key=lambda each: each.wait_us)


def _numbers(bucket: Bucket | None) -> tuple[int, int, int]:
    return (0, 0, 0) if bucket is None else (bucket.limit, bucket.unit, bucket.brim)


def _token_arguments(bucket: Bucket, tokens: int, *, is_final: bool) -> list[int]:
    return [bucket.limit, bucket.unit, bucket.capacity, tokens, int(is_final)]
