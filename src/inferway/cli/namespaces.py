"""`inferway namespace`: namespaces, in the data folder's own store."""

import asyncio
from typing import Any

import click

from inferway.access.administration import OPERATOR
from inferway.access.records import Namespace, SpendBudget
from inferway.app.desk import Office, open_office
from inferway.cli.budget import budget_of, budget_options, line_of_caps, settle, shown
from inferway.cli.columns import columns
from inferway.cli.verb import Voice, examples, verb
from inferway.errors import OperatorError
from inferway.settings import Settings


@click.group(
    short_help="Create and list namespaces.",
    epilog=examples(
        "inferway namespace create team-a --monthly-usd 200",
        "inferway namespace budget team-a --daily-usd 10",
    ),
)
def namespace() -> None:
    """Namespaces: the parts of the organization that calls are made in."""


@namespace.command()
@click.argument("name")
@budget_options
@verb()
def create(
    settings: Settings, voice: Voice, name: str, daily_usd: int | None, monthly_usd: int | None
) -> None:
    """Create a namespace."""
    spend_budget = budget_of(SpendBudget(), daily_usd, monthly_usd)

    async def work() -> Namespace:
        async with open_office(settings) as office:
            return await office.administration.create_namespace(
                office.organization_id, name, spend_budget=spend_budget
            )

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
    cells = ([row["namespace_name"], row["namespace_id"], line_of_caps(row["spend_budget"])] for row in rows)
    voice.tell({"results": rows, "total": len(rows)}, columns(("NAME", "ID", "BUDGET"), cells))


@namespace.command()
@click.argument("name_or_id")
@budget_options
@verb()
def budget(
    settings: Settings, voice: Voice, name_or_id: str, daily_usd: int | None, monthly_usd: int | None
) -> None:
    """Show or change what may be spent in a namespace."""

    async def find(office: Office) -> Namespace:
        found = await office.directory.find_namespace(office.organization_id, name_or_id)
        if found is None:
            raise OperatorError(f"There is no namespace {name_or_id}. See: inferway namespace list")
        return found

    settle(
        settings,
        voice,
        (daily_usd, monthly_usd),
        find=find,
        change=lambda office, was, now: office.administration.change_namespace(
            was, OPERATOR, spend_budget=now
        ),
        row=_row,
    )


def _row(made: Namespace) -> dict[str, Any]:
    return {
        "namespace_id": made.namespace_id,
        "namespace_name": made.name,
        "spend_budget": shown(made.spend_budget),
        "created_at": made.created_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
