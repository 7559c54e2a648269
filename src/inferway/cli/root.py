"""The command `inferway`: its verbs, by name."""

from difflib import get_close_matches
from importlib import import_module
from typing import Any

import click
from click.shell_completion import CompletionItem

from inferway import __version__

VERBS = {
    "serve": ("inferway.cli.serve:serve", "Start the server."),
    "call": ("inferway.cli.call:call", "Send one inference to a server and print the answer."),
    "batch": ("inferway.cli.batch:batch", "Make the calls of a file, and go on where a run was stopped."),
    "dashboard": (
        "inferway.cli.dashboard:dashboard",
        "Print a link that signs in to the dashboard once.",
    ),
    "key": ("inferway.cli.keys:key", "Create, list and revoke API keys."),
    "namespace": ("inferway.cli.namespaces:namespace", "Create and list namespaces."),
    "organization": ("inferway.cli.organizations:organization", "Create and list organizations."),
    "secrets": ("inferway.cli.secrets:secrets", "Rotate the key that secrets are encrypted under."),
    "db": ("inferway.cli.db:db", "Bring the database's tables up to date, or say how they stand."),
    "usage": ("inferway.cli.usage:usage", "Show, export, reconcile and reprice what was used."),
    "models": ("inferway.cli.models:models", "List, pull, verify and remove local models."),
    "top": ("inferway.cli.top:top", "Watch calls, latencies, errors and spend of a running server."),
    "doctor": ("inferway.cli.doctor:doctor", "Check this installation and say what to do."),
    "settings": ("inferway.cli.table:settings_table", "Print every setting, its default and its meaning."),
    "completion": (
        "inferway.cli.completion:completion",
        "Print the script that completes verbs and options in a shell.",
    ),
}
"""Name of a verb → where it is, and what it does in a line."""


class LazyGroup(click.Group):
    """A group that imports a verb's module only when the verb is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs in the order of the table."""
        del ctx
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb itself."""
        del ctx
        if cmd_name not in VERBS:
            return None
        module, _, name = VERBS[cmd_name][0].partition(":")
        found = getattr(import_module(module), name)
        assert isinstance(found, click.Command)  # noqa: S101 - the table names commands
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb of the line; what is none is answered with those that are spelled alike."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            if alike := get_close_matches(args[0], VERBS):
                raise click.UsageError(f"{error.message} Did you mean {' or '.join(alike)}?", ctx) from None
            raise

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The verbs that begin so, from the table alone, and the common options."""
        verbs = [
            CompletionItem(name, help=about)
            for name, (_, about) in VERBS.items()
            if name.startswith(incomplete)
        ]
        return [*verbs, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of verbs in the help text, from the table alone."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in VERBS.items()])


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="inferway %(version)s")
@click.option("--data-dir", metavar="FOLDER", help="Folder of the database, the keys and the models.")
@click.option("--config", metavar="FILE", help="Settings file (TOML).")
@click.pass_context
def command(ctx: click.Context, /, **_given: Any) -> None:
    """Inferway: one API for OpenAI, Google, Anthropic and models on this machine.

    `inferway serve` starts it and prints a call to paste.
    """
    # Read here and not above: `--help` is quick.
    from inferway.settings import is_colourless  # noqa: PLC0415

    if is_colourless():
        ctx.color = False


def main() -> None:
    """Entry point."""
    command(prog_name="inferway")
