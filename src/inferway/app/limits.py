"""Admission, put together from its settings."""

from pathlib import Path

from inferway.limits.admission import LimitedAdmission
from inferway.limits.local import LocalCounter
from inferway.limits.table import Table
from inferway.limits.terms import TIERS, Terms
from inferway.settings import LimitSettings


class Limits:
    """What counts the calls of this worker together with the machine's others."""

    def __init__(self, settings: LimitSettings, data_dir: Path) -> None:
        self._table = Table.open(data_dir / "run" / "limits")
        self.admission = LimitedAdmission(LocalCounter(self._table), terms_of(settings))

    def close(self) -> None:
        """Calls have ended."""
        self._table.close()


def terms_of(settings: LimitSettings) -> Terms:
    """The tier's numbers, and over them what was set."""
    tier = TIERS[settings.tier]
    chosen = {name: getattr(settings, name) for name in Terms.__struct_fields__}
    return Terms(**{name: getattr(tier, name) if value is None else value for name, value in chosen.items()})
