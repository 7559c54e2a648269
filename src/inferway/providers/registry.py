"""The table of configured providers, by name and alias."""

from collections.abc import Iterable

from inferway.errors import BadRequest
from inferway.providers.base import Provider
from inferway.types import Operation

ALIASES = {"gemini": "google"}


class Registry:
    """The rows that were configured. Looking one up costs a dictionary access."""

    def __init__(self, rows: Iterable[Provider]) -> None:
        self._rows = {row.name: row for row in rows}
        self._by_name = dict(self._rows)
        for alias, name in ALIASES.items():
            if name in self._rows:
                self._by_name.setdefault(alias, self._rows[name])

    def get(self, name: str) -> Provider:
        """A provider by name or alias; raises `BadRequest` (code unknown_provider) naming those that are configured."""
        row = self._by_name.get(name)
        if row is not None:
            return row
        known = ", ".join(self.names())
        raise BadRequest(
            f"there is no provider of that name here; configured: {known}",
            code="unknown_provider",
            details={"provider": name[:64], "providers": list(self.names())},
        )

    def names(self) -> tuple[str, ...]:
        """All names, without aliases."""
        return tuple(sorted(self._rows))

    def rows(self) -> tuple[Provider, ...]:
        """All rows, by name."""
        return tuple(self._rows[name] for name in self.names())

    def serving(self, operation: Operation) -> tuple[str, ...]:
        """Names of the providers that can serve an operation."""
        return tuple(row.name for row in self.rows() if row.capability(operation) is not None)
