"""Admission, put together from its settings."""

from inferway.errors import OperatorError
from inferway.limits.admission import Counter, LimitedAdmission
from inferway.limits.local import LocalCounter
from inferway.limits.table import Table
from inferway.limits.terms import TIERS, Terms
from inferway.settings import LimitSettings, Settings

_MARGIN_S = 10.0


class Limits:
    """What counts the calls of this worker together with the machine's others, and with other machines if there is a server for it.

    Raises `OperatorError` when the data folder or the server's address cannot be used; a server that is away is no reason not to start.
    """

    def __init__(self, settings: Settings) -> None:
        self._table = Table.open(settings.data_dir / "limits")
        counter: Counter = LocalCounter(self._table)
        self._server = None
        if settings.limits.url is not None:
            try:
                from inferway.limits.valkey import ValkeyCounter, ValkeyServer  # noqa: PLC0415 - an extra
            except ImportError:
                raise OperatorError("limits.url needs the extra: pip install 'inferway[redis]'.") from None
            self._server = ValkeyServer(settings.limits.url.reveal())
            lease_s = settings.calls.timeout_s + settings.server.body_timeout_s + _MARGIN_S
            counter = ValkeyCounter(self._server, counter, replicas=settings.limits.replicas, lease_s=lease_s)
        self.admission = LimitedAdmission(counter, terms_of(settings.limits))

    async def aclose(self) -> None:
        """Calls have ended."""
        if self._server is not None:
            await self._server.aclose()
        self._table.close()


def terms_of(settings: LimitSettings) -> Terms:
    """The tier's numbers, and over them what was set."""
    tier = TIERS[settings.tier]
    chosen = {name: getattr(settings, name) for name in Terms.__struct_fields__}
    return Terms(**{name: getattr(tier, name) if value is None else value for name, value in chosen.items()})
