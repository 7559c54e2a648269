"""The dashboard of one worker, put together."""

from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from inferway.access.gate import Gate
from inferway.access.keyring import open_ring
from inferway.access.sessions import mint_link
from inferway.app.admin import AdminOffice
from inferway.app.configured import configured_limits
from inferway.app.desk import ModelDesk
from inferway.app.limits import Limits
from inferway.app.samples import Sample, coming_samples, local_samples, provider_samples
from inferway.http.dashboard.cookies import Cookies
from inferway.http.dashboard.door import Door
from inferway.http.dashboard.frame import Frame
from inferway.http.dashboard.passwords import Passwords
from inferway.http.dashboard.reference import Describes, Reference
from inferway.http.dashboard.site import routes_of, views_of
from inferway.http.dashboard.view import Desk
from inferway.http.strangers import Doorkeeper
from inferway.settings import Settings


def dashboard_routes(
    settings: Settings,
    office: AdminOffice,
    gate: Gate,
    limits: Limits,
    ways: tuple[ASGIApp, ASGIApp, Doorkeeper, Describes],
) -> list[BaseRoute]:
    """The pages. `ways` are this server's own API, its inference endpoint, who judges bad keys, and the API's description."""
    api, inference, doorkeeper, description = ways
    chosen = settings.dashboard
    if not chosen.enabled:
        return []
    desk = Desk(
        sessions=office.sessions,
        frame=Frame(),
        cookies=Cookies(doorkeeper),
        doorkeeper=doorkeeper,
        api=api,
        inference=inference,
        passwords=Passwords(limits.passwords, doorkeeper),
        configured=configured_limits(settings),
        samples=lambda: _samples(settings),
    )
    return routes_of(desk, (*views_of(Door(gate)), *Reference(description).views()))


def _samples(settings: Settings) -> tuple[Sample, ...]:
    """Calls to paste, of which the first needs nothing from elsewhere."""
    found = provider_samples(settings.providers)
    if settings.local.enabled:
        models = ModelDesk(settings)
        found = (*local_samples(models), *found)
        if not found and settings.local.pull_defaults:
            return coming_samples(models, models.defaults())
    return found


def sign_in_link(settings: Settings, url: str, email: str | None = None) -> str:
    """An address that signs in once at the server at `url`: the first administrator, or whom the email names.

    Raises an `OperatorError` and `CredentialUnavailable` when the key that seals it cannot be had.
    """
    kek = open_ring(settings.secrets_key_file, settings.secrets_key).current()
    text = mint_link(kek, whom=email, lives_s=settings.dashboard.link_minutes * 60)
    return f"{url}/sign-in/{text}"
