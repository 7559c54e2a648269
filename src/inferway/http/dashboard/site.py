"""The dashboard's routes in one table."""

from collections.abc import Iterable

from starlette.routing import BaseRoute

from inferway.http.dashboard.door import Door
from inferway.http.dashboard.home import Home
from inferway.http.dashboard.playground import Playground
from inferway.http.dashboard.view import Desk, View


def views_of(door: Door) -> tuple[View, ...]:
    """Every page and form."""
    return (
        *Home().views(),
        *Playground().views(),
        *door.views(),
    )


def routes_of(desk: Desk, views: Iterable[View]) -> list[BaseRoute]:
    """The routes, for the application."""
    return [*desk.frame.routes(), *(view.route(desk) for view in views)]
