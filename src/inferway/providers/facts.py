"""Known facts of model families, as data: rows of name patterns, later rows overriding earlier ones."""

import tomllib
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from importlib.resources import files
from typing import Any

from inferway.providers.base import Facts

_CACHED_MODELS = 512
_WILD = frozenset("*?[")


class FactTable:
    """Facts by model name. An unknown model has no facts, which means that it is assumed able."""

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        self._rows = [(tuple(row["models"]), {k: v for k, v in row.items() if k != "models"}) for row in rows]
        self._known: dict[str, Facts] = {}

    def names(self) -> tuple[str, ...]:
        """The models that a row names as they are, in the order of the rows."""
        patterns = (pattern for names, _ in self._rows for pattern in names)
        return tuple(dict.fromkeys(name for name in patterns if not _WILD.intersection(name)))

    def facts(self, model: str) -> Facts:
        """The facts of one model: all rows with a matching pattern, merged in order."""
        known = self._known.get(model)
        if known is None:
            known = {}
            for patterns, row in self._rows:
                if any(fnmatchcase(model, pattern) for pattern in patterns):
                    known |= row
            if len(self._known) >= _CACHED_MODELS:
                self._known.clear()
            self._known[model] = known
        return known


def load_facts(package: str, overrides: Iterable[Mapping[str, Any]] = ()) -> FactTable:
    """The table shipped as `models.toml` in a provider's package, with an operator's rows behind it."""
    text = files(package).joinpath("models.toml").read_text(encoding="utf-8")
    return FactTable([*tomllib.loads(text).get("family", ()), *overrides])
