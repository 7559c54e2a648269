"""Deletes what is older than it is kept, in the background and in short steps."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from inferway.errors import StoreUnavailable
from inferway.usage.ledger import Ledger
from inferway.usage.queries import Cutoffs

EVERY_S = 3600.0
_STEP = 500
"""Records of one step: a few milliseconds of the database's one writer."""

_PAUSE_S = 0.25
_LOG = logging.getLogger(__name__)


class Kept(Struct, frozen=True, kw_only=True):
    """For how many days calls, hourly and daily rollups are kept; 0 keeps them for good."""

    calls_days: int = 0
    hourly_days: int = 0
    daily_days: int = 0

    def cutoffs(self, now: datetime) -> Cutoffs:
        """Before which moments what is deleted at a moment; whole days of rollups."""
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        return Cutoffs(
            calls=now - timedelta(days=self.calls_days) if self.calls_days else None,
            hourly=midnight - timedelta(days=self.hourly_days) if self.hourly_days else None,
            daily=midnight - timedelta(days=self.daily_days) if self.daily_days else None,
        )


class Retention:
    """Sweeps the ledger once an hour. Several workers that do it at once do each other no harm."""

    def __init__(
        self,
        ledger: Ledger,
        kept: Kept,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._ledger, self._kept = ledger, kept
        self._sleep, self._now = sleep, now

    async def run(self) -> None:
        """Sweeps for ever; a database that is away is tried again an hour later."""
        if self._kept == Kept():
            return
        while True:
            # Workers that start at once are not to sweep at once.
            await self._sleep(EVERY_S * random.uniform(0.02, 1))  # noqa: S311 - no secret
            try:
                if gone := await self.sweep():
                    _LOG.info("%d rows of usage were older than they are kept and are gone", gone)
            except StoreUnavailable:
                _LOG.warning("old usage could not be deleted: the database cannot be used")
            except Exception:  # noqa: BLE001 - a background task
                _LOG.exception("old usage could not be deleted")

    async def sweep(self) -> int:
        """Deletes all that is too old, step by step, and says how many rows went. Raises `StoreUnavailable`."""
        cutoffs = self._kept.cutoffs(self._now())
        gone = 0
        while step := await self._ledger.prune(cutoffs, _STEP):
            gone += step
            await self._sleep(_PAUSE_S)
        return gone
