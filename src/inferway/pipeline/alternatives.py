"""Who else could serve a call that a provider has no place for."""

from inferway.errors import BadRequest, CallerError, GatewayError
from inferway.pipeline.plan import Plan, Routes
from inferway.types import Call

_NO_PLACE = frozenset({"input_not_supported", "media_unsupported"})
"""The codes by which translators say that it is the kind of input that cannot be served."""


def naming_who_can(error: GatewayError, call: Call, plan: Plan, routes: Routes) -> GatewayError:
    """The error; one about a kind of input that has no place names the configured providers that have one for this call."""
    if not isinstance(error, BadRequest) or error.code not in _NO_PLACE:
        return error
    refused = plan.routes[0].target.provider
    able = [
        name
        for name in routes.serving(plan.operation)
        if name != refused and _takes(name, call, plan, routes)
    ]
    return BadRequest(
        f"{error.message}; providers that can: {', '.join(able) or 'none configured'}",
        code=error.code,
        details={**(error.details or {}), "provider": refused, "providers": able},
    )


def _takes(name: str, call: Call, plan: Plan, routes: Routes) -> bool:
    """Whether a provider's translator takes the call, for a model of which nothing is known."""
    route = routes.get(name, "", plan.operation)
    try:
        route.capability.prepare(call, route.target)
    except CallerError:
        return False
    return True
