"""Whether the workers of this machine share their embedding calls, from the settings."""

import logging

from inferway.pipeline.fellows import Fellows
from inferway.pipeline.flights import Flights
from inferway.settings import Settings

_log = logging.getLogger("inferway.pipeline")


def open_fellows(settings: Settings) -> Fellows | None:
    """This worker among the others; None for one that is alone, or may not share.

    Sharing saves money; that it does not work is never a reason not to serve.
    """
    if settings.server.workers < 2 or not settings.calls.coalesce:
        return None
    try:
        return Fellows.open(settings.data_dir / "flights")
    except OSError as error:
        _warn(error)
        return None


async def start_sharing(fellows: Fellows | None, flights: Flights) -> None:
    """Lets the other workers ask for this one's calls."""
    if fellows is None:
        return
    try:
        await fellows.start(flights.host)
    except OSError as error:
        _warn(error)


def _warn(error: OSError) -> None:
    _log.warning("this worker does not share embedding calls with the others: %s", error.strerror or error)
