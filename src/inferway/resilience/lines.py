"""The line to a provider: its circuit, and what may go out on it beyond what was asked."""

from msgspec import Struct

from inferway.resilience.budget import HedgeQuota, RetryBudget, RetryRules
from inferway.resilience.circuits import Circuit, Circuits, CircuitState

_KNOWN = 4_096


class Line(Struct, frozen=True, kw_only=True):
    """One provider under one credential. `circuit` is None where nothing can be out of order: in this process."""

    circuit: Circuit | None
    budget: RetryBudget
    hedges: HedgeQuota


class Lines:
    """All lines of this process, by provider and credential; budgets are a provider's, whatever the credential."""

    def __init__(
        self, circuits: Circuits, retries: RetryRules | None = None, *, hedge_share: float = 0.05
    ) -> None:
        self._circuits = circuits
        self._retries = retries or RetryRules()
        self._hedge_share = hedge_share
        self._known: dict[tuple[str, str | None], Line] = {}
        self._budgets: dict[str, tuple[RetryBudget, HedgeQuota]] = {}

    def get(self, provider: str, address: str | None, secret: str | None, *, is_callers: bool) -> Line:
        """The line. `address` is where the provider lives; None: in this process. The secret is kept as part of a key only."""
        line = self._known.get((provider, secret))
        if line is None:
            line = self._make(provider, address, secret, is_callers=is_callers)
        return line

    def states(self) -> tuple[CircuitState, ...]:
        """How the circuits of this machine stand."""
        return self._circuits.states()

    def retrying(self) -> dict[str, int]:
        """Repeated calls under way in this process, by provider."""
        return {name: budget.retrying for name, (budget, _) in self._budgets.items()}

    def active(self) -> dict[str, int]:
        """Calls under way in this process, by provider; one for each unit (prompt, batch)."""
        return {name: budget.active for name, (budget, _) in self._budgets.items()}

    def _make(self, provider: str, address: str | None, secret: str | None, *, is_callers: bool) -> Line:
        if len(self._known) >= _KNOWN:
            self._known.clear()
        budget, hedges = self._budgets.get(provider) or (
            RetryBudget(self._retries),
            HedgeQuota(self._hedge_share),
        )
        self._budgets[provider] = (budget, hedges)
        circuit = None
        if address is not None and self._circuits.rules.failures:
            name = f"{provider}\0{address}\0{secret or ''}"
            circuit = self._circuits.circuit(name, provider, is_callers=is_callers)
        line = Line(circuit=circuit, budget=budget, hedges=hedges)
        self._known[provider, secret] = line
        return line
