"""How much more than was asked may go out to a provider: repeated calls, and second ones beside slow ones."""

from msgspec import Struct


class RetryRules(Struct, frozen=True, kw_only=True):
    """Calls that may be repeated at once: a `share` of those under way, and never fewer than `least`."""

    share: float = 0.2
    least: int = 3


class RetryBudget:
    """The repeated calls of one provider in this process.

    A call is `active` from its first attempt to its end, waits included; it holds a place among the `retrying` from the decision to
    repeat it until that attempt ended. So in a full outage repetition adds a fifth at most, however many callers there are.
    """

    __slots__ = ("_least", "_share", "active", "retrying")

    def __init__(self, rules: RetryRules) -> None:
        self._share = rules.share
        self._least = rules.least
        self.active = 0
        self.retrying = 0

    def take(self) -> bool:
        """Takes a place for one repetition, if there is one; `give_back` must follow."""
        if self.retrying >= max(self._least, int(self.active * self._share)):
            return False
        self.retrying += 1
        return True

    def give_back(self) -> None:
        """The repetition has ended."""
        self.retrying -= 1


class HedgeQuota:
    """Second calls beside slow ones: at most a share of the calls that may have one, counted over the last few thousand.

    One is let through before there are enough calls to have a share of.
    """

    __slots__ = ("_calls", "_hedges", "_share")

    _REMEMBERED = 2_000

    def __init__(self, share: float) -> None:
        self._share = share
        self._calls = 0.0
        self._hedges = 0.0

    def count(self) -> None:
        """One more call that may get a second."""
        self._calls += 1
        if self._calls >= self._REMEMBERED:
            self._calls /= 2
            self._hedges /= 2

    def take(self) -> bool:
        """Takes one second call, if there is one left."""
        if self._hedges + 1 > max(1.0, self._calls * self._share):
            return False
        self._hedges += 1
        return True
