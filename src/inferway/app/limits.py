"""Admission, put together from its settings."""

from datetime import datetime

from inferway.errors import OperatorError
from inferway.limits.admission import Counter, LimitedAdmission
from inferway.limits.book import SpendBook
from inferway.limits.local import LocalCounter
from inferway.limits.spend import Kept, LocalSpend, SpendKeeper
from inferway.limits.strangers import Strangers
from inferway.limits.table import Table
from inferway.limits.terms import TIERS, Terms
from inferway.settings import LimitSettings, Settings
from inferway.types import SpendCap
from inferway.usage.ledger import Ledger, spent

_MARGIN_S = 10.0


class Limits:
    """What counts the calls of this worker together with the machine's others, and with other machines if there is a server for it.

    Raises `OperatorError` when the data folder or the server's address cannot be used; a server that is away is no reason not to start.
    """

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        folder = settings.data_dir / "limits"
        self._table = Table.open(folder)
        self._book = SpendBook(folder)
        self.strangers = Strangers(
            Table.open(folder / "strangers"),
            per_minute=settings.access.bad_keys_per_minute,
            burst=settings.access.bad_keys_burst,
        )
        tries = settings.dashboard.passwords_per_minute
        self.passwords = Strangers(Table.open(folder / "passwords"), per_minute=tries, burst=tries)
        lease_s = settings.calls.timeout_s + settings.server.body_timeout_s + _MARGIN_S
        recorded = RecordedSpend(ledger)
        self.spending: Kept = LocalSpend(self._book, recorded)
        counter: Counter = LocalCounter(self._table)
        self._server = None
        if settings.limits.url is not None:
            try:
                from inferway.limits.remote import ValkeySpend  # noqa: PLC0415 - an extra
                from inferway.limits.valkey import ValkeyCounter, ValkeyServer  # noqa: PLC0415 - an extra
            except ImportError:
                raise OperatorError("limits.url needs the extra: pip install 'inferway[redis]'.") from None
            self._server = ValkeyServer(settings.limits.url.reveal())
            self.spending = ValkeySpend(self._server, recorded, replicas=settings.limits.replicas)
            counter = ValkeyCounter(self._server, counter, replicas=settings.limits.replicas, lease_s=lease_s)
        self.admission = LimitedAdmission(counter, terms_of(settings.limits), spending=self.spending)
        self.keeper = SpendKeeper(self.spending, recorded, lease_s=lease_s)

    async def aclose(self) -> None:
        """Calls have ended."""
        if self._server is not None:
            await self._server.aclose()
        self._table.close()
        self._book.close()
        self.strangers.close()
        self.passwords.close()


class RecordedSpend:
    """What the ledger says was spent, asked for by cap."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def spent(self, cap: SpendCap, *, day: datetime, month: datetime) -> tuple[int, int]:
        """Micro-dollars since the beginning of a day, and since that of a month."""
        return await spent(
            self._ledger,
            cap.organization_id,
            day=day,
            month=month,
            key_id=cap.id if cap.resource == "key" else None,
            namespace_id=cap.id if cap.resource == "namespace" else None,
        )

    async def cost_of(self, record_id: str) -> tuple[bool, int | None]:
        """Whether a call's row is there, and what it cost."""
        record = await self._ledger.find_record(record_id)
        return record is not None, None if record is None else record.cost_microusd


def terms_of(settings: LimitSettings) -> Terms:
    """The tier's numbers, and over them what was set."""
    tier = TIERS[settings.tier]
    chosen = {name: getattr(settings, name) for name in Terms.__struct_fields__}
    return Terms(**{name: getattr(tier, name) if value is None else value for name, value in chosen.items()})
