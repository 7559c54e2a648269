"""Whether the database answers: while it does not, most who ask are told so at once, and one at a time tries."""

import time
from collections.abc import Callable

_TRY_EVERY_S = 0.5


class Outage:
    """`patience_s` is what a try may take; a try that was given up counts as failed after that."""

    def __init__(self, patience_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._patience_s, self._clock = patience_s, clock
        self._is_away = False
        self._try_at = 0.0

    def allows(self) -> bool:
        """Whether to ask the database; true for one asker now and then while it is away."""
        if not self._is_away:
            return True
        now = self._clock()
        if now < self._try_at:
            return False
        self._try_at = now + self._patience_s
        return True

    def failed(self) -> bool:
        """It did not answer; whether that is news."""
        is_news, self._is_away = not self._is_away, True
        self._try_at = self._clock() + _TRY_EVERY_S
        return is_news

    def answered(self) -> bool:
        """It answered; whether that is news."""
        is_news, self._is_away = self._is_away, False
        return is_news
