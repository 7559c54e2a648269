"""Which reasoning effort and which sampling a model takes together, by its facts."""

from msgspec.structs import replace

from inferway.providers.base import Facts
from inferway.types import Adaptation, Parameters

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""Every reasoning effort, ascending; the fact `efforts` names those of one model."""

SAMPLING = ("temperature", "top_p")


def fit_effort(parameters: Parameters, facts: Facts, told: list[Adaptation]) -> Parameters:
    """The effort that this model has: the one asked for, else the next higher, else its highest. A word of the provider's own stays."""
    asked = parameters.reasoning_effort
    known = facts.get("efforts")
    if asked is None or not known or asked in known or asked not in EFFORTS:
        return parameters
    higher = (effort for effort in known if EFFORTS.index(effort) > EFFORTS.index(asked))
    effort = next(higher, known[-1])
    reason = f"this model has no effort {asked!r}; {effort!r} is the nearest"
    told.append(Adaptation(field="parameters.reasoning_effort", action="clamped", reason=reason))
    return replace(parameters, reasoning_effort=effort)


def fit_sampling(parameters: Parameters, facts: Facts, told: list[Adaptation]) -> Parameters:
    """Leave out the sampling that a model takes only while it does not reason.

    The fact `sampling_effort` is the effort at which it does, `default_effort` the one it has when none is given.
    """
    needed = facts.get("sampling_effort")
    effort = parameters.reasoning_effort or facts.get("default_effort")
    if needed is None or effort == needed:
        return parameters
    given = [name for name in SAMPLING if getattr(parameters, name) is not None]
    reason = f"this model takes it only with reasoning_effort {needed!r}"
    told.extend(Adaptation(field=f"parameters.{name}", action="dropped", reason=reason) for name in given)
    return replace(parameters, **dict.fromkeys(given))
