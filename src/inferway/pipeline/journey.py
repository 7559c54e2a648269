"""What happens on the way of one request, written down as it happens."""

from msgspec import Struct

from inferway.errors import ProviderBadAnswer, ProviderTimeout
from inferway.types import Adaptation, Usage
from inferway.usage.records import AttemptRecord

PERHAPS_BILLED = ("cancelled", ProviderTimeout.default_code, ProviderBadAnswer.default_code)
"""Outcomes of attempts that the provider may have charged for without telling what they used."""
HEDGE_LOST = "hedge_lost"
"""The outcome of an attempt that was cancelled because the one beside it had answered."""

_NAME_MAX, _NAMES_MAX = 100, 20


class Spent(Struct, frozen=True, kw_only=True):
    """What one upstream answer used, and who gave it; `model_version` is the model that the provider says it ran.

    `attempt` is the place of its attempt in the journey.
    """

    provider: str
    model: str
    model_version: str | None
    usage: Usage
    attempt: int


class Journey(Struct, kw_only=True, eq=False):
    """What happened on the way of one request: every attempt, every adaptation and all that was spent, in order.

    `failed` counts units (prompts) that failed for good. `is_cost_known` is false once an attempt ended in a way that may have been
    billed without telling us what it used. `shared` is what gave the answer when another request paid for it.
    """

    attempts: list[AttemptRecord] = []
    spent: list[Spent] = []
    shared: Spent | None = None
    failed: int = 0
    is_cost_known: bool = True
    adaptations: dict[Adaptation, None] = {}
    warnings: dict[str, None] = {}

    def adapted(self) -> tuple[str, ...]:
        """Which fields were changed and how, for the record: names only, and no more of them than a record should hold."""
        return tuple(f"{each.field[:_NAME_MAX]}: {each.action}" for each in [*self.adaptations][:_NAMES_MAX])
