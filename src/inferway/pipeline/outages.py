"""What an attempt's end says about its provider: out of order, well, or nothing."""

from inferway.errors import (
    CircuitOpen,
    GatewayError,
    ProviderAuth,
    ProviderBadAnswer,
    ProviderFailed,
    ProviderQuota,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimeout,
    ProviderTls,
    ProviderUnreachable,
)
from inferway.pipeline.plan import Route
from inferway.resilience.circuits import Circuit
from inferway.types import Deadline

_OUTAGES = (ProviderUnreachable, ProviderTls, ProviderFailed)
_SIGNS_OF_LIFE = (ProviderRefused, ProviderAuth, ProviderQuota, ProviderRateLimited)
_LEASE_S = 5.0
"""How much longer than its deadline a probe is waited for whose process died."""


def enter(circuit: Circuit, route: Route, deadline: Deadline) -> bool:
    """Ask a circuit that is not at rest; whether this call goes out as its probe. Raises `CircuitOpen`."""
    shut_s = circuit.enter(deadline.remaining_s() + _LEASE_S)
    if shut_s > 0:
        name = route.provider.name
        raise CircuitOpen(
            f"{name} failed again and again and is left alone for a while",
            details={"provider": name},
            retry_after_s=shut_s,
        )
    return shut_s < 0


def report(
    circuit: Circuit,
    outcome: str,
    failure: GatewayError | None,
    waited_s: float,
    patience_s: float,
    *,
    is_probe: bool,
) -> None:
    """Tell a circuit how an attempt ended.

    No connection, no trust in it, the provider's own 5xx, and nothing for `patience_s` seconds of `waited_s` are outages. Any answer
    that says something is a sign of life, refusals and rate limits too. A 200 that cannot be used says nothing, unless it is all that a
    probe got.
    """
    if outcome == "ok" or isinstance(failure, _SIGNS_OF_LIFE):
        circuit.succeeded(is_probe=is_probe)
    elif isinstance(failure, _OUTAGES) or (isinstance(failure, ProviderTimeout) and waited_s >= patience_s):
        circuit.failed(is_probe=is_probe)
    elif is_probe and isinstance(failure, ProviderBadAnswer):
        circuit.failed(is_probe=True)
    elif is_probe:
        circuit.abandoned()
