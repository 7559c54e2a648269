"""`inferway dashboard`: a link that signs in to the dashboard once."""

import click

from inferway.app.dashboard import sign_in_link
from inferway.cli.running import find_running
from inferway.cli.verb import Voice, examples, verb
from inferway.errors import OperatorError, UsageError
from inferway.settings import Settings


@click.command(
    short_help="Print a link that signs in to the dashboard once.",
    epilog=examples(
        "inferway dashboard", "inferway dashboard --email ann@example.com --url https://inferway.example.com"
    ),
)
@click.option("--email", help="Whom it signs in.  [default: the first administrator]")
@click.option("--url", help="Where the server is.  [default: the one that runs on the data folder]")
@verb()
def dashboard(settings: Settings, voice: Voice, email: str | None, url: str | None) -> None:
    """Print a link that signs in to the dashboard once.

    Whoever has the link is signed in as that user: hand it on as you would a password.
    """
    if not settings.dashboard.enabled:
        raise OperatorError("The dashboard is off: set dashboard.enabled to true.")
    if url is not None and not url.startswith(("http://", "https://")):
        raise UsageError(f"--url {url}: write it as https://host or http://host:port.")
    running = find_running(settings.data_dir)
    if url is None and running is None:
        raise OperatorError(
            "No server runs on this data folder: start one with `inferway serve`, or give its --url."
        )
    if settings.secrets_key is None and not settings.secrets_key_file.exists():
        # A new key would make a link that no server takes.
        raise OperatorError(
            f"{settings.secrets_key_file}: not there, and links are signed with it. Use the --data-dir of the server at {url}."
        )
    place = (url or (running.url if running else "")).rstrip("/")
    link = sign_in_link(settings, place, email)
    voice.tell({"link": link, "minutes": settings.dashboard.link_minutes}, [link])
