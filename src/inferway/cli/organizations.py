"""`inferway organization`: tenants that see nothing of one another."""

import asyncio
from typing import Any

import click

from inferway.access.administration import OPERATOR
from inferway.access.directory import Founding
from inferway.access.records import Organization
from inferway.app.desk import Office, open_office
from inferway.cli.budget import budget_options, line_of_caps, settle, shown
from inferway.cli.columns import columns
from inferway.cli.verb import Voice, examples, verb
from inferway.errors import OperatorError
from inferway.settings import Settings


@click.group(
    short_help="Create and list organizations.",
    epilog=examples(
        "inferway organization create acme --email admin@acme.example",
        "inferway organization budget acme --monthly-usd none",
    ),
)
def organization() -> None:
    """Organizations: tenants that see nothing of one another."""


@organization.command()
@click.argument("name")
@click.option("--email", required=True, help="Email of its first administrator.")
@verb()
def create(settings: Settings, voice: Voice, name: str, email: str) -> None:
    """Create an organization and print its administrator's key, once."""

    async def work() -> tuple[Founding, str]:
        async with open_office(settings) as office:
            return await office.administration.create_tenant(name, email)

    founding, text = asyncio.run(work())
    made = _row(founding.organization) | {"user": email, "namespace": founding.namespace.name, "key": text}
    voice.tell(made, [text])
    voice.note("Keep it now: it cannot be shown again.")


@organization.command("list")
@verb()
def list_organizations(settings: Settings, voice: Voice) -> None:
    """List the organizations."""

    async def work() -> tuple[Organization, ...]:
        async with open_office(settings) as office:
            return await office.directory.list_organizations()

    rows = [_row(each) for each in asyncio.run(work())]
    cells = (
        [row["organization_name"], row["organization_id"], line_of_caps(row["spend_budget"])] for row in rows
    )
    voice.tell({"results": rows, "total": len(rows)}, columns(("NAME", "ID", "BUDGET"), cells))


@organization.command()
@click.argument("name_or_id")
@budget_options
@verb()
def budget(
    settings: Settings, voice: Voice, name_or_id: str, daily_usd: int | None, monthly_usd: int | None
) -> None:
    """Show or change what an organization may spend."""

    async def find(office: Office) -> Organization:
        known = await office.directory.list_organizations()
        # Its administrators name an organization, also by the name or the id of another.
        by_id = [each for each in known if each.organization_id == name_or_id]
        found = by_id or [each for each in known if each.name == name_or_id]
        if not found:
            raise OperatorError(f"There is no organization {name_or_id}. See: inferway organization list")
        if len(found) > 1:
            ids = " or ".join(each.organization_id for each in found)
            raise OperatorError(f"Several organizations are named {name_or_id}: say which by its id, {ids}.")
        return found[0]

    settle(
        settings,
        voice,
        (daily_usd, monthly_usd),
        find=find,
        change=lambda office, was, now: office.administration.change_organization(
            was, OPERATOR, spend_budget=now
        ),
        row=_row,
    )


def _row(made: Organization) -> dict[str, Any]:
    return {
        "organization_id": made.organization_id,
        "organization_name": made.name,
        "spend_budget": shown(made.spend_budget),
        "created_at": made.created_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
