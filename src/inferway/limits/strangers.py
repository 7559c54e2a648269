"""Bad keys: how many one address may try."""

import math

from inferway.errors import TooManyRequests
from inferway.limits.bucket import Bucket
from inferway.limits.table import Refused, Table
from inferway.limits.terms import Rules


class Strangers:
    """Counts attempts with bad keys by address, for all processes of the machine, in a table of bounded size.

    An address that was quiet may try `burst` keys, and `per_minute` from then on; 0 is no limit.
    """

    def __init__(self, table: Table, *, per_minute: int, burst: int) -> None:
        self._table = table
        capacity = max(per_minute, burst)
        minute = Bucket(limit=per_minute, capacity=capacity, window_s=60) if per_minute else None
        self._rules = Rules(minute=minute, second=None, tokens=None, concurrent=0)

    def find_refusal(self, address: str) -> TooManyRequests | None:
        """Counts one attempt of an address; what it is told when that was one too many."""
        if self._rules.minute is None:
            return None
        held = self._table.enter(address, "", self._rules)
        if not isinstance(held, Refused):
            return None
        wait_s = max(1, math.ceil(held.wait_us / 1_000_000))
        return TooManyRequests(
            f"too many attempts with bad keys from this address: {held.limit} a minute are answered",
            code="too_many_bad_keys",
            retry_after_s=wait_s,
            details={
                "limit": held.limit,
                "window": held.window_s,
                "retry_after": wait_s,
                "retry_after_seconds": wait_s,
                "api_name": "authentication",
                "retryable": False,
            },
        )

    def close(self) -> None:
        """Leaves the table."""
        self._table.close()
