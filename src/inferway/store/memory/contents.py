"""The calls whose request and answer a namespace keeps, in memory."""

from collections.abc import Sequence

from msgspec.structs import replace

from inferway.cache.contents import CallHead, CallPlace, KeptCall
from inferway.errors import StoreUnavailable


class MemoryContents:
    """The `Contents` of this process. `is_away` makes every method raise, as a lost database does."""

    def __init__(self) -> None:
        self.is_away = False
        self._calls: dict[str, KeptCall] = {}

    async def add(self, calls: Sequence[KeptCall]) -> None:
        """See `Contents`."""
        self._require()
        for call in calls:
            self._calls.setdefault(call.head.record_id, call)

    async def list_heads(
        self, namespace_id: str, *, since_us: int, before: CallPlace | None, limit: int
    ) -> tuple[CallHead, ...]:
        """See `Contents`."""
        heads = [call.head for call in self._newest_first(namespace_id, since_us)]
        if before is not None:
            end = (before.at_us, before.record_id)
            heads = [head for head in heads if (head.at_us, head.record_id) < end]
        return tuple(heads[:limit])

    async def find(self, namespace_id: str, reference: str, *, since_us: int) -> KeptCall | None:
        """See `Contents`."""
        calls = self._newest_first(namespace_id, since_us)
        by_id = [call for call in calls if call.head.record_id == reference]
        by_request = [call for call in calls if call.head.request_id == reference]
        return next(iter([*by_id, *by_request]), None)

    async def next_owner(self, after: str) -> tuple[str, str] | None:
        """See `Contents`."""
        self._require()
        found = {
            (call.head.namespace_id, call.head.organization_id)
            for call in self._calls.values()
            if call.head.namespace_id > after
        }
        return min(found)[::-1] if found else None

    async def delete(self, namespace_id: str, *, before_us: int, limit: int) -> int:
        """See `Contents`."""
        oldest_first = self._newest_first(namespace_id, 0)[::-1]
        gone = [call for call in oldest_first if call.head.at_us < before_us][:limit]
        for call in gone:
            del self._calls[call.head.record_id]
        return len(gone)

    async def list_under_other_keys(self, kek_id: str, *, after: str, limit: int) -> tuple[KeptCall, ...]:
        """See `Contents`."""
        self._require()
        found = [self._calls[name] for name in sorted(self._calls) if name > after]
        return tuple([call for call in found if call.sealed.kek_id != kek_id][:limit])

    async def reseal(self, calls: Sequence[KeptCall]) -> None:
        """See `Contents`."""
        self._require()
        for call in calls:
            found = self._calls.get(call.head.record_id)
            if found is not None:
                self._calls[call.head.record_id] = replace(found, sealed=call.sealed)

    def _newest_first(self, namespace_id: str, since_us: int) -> list[KeptCall]:
        self._require()
        found = [
            call
            for call in self._calls.values()
            if call.head.namespace_id == namespace_id and call.head.at_us >= since_us
        ]
        return sorted(found, key=lambda call: (call.head.at_us, call.head.record_id), reverse=True)

    def _require(self) -> None:
        if self.is_away:
            raise StoreUnavailable("The database cannot be used right now.", retry_after_s=5)
