"""`inferway db`: the tables of the database, and bringing them up to date."""

import asyncio

import click
import msgspec

from inferway.app.stores import StoreState, look_at_store, upgrade_store
from inferway.cli.verb import Voice, examples, verb
from inferway.settings import Settings


@click.group(
    short_help="Bring the database's tables up to date, or say how they stand.",
    epilog=examples("inferway db status", "inferway db upgrade"),
)
def db() -> None:
    """The database. A server brings its tables up to date when it starts; here it can be done before."""


@db.command()
@verb()
def status(settings: Settings, voice: Voice) -> None:
    """Say how the tables stand, changing nothing."""
    state = asyncio.run(look_at_store(settings))
    voice.tell(msgspec.to_builtins(state), [_line(state)])


@db.command()
@verb()
def upgrade(settings: Settings, voice: Voice) -> None:
    """Bring the tables up to date. Programs that know only older tables can use the database no more."""

    async def work() -> tuple[StoreState, StoreState]:
        return await look_at_store(settings), await upgrade_store(settings)

    before, after = asyncio.run(work())
    is_changed = before.revision != after.revision
    line = f"{after.database}: brought from {before.revision or 'nothing'} to {after.revision}"
    voice.tell({**msgspec.to_builtins(after), "was": before.revision}, [line if is_changed else _line(after)])


def _line(state: StoreState) -> str:
    if state.revision is None:
        return f"{state.database}: has no tables yet; the first start makes them"
    if state.is_current:
        return f"{state.database}: up to date ({state.revision})"
    return f"{state.database}: at {state.revision}, the newest is {state.newest}. Run: inferway db upgrade"
