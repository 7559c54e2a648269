"""The pipeline in the caller's own process: a client with an application behind it, and no server between."""

import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from inferway.access.credentials import FILE_NAME, find_credentials
from inferway.access.founding import DEFAULT_NAMESPACE
from inferway.app.root import Inferway
from inferway.client import AsyncClient, Client
from inferway.client.inside import URL, BlockingTransport, Door, InsideTransport
from inferway.errors import OperatorError
from inferway.settings import DatabaseSettings, LimitSettings, Settings, load

_OWN = {"local": {"pull_defaults": False}, "metrics": {"enabled": False}}
"""What a server does and a library does not unasked: fetch 200 MB, and count for whoever may scrape."""
_UNLIMITED = LimitSettings(per_minute=0, burst=0, per_second=0, concurrent=0)


def local(  # noqa: PLR0913 - where it keeps things, how it is set, and how to call
    data_dir: str | Path | None = None,
    *,
    config: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    api_key: str | None = None,
    namespace: str = DEFAULT_NAMESPACE,
    timeout_s: float = 150.0,
    retries: int = 2,
) -> Client:
    """A `Client` whose calls are done in this process: no server, no socket, no key to type in.

    Settings and the providers' keys are read as `inferway serve` reads them. `config` names another settings file; `settings` is a
    table of the same shape that wins (`{"providers": {"fake": {"enabled": True}}}`).

    Without `data_dir` nothing is kept: usage and everything else go into a temporary folder that is removed at the end, while model
    files come from the usual data folder. With it keys, usage and models are that folder's, as for a server and the command line.
    Callers are not limited unless the settings limit them.

    Raises an `OperatorError` (such as `SettingsError`) when it cannot start; calls raise what those of `Client` do.
    """
    life = _Life(data_dir, config, settings, api_key)
    transport = BlockingTransport(life).open()
    return Client(URL, _HERE, namespace, timeout_s=timeout_s, retries=retries, transport=transport)


def local_async(  # noqa: PLR0913 - see above
    data_dir: str | Path | None = None,
    *,
    config: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    api_key: str | None = None,
    namespace: str = DEFAULT_NAMESPACE,
    timeout_s: float = 150.0,
    retries: int = 2,
) -> AsyncClient:
    """The same as an `AsyncClient`, on the event loop of its first call, which starts it."""
    transport = InsideTransport(_Life(data_dir, config, settings, api_key))
    return AsyncClient(URL, _HERE, namespace, timeout_s=timeout_s, retries=retries, transport=transport)


_HERE = "sk_in_this_process"
"""What a client says is its key; the transport knows the real one."""


class _Life:
    """Opens and closes the application."""

    def __init__(
        self,
        data_dir: str | Path | None,
        config: str | Path | None,
        given: Mapping[str, Any] | None,
        api_key: str | None,
    ) -> None:
        overrides = {"data_dir": None if data_dir is None else str(data_dir)}
        self._keeps = data_dir is not None
        self._api_key = api_key
        file = Path(config) if config else None
        self._settings = _settled(load(config=file, overrides=overrides, table=_with_own(given or {})))

    @contextlib.asynccontextmanager
    async def __call__(self) -> AsyncIterator[Door]:
        with self._home() as settings:
            application = Inferway(settings)
            async with application.running():
                yield Door(application, self._api_key or _require_key(settings))

    @contextlib.contextmanager
    def _home(self) -> Iterator[Settings]:
        """The settings, with a folder that is there."""
        if self._keeps:
            yield self._settings
            return
        folder = Path(tempfile.mkdtemp(prefix="inferway-local-"))
        try:
            yield _without_traces(self._settings, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _with_own(given: Mapping[str, Any]) -> dict[str, Any]:
    """What is given, over what is our own."""
    own = {section: {**values, **given.get(section, {})} for section, values in _OWN.items()}
    return {**given, **own}


def _settled(settings: Settings) -> Settings:
    """For one process, whose caller is its owner."""
    server = replace(settings.server, workers=1, allowed_hosts=())
    limits = _UNLIMITED if settings.limits == LimitSettings() else settings.limits
    return replace(settings, server=server, limits=limits)


def _without_traces(settings: Settings, folder: Path) -> Settings:
    """The same in a folder that goes away; only the files of models stay where they are."""
    models = replace(settings.local, models_dir=str(settings.models_dir))
    limits = replace(settings.limits, url=None)
    return replace(settings, data_dir=folder, local=models, database=DatabaseSettings(), limits=limits)


def _require_key(settings: Settings) -> str:
    credentials = find_credentials(settings.data_dir / FILE_NAME)
    if credentials is None:
        raise OperatorError(
            f"{settings.data_dir} has keys, but not their text ({FILE_NAME} is gone): give api_key."
        )
    return credentials.inference_key
