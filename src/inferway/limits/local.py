"""Counting calls on this machine, in the table that its processes share."""

from msgspec import Struct

from inferway.limits.bucket import Bucket
from inferway.limits.table import Refused, Room, Table
from inferway.limits.terms import Rules


class LocalVisit(Struct, eq=False):
    """A call that is counted in a table. `cell` counts the calls at once of its organization, while this one is among them."""

    table: Table
    key_id: str
    rules: Rules
    cell: int | None

    def room(self) -> Room | None:
        """What the key's limits have left now."""
        return self.table.room(self.key_id, self.rules)

    async def take_tokens(self, bucket: Bucket, tokens: int) -> Refused | None:
        """Reserve tokens, or say that there are too few."""
        return self.table.take_tokens(self.key_id, bucket, tokens)

    async def correct_tokens(self, bucket: Bucket, tokens: int) -> None:
        """Take more tokens, or give some back."""
        self.table.correct_tokens(self.key_id, bucket, tokens)

    async def leave(self) -> None:
        """The call has ended; a second time changes nothing."""
        cell, self.cell = self.cell, None
        self.table.leave(cell)


class LocalCounter:
    """Counts in the machine's table; waits for nothing."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def enter(self, key_id: str, organization_id: str, rules: Rules) -> LocalVisit | Refused:
        """Let a call in, or say which limit has no room."""
        held = self._table.enter(key_id, organization_id, rules)
        if isinstance(held, Refused):
            return held
        return LocalVisit(self._table, key_id, rules, held.cell)

    async def room(self, key_id: str, organization_id: str, rules: Rules) -> Room | None:
        """What a key's limits have left now; None when there are none."""
        del organization_id
        return self._table.room(key_id, rules)
