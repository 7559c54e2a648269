"""What the description says of one route, whatever kind of route it is."""

import re
import typing
from typing import Any

from msgspec import Struct
from starlette.responses import Response

from inferway.http.admin.endpoint import Endpoint
from inferway.http.admin.query import Parameter
from inferway.http.openapi.words import TOPICS
from inferway.http.pages import Page

_CONVERTER = re.compile(r"\{([a-z_]+):[a-z]+\}")
_PLACE = re.compile(r"\{([a-z_]+)\}")


class Content(Struct, frozen=True, kw_only=True):
    """A body or an answer: its media type and the type that it is made of (None: any text)."""

    kind: Any = None
    media_type: str = "application/json"
    about: str = ""
    examples: dict[str, Any] | None = None


class Operation(Struct, frozen=True, kw_only=True):
    """One route. `permission` is None for a route that asks for no key; `answers` are contents by status.

    `refusals` are the statuses that come with the error envelope. `headers` are parameters beside those that every route takes.
    """

    name: str
    method: str
    path: str
    topic: str
    summary: str
    about: str
    permission: str | None
    answers: dict[int, tuple[Content, ...]]
    refusals: tuple[int, ...]
    body: Content | None = None
    may_lack_body: bool = False
    query: tuple[Parameter[Any], ...] = ()
    headers: tuple[dict[str, Any], ...] = ()

    @property
    def places(self) -> tuple[str, ...]:
        """The names in the path."""
        return tuple(_PLACE.findall(self.path))

    def contents(self) -> tuple[Content, ...]:
        """Everything that has a shape."""
        own = () if self.body is None else (self.body,)
        return (*own, *(content for several in self.answers.values() for content in several))


def of_endpoint(endpoint: Endpoint) -> Operation:
    """A route of administration."""
    routes: Any = getattr(endpoint.handler, "__self__")  # noqa: B009 - handlers are methods of their routes, the type does not say so
    summary, about = split(endpoint.handler.__doc__)
    kind = typing.get_type_hints(endpoint.handler)["return"]
    is_whole = isinstance(kind, type) and issubclass(kind, Response)
    content = Content(kind=None if is_whole else kind, media_type=endpoint.media_type)
    body = None if endpoint.body is None else Content(kind=endpoint.body.type)
    return Operation(
        name=endpoint.name,
        method=endpoint.method,
        path=_CONVERTER.sub(r"{\1}", endpoint.path),
        topic=TOPICS[type(routes).__name__][0],
        summary=summary,
        about=about,
        permission=str(endpoint.permission),
        answers={200: (content,)},
        refusals=_refusals(endpoint),
        body=body,
        may_lack_body=endpoint.may_lack_body,
        query=endpoint.query,
    )


def _refusals(endpoint: Endpoint) -> tuple[int, ...]:
    """The statuses that follow from what a route asks for, and its own."""
    found = {400, 401, 403, 429, 500, 503, *endpoint.refusals}
    if "{" in endpoint.path:
        found.add(404)
    if endpoint.body is not None or endpoint.query:
        found.add(422)
    return tuple(sorted(found))


def of_page(page: Page) -> Operation:
    """A route that everybody may ask."""
    summary, about = split(page.handler.__doc__)
    _, kind = typing.get_args(typing.get_type_hints(page.handler)["return"])
    return Operation(
        name=page.name,
        method="GET",
        path=page.path,
        topic=TOPICS["Pages"][0],
        summary=summary,
        about=about,
        permission=None,
        answers={status: (Content(kind=kind),) for status in page.statuses},
        refusals=(400, 500),
    )


def split(docstring: str | None) -> tuple[str, str]:
    """The first sentence of a docstring, and the rest."""
    text = " ".join((docstring or "").split())
    first, _, rest = text.partition(". ")
    return first.removesuffix("."), rest


def of_description(path: str) -> Operation:
    """The route of the description itself."""
    return Operation(
        name="describe",
        method="GET",
        path=path,
        topic=TOPICS["Description"][0],
        summary="This description of the API",
        about="It is made from the types that the server reads and writes.",
        permission=None,
        answers={200: (Content(kind=dict[str, Any]),), 304: ()},
        refusals=(400, 500),
        headers=(
            {
                "name": "If-None-Match",
                "in": "header",
                "description": "The ETag of a copy: nothing is sent when it is still the same.",
                "schema": {"type": "string"},
            },
        ),
    )
