"""The deep look at whether every part is well."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from inferway.access.records import Permission
from inferway.http.admin.answers import DeepHealth, Wellness
from inferway.http.admin.endpoint import Endpoint, Visit

Probe = Callable[[], Awaitable[str | None]]
"""Looks at a part: None when it is well, else what is wrong with it in a few words."""

PARTS = Wellness.__struct_fields__
_TIMEOUT_S = 0.5


class HealthRoutes:
    """`GET /v1/health/deep`. There is a probe for each of `PARTS`; all run side by side, half a second at most."""

    def __init__(self, probes: Mapping[str, Probe]) -> None:
        self._probes = {name: probes[name] for name in PARTS}

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The route and what it needs."""
        return (
            Endpoint(
                name="look_deep",
                method="GET",
                path="/v1/health/deep",
                permission=Permission.READ,
                scope="anyone",
                handler=self.deep,
            ),
        )

    async def deep(self, visit: Visit) -> DeepHealth:
        """The state of every part; nobody's model is called."""
        del visit
        said = await asyncio.gather(*(_ask(probe) for probe in self._probes.values()))
        errors = dict(zip(self._probes, said, strict=True))
        is_well = all(error is None for error in said)
        return DeepHealth(
            status="OK" if is_well else "DEGRADED",
            data=Wellness(**{name: error is None for name, error in errors.items()}),
            errors=None if is_well else errors,
        )


async def _ask(probe: Probe) -> str | None:
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            return await probe()
    except TimeoutError:
        return "no answer in time"
    except Exception:  # noqa: BLE001 - whatever a probe dies of, its part is not well
        return "cannot be used"
