"""The page of metrics, for whoever runs the machine."""

from collections.abc import Awaitable, Callable

from starlette.responses import Response

from inferway.access.records import Permission
from inferway.errors import Forbidden
from inferway.http.admin.endpoint import Endpoint, Visit
from inferway.http.metrics import PATH, Scrape, respond_metrics


class MetricsRoutes:
    """`GET /metrics` with an admin key without scopes of the first organization, whose machine it is: it tells of all of them."""

    def __init__(self, scrape: Scrape, first_organization: Callable[[], Awaitable[str]]) -> None:
        self._scrape, self._first_organization = scrape, first_organization

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The route and what it needs."""
        return (
            Endpoint(
                name="scrape",
                method="GET",
                path=PATH,
                permission=Permission.ADMIN,
                scope="operator",
                handler=self.metrics,
                media_type="text/plain",
            ),
        )

    async def metrics(self, visit: Visit) -> Response:
        """What all workers of this machine counted, for Prometheus."""
        if visit.organization_id != await self._first_organization():
            raise Forbidden(
                "Metrics tell of all organizations: ask for them as the first one.", code="scope_denied"
            )
        return await respond_metrics(visit.request, self._scrape)
