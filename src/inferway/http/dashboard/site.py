"""The dashboard's routes in one table."""

from collections.abc import Iterable

from starlette.routing import BaseRoute

from inferway.http.dashboard.audit import AuditPage
from inferway.http.dashboard.credentials import CredentialPages
from inferway.http.dashboard.door import Door
from inferway.http.dashboard.health import HealthPage
from inferway.http.dashboard.home import Home
from inferway.http.dashboard.keys import KeyPages
from inferway.http.dashboard.limits import LimitsPage
from inferway.http.dashboard.namespaces import NamespacePages
from inferway.http.dashboard.playground import Playground
from inferway.http.dashboard.requests import RequestPages
from inferway.http.dashboard.usage import UsagePages
from inferway.http.dashboard.users import OwnPassword, UserPages
from inferway.http.dashboard.view import Desk, View


def views_of(door: Door) -> tuple[View, ...]:
    """Every page and form."""
    return (
        *Home().views(),
        *Playground().views(),
        *UsagePages().views(),
        *RequestPages().views(),
        *door.views(),
        *KeyPages().views(),
        *UserPages().views(),
        *OwnPassword().views(),
        *CredentialPages().views(),
        *LimitsPage().views(),
        *NamespacePages().views(),
        *AuditPage().views(),
        *HealthPage().views(),
    )


def routes_of(desk: Desk, views: Iterable[View]) -> list[BaseRoute]:
    """The routes, for the application."""
    return [*desk.frame.routes(), *(view.route(desk) for view in views)]
