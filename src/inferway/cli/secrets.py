"""`inferway secrets`: the keys that secrets are encrypted under."""

import asyncio

import click

from inferway.app.desk import rotate_secrets_key
from inferway.cli.verb import Voice, examples, verb
from inferway.settings import Settings


@click.group(
    short_help="Rotate the key that secrets are encrypted under.",
    epilog=examples("inferway secrets rotate-key"),
)
def secrets() -> None:
    """Secrets are set over HTTP; here is what only the operator does."""


@secrets.command("rotate-key", short_help="Put every secret under a new key.")
@verb()
def rotate_key(settings: Settings, voice: Voice) -> None:
    """Make a new key-encryption key and put every secret under it; servers that run go on working.

    The old key is taken out of the file: a copy of it no longer opens anything that is stored from then on.
    """
    kek_id, count = asyncio.run(rotate_secrets_key(settings))
    voice.tell({"kek_id": kek_id, "secrets": count}, [f"{count} secrets are under the new key {kek_id}."])
