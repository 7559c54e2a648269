"""The caller's own credentials and its key's models, laid over a plan."""

from urllib.parse import urlsplit

from msgspec.structs import replace

from inferway.access.records import Caller, LentSecret
from inferway.access.scopes import allows_model
from inferway.errors import CredentialUnavailable, Forbidden
from inferway.pipeline.plan import Plan, Route
from inferway.pipeline.ports import Lender
from inferway.providers.base import Credential, Provider


def require_models(plan: Plan, caller: Caller) -> None:
    """Raises `Forbidden` (code `model_not_allowed`) when a target is a model that the caller's key may not use."""
    for route in plan.routes:
        target = route.target
        if not allows_model(caller.models, target.provider, target.model):
            raise Forbidden(
                f"this key may not use {target.provider} {target.model}",
                code="model_not_allowed",
                details={"provider": target.provider, "model": target.model, "models": list(caller.models)},
            )


def with_own_credentials(plan: Plan, caller: Caller, lender: Lender | None) -> Plan:
    """The plan with the caller's own credentials in place of the operator's, where it has them.

    Raises `CredentialUnavailable` when one cannot be used; the operator's never takes its place.
    """
    if not caller.lent:
        return plan
    lent = {each.provider: each for each in caller.lent}
    return replace(
        plan, routes=tuple(_lend(route, lent.get(route.provider.name), lender) for route in plan.routes)
    )


def host_of(provider: Provider) -> str | None:
    """The hosts that a provider's credential is shown to; None for one that is in this process."""
    if provider.address is None:
        return None
    parts = [urlsplit(each) for each in provider.address.split()]
    return " ".join(f"{part.scheme}://{part.netloc}".lower() for part in parts)


def _lend(route: Route, lent: LentSecret | None, lender: Lender | None) -> Route:
    if lent is None:
        return route
    if lender is None or lent.host != host_of(route.provider):
        raise CredentialUnavailable(
            f"your own credential for {lent.provider} was given for another address: set it again",
            retry_after_s=30,
        )
    return replace(route, credential=Credential(secret=lender.reveal(lent)))
