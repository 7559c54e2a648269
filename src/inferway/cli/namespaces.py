"""`inferway namespace`: namespaces, in the data folder's own store."""

import asyncio
from typing import Any

import click

from inferway.access.records import Namespace
from inferway.app.desk import open_office
from inferway.cli.verb import Voice, verb
from inferway.settings import Settings


@click.group(short_help="Create and list namespaces.")
def namespace() -> None:
    """Namespaces: the parts of the organization that calls are made in."""


@namespace.command()
@click.argument("name")
@verb()
def create(settings: Settings, voice: Voice, name: str) -> None:
    """Create a namespace."""

    async def work() -> Namespace:
        async with open_office(settings) as office:
            return await office.administration.create_namespace(office.organization_id, name)

    made = asyncio.run(work())
    voice.tell(_row(made), [f"{made.name} {made.namespace_id}"])


@namespace.command("list")
@verb()
def list_namespaces(settings: Settings, voice: Voice) -> None:
    """List the namespaces."""

    async def work() -> tuple[Namespace, ...]:
        async with open_office(settings) as office:
            return await office.directory.list_namespaces(office.organization_id)

    rows = [_row(each) for each in asyncio.run(work())]
    lines = [f"{row['namespace_name']:30} {row['namespace_id']}" for row in rows]
    voice.tell({"results": rows, "total": len(rows)}, lines)


def _row(made: Namespace) -> dict[str, Any]:
    return {
        "namespace_id": made.namespace_id,
        "namespace_name": made.name,
        "created_at": made.created_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
