"""The reference of the API as pages, for everybody: drawn from the same description that programs read."""

from functools import cached_property
from typing import Any, Protocol

from starlette.responses import Response

from inferway.errors import NotFound
from inferway.http.dashboard.view import View, Visitor

PATH = "/reference"


class Describes(Protocol):
    """Gives the description of the API."""

    def document(self) -> dict[str, Any]: ...


class Reference:
    """The list of all operations, and a page for each."""

    def __init__(self, description: Describes) -> None:
        self._description = description

    def views(self) -> tuple[View, ...]:
        """The pages and forms."""
        return (
            View(method="GET", path=PATH, handler=self.show, is_public=True),
            View(method="GET", path=PATH + "/{name}", handler=self.operation, is_public=True),
        )

    async def show(self, visitor: Visitor) -> Response:
        """All operations by topic."""
        from inferway.http.openapi.reading import read_topics  # noqa: PLC0415 - most workers are never asked for it

        return await visitor.show("reference.html", topics=read_topics(self._document))

    async def operation(self, visitor: Visitor) -> Response:
        """One operation: what it takes, what it answers, and the shapes of both."""
        from inferway.http.openapi.reading import find_reading  # noqa: PLC0415 - see above

        reading = find_reading(self._document, visitor.place("name"))
        if reading is None:
            raise NotFound("There is no such operation.", code="path_not_found")
        return await visitor.show("operation.html", op=reading)

    @cached_property
    def _document(self) -> dict[str, Any]:
        return self._description.document()
