"""`inferway completion`: what a shell needs to complete this command line."""

import click
from click.shell_completion import ShellComplete, get_completion_class

from inferway.cli.verb import Voice, examples

_PROGRAM = "inferway"
_VARIABLE = "_INFERWAY_COMPLETE"
_FILES = {
    "bash": "~/.bashrc",
    "zsh": "~/.zshrc",
    "fish": "~/.config/fish/completions/inferway.fish",
}


@click.command(
    short_help="Print the script that completes verbs and options in a shell.",
    epilog=examples(
        'eval "$(inferway completion bash)"      # in ~/.bashrc',
        'eval "$(inferway completion zsh)"       # in ~/.zshrc',
        "inferway completion fish > ~/.config/fish/completions/inferway.fish",
    ),
)
@click.argument("shell", type=click.Choice(list(_FILES)))
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@click.pass_context
def completion(ctx: click.Context, shell: str, *, as_json: bool) -> None:
    """Print the script with which a shell completes verbs, options, files, and the names of providers and models.

    Nothing is asked over the network and no database is opened for it.
    """
    kind = get_completion_class(shell)
    assert kind is not None, "click knows these shells"  # noqa: S101
    # Not the class's own `source`, which looks for an installed bash and complains to whoever has none here.
    script = ShellComplete.source(kind(ctx.find_root().command, {}, _PROGRAM, _VARIABLE))
    value = {"shell": shell, "file": _FILES[shell], "script": script}
    Voice(as_json=as_json).tell(value, [script])
