"""The options of verbs that call a server: how often, how long, and in which namespace."""

from collections.abc import Callable
from typing import Any

import click

from inferway.cli.choices import choose_namespace


def calling_options(retries: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Gives a verb `retries`, of which there are so many unless it is said otherwise, `wait_s` and `namespace`."""

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in (
            click.option(
                "--namespace",
                metavar="NAME",
                shell_complete=choose_namespace,
                help="The namespace to call in.",
            ),
            click.option(
                "--wait",
                "wait_s",
                type=click.FloatRange(0, 86_400),
                default=300.0,
                show_default=True,
                help="Seconds to wait for a local model.",
            ),
            click.option(
                "--retries",
                type=click.IntRange(0, 100),
                default=retries,
                show_default=True,
                help="How often a failure that may pass is tried again; Retry-After is obeyed.",
            ),
        ):
            function = option(function)
        return function

    return wrap
