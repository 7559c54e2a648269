"""The first page: what to do first, and what the day has brought."""

from starlette.responses import Response

from inferway.http.dashboard.view import View, Visitor


class Home:
    """The first page."""

    def views(self) -> tuple[View, ...]:
        """The pages and forms."""
        return (View(method="GET", path="/", handler=self.show),)

    async def show(self, visitor: Visitor) -> Response:
        """Where to go from here."""
        namespaces = await visitor.api.get("/v1/namespaces", query={"limit": 5})
        return await visitor.show("home.html", namespaces=namespaces["results"])
