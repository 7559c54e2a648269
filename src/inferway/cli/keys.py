"""`inferway key`: API keys, in the data folder's own store; a server that runs on it notices within five seconds."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from inferway.access.administration import OPERATOR, find_by_reference
from inferway.access.directory import Directory
from inferway.access.founding import FIRST_USER
from inferway.access.records import ApiKey, Permission, SpendBudget
from inferway.app.desk import Office, open_office
from inferway.cli.budget import budget_of, budget_options, settle, shown
from inferway.cli.columns import columns
from inferway.cli.verb import Voice, examples, verb
from inferway.errors import NotFound, OperatorError, UsageError
from inferway.settings import Settings

_DURATION = re.compile(r"([1-9][0-9]{0,4})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@click.group(
    short_help="Create, list and revoke API keys.",
    epilog=examples(
        "inferway key create --name laptop --expires 30d --daily-usd 5",
        "inferway key list",
        "inferway key revoke laptop",
    ),
)
def key() -> None:
    """API keys. The server keeps only hashes: a key is shown once, when it is created."""


@key.command()
@click.option("--name", required=True, help="What the key is for; unique among the user's keys.")
@click.option(
    "--permission",
    type=click.Choice([each.value for each in Permission]),
    default="write",
    show_default=True,
    help="What it may do; calling inference needs `write`.",
)
@click.option(
    "--user", default=FIRST_USER, show_default=True, help="Email of its owner; made if there is none."
)
@click.option("--expires", help="When it ends: 90m, 12h, 30d, 8w, or a moment such as 2030-01-31T12:00Z.")
@budget_options
@verb()
def create(  # noqa: PLR0913 - one for each option
    *,
    settings: Settings,
    voice: Voice,
    name: str,
    permission: str,
    user: str,
    expires: str | None,
    daily_usd: int | None,
    monthly_usd: int | None,
) -> None:
    """Create a key and print it, once."""
    expires_at = None if expires is None else parse_expiry(expires, datetime.now(UTC))

    async def work() -> tuple[ApiKey, str]:
        async with open_office(settings) as office:
            owner = await office.administration.require_user(office.organization_id, user)
            return await office.administration.create_key(
                owner,
                name,
                Permission(permission),
                expires_at=expires_at,
                spend_budget=budget_of(SpendBudget(), daily_usd, monthly_usd),
            )

    record, text = asyncio.run(work())
    voice.tell({**_row(record), "key": text, "user": user}, [text])
    voice.note("Keep it now: it cannot be shown again.")


@key.command("list")
@verb()
def list_keys(settings: Settings, voice: Voice) -> None:
    """List all keys, without their text."""

    async def work() -> tuple[ApiKey, ...]:
        async with open_office(settings) as office:
            return await office.directory.list_keys(office.organization_id)

    rows = [_row(record) for record in asyncio.run(work())]
    names = ("name", "key_prefix", "permission", "status", "expires_at", "key_id")
    cells = ([row[name] or "never" for name in names] for row in rows)
    head = ("NAME", "PREFIX", "PERMISSION", "STATUS", "EXPIRES", "ID")
    voice.tell({"results": rows, "total": len(rows)}, columns(head, cells))


@key.command()
@click.argument("name_or_id")
@verb()
def revoke(settings: Settings, voice: Voice, name_or_id: str) -> None:
    """Take a key back, for good."""

    async def work() -> ApiKey:
        async with open_office(settings) as office:
            found = await require_key(office.directory, office.organization_id, name_or_id)
            return await office.administration.revoke_key(office.organization_id, found.key_id)

    try:
        record = asyncio.run(work())
    except NotFound:
        raise _no_key(name_or_id) from None
    voice.tell(_row(record), [f"Revoked {record.name} ({record.prefix}…)."])


@key.command()
@click.argument("name_or_id")
@budget_options
@verb()
def budget(
    settings: Settings, voice: Voice, name_or_id: str, daily_usd: int | None, monthly_usd: int | None
) -> None:
    """Show or change what a key may spend."""

    async def find(office: Office) -> ApiKey:
        return await require_key(office.directory, office.organization_id, name_or_id)

    settle(
        settings,
        voice,
        (daily_usd, monthly_usd),
        find=find,
        change=lambda office, was, now: office.administration.change_key(was, OPERATOR, spend_budget=now),
        row=_row,
    )


async def require_key(directory: Directory, organization_id: str, reference: str) -> ApiKey:
    """A key by its id or its name; raises `OperatorError` when there is none, or when several users have one of that name."""
    keys = await directory.list_keys(organization_id)
    found = find_by_reference(keys, reference)
    if found is None:
        raise _no_key(reference)
    named = [key.key_id for key in keys if key.name == reference and key.revoked_at is None]
    if found.key_id != reference and len(named) > 1:
        raise OperatorError(f"Several keys are named {reference}: say which by its id, {' or '.join(named)}.")
    return found


def parse_expiry(text: str, now: datetime) -> datetime:
    """A moment from `30d` or from an ISO date or date and time (UTC if it names no zone); raises `OperatorError`."""
    if match := _DURATION.fullmatch(text):
        return now + timedelta(**{_UNITS[match[2]]: int(match[1])})
    try:
        moment = datetime.fromisoformat(text)
        # In UTC here, as one that lies behind the last year there could be stored and not be read.
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise UsageError(f"--expires {text}: write 90m, 12h, 30d, 8w or 2030-01-31T12:00Z.") from None


def _no_key(reference: str) -> OperatorError:
    return OperatorError(f"There is no key {reference}. See: inferway key list")


def _row(record: ApiKey) -> dict[str, Any]:
    return {
        "key_id": record.key_id,
        "name": record.name,
        "key_prefix": record.prefix,
        "permission": str(record.permission),
        "status": record.status(datetime.now(UTC)),
        "user_id": record.user_id,
        "created_at": _text(record.created_at),
        "expires_at": _text(record.expires_at),
        "spend_budget": shown(record.spend_budget),
    }


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
