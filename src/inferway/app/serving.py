"""Serving: one process, or a supervisor with several workers and the machine's one pool of local engines."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from socket import socket

import uvloop

from inferway.app.local import begin_pulls, make_pool
from inferway.app.root import Inferway, create
from inferway.app.stores import Store
from inferway.app.watching import metrics_port
from inferway.errors import StoreUnavailable
from inferway.http.server import listen, serve, url_of
from inferway.http.supervisor import Supervisor
from inferway.observe.logs import configure_logs
from inferway.providers.local.remote import PoolServer, choose_socket
from inferway.settings import Settings

OnReady = Callable[[str], object]


def run_server(settings: Settings, on_ready: OnReady) -> None:
    """Serves until a signal says stop; `on_ready` gets the URL once calls are answered.

    Raises an `OperatorError` for what whoever runs it must mend.
    """
    configure_logs(settings.log.level, settings.log.format)
    with listen(settings.server.host, settings.server.port) as bound:
        ready = partial(on_ready, url_of(bound))
        if settings.server.workers == 1:
            uvloop.run(_serve_alone(settings, bound, ready))
        else:
            asyncio.run(_supervise(settings, bound, ready))


def make_worker(settings: Settings, engine_socket: Path) -> Inferway:
    """What a worker process calls first."""
    configure_logs(settings.log.level, settings.log.format)
    return create(settings, engine_socket)


async def _serve_alone(settings: Settings, bound: socket, ready: Callable[[], object]) -> None:
    application = create(settings)
    async with metrics_port(settings):
        await serve(application, bound, settings.server, ready)


async def _supervise(settings: Settings, bound: socket, on_ready: Callable[[], object]) -> None:
    # Founded here first, so that what is wrong with the data folder is said once and not by each worker.
    store = Store(settings)
    try:
        await store.open()
    except StoreUnavailable:
        # Each worker goes on trying, and is not ready before.
        pass
    finally:
        await store.aclose()
    async with metrics_port(settings), _engines(settings) as engine_socket:
        make = partial(make_worker, settings, engine_socket)
        await Supervisor(make, bound, settings.server).run(on_ready)


@contextlib.asynccontextmanager
async def _engines(settings: Settings) -> AsyncIterator[Path]:
    """The machine's pool, offered to the workers on a socket of this process's own."""
    folder = settings.data_dir / "run" / str(os.getpid())
    pool = make_pool(settings)
    server = PoolServer(pool, choose_socket(folder))
    await server.start()
    pulling = begin_pulls(settings, pool)
    try:
        yield server.path
    finally:
        await server.aclose()
        await pool.aclose()
        if pulling is not None:
            await asyncio.gather(pulling, return_exceptions=True)
        with contextlib.suppress(OSError):
            folder.rmdir()
