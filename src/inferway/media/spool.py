"""Where content is gathered until its size is known: small content in memory, the rest in an unnamed file."""

import tempfile
from types import TracebackType
from typing import Final, Self

from inferway.errors import Overloaded

_MEMORY_BYTES: Final = 16 * 1024 * 1024


class Budget:
    """The bytes of unfinished content that one process may hold."""

    def __init__(self, limit_bytes: int) -> None:
        self._left_bytes = limit_bytes

    def take(self, size: int) -> None:
        """Reserve `size` bytes; Overloaded when they are not there."""
        if size > self._left_bytes:
            raise Overloaded("Too much media is being fetched.", retry_after_s=5)
        self._left_bytes -= size

    def give_back(self, size: int) -> None:
        """Return what `take` reserved."""
        self._left_bytes += size


class Spool:
    """Gathers one content; an endless one costs no more memory than a small one. A context manager."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        # Closed in `__exit__`.
        self._file = tempfile.SpooledTemporaryFile(max_size=_MEMORY_BYTES)  # noqa: SIM115
        self.size = 0

    def write(self, data: bytes) -> None:
        """Add bytes; Overloaded when the budget or the disk is used up."""
        self._budget.take(len(data))
        self.size += len(data)
        try:
            self._file.write(data)
        except OSError:
            raise Overloaded("No room to fetch media.", retry_after_s=5) from None

    def read(self, limit: int = -1) -> bytes:
        """The first `limit` bytes, or everything; writing goes on at the end."""
        self._file.seek(0)
        data = self._file.read(limit)
        self._file.seek(0, 2)
        return data

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._budget.give_back(self.size)
        self._file.close()
