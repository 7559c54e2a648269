"""What all verbs share: the options that find the settings, `--json`, and how a failure is told."""

import errno
import functools
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn

import click

from inferway.errors import GatewayError, OperatorError, UsageError
from inferway.settings import Settings, load

Verb = Callable[..., None]


class Voice:
    """Speaks to a person in lines, or to a program in JSON."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    @property
    def is_live(self) -> bool:
        """Whether a person watches: moving progress makes sense."""
        return not self.as_json and sys.stderr.isatty()

    def tell(self, value: object, lines: Iterable[str]) -> None:
        """The result of a verb: one JSON document, or lines; both on standard output."""
        if self.as_json:
            click.echo(json.dumps(value, ensure_ascii=False, default=str))
            return
        for line in lines:
            click.echo(line)

    def note(self, line: str) -> None:
        """A remark for a person, on standard error."""
        if not self.as_json:
            click.echo(line, err=True)

    def warn(self, line: str) -> None:
        """What went wrong without ending the verb, on standard error in every case."""
        click.echo(f"{click.style('Error:', fg='red', bold=True)} {line}", err=True)

    def fail(self, message: str, envelope: object = None, *, status: int = 1) -> NoReturn:
        """Ends with a status and says why."""
        if self.as_json:
            found = envelope or {"success": False, "error": {"message": message}}
            click.echo(json.dumps(found, ensure_ascii=False))
        self.warn(message)
        raise click.exceptions.Exit(status)


def examples(*lines: str) -> str:
    """The end of a verb's help: command lines to copy."""
    return "\b\n" + "\n".join(["Examples:", *(f"  {line}" for line in lines)])


def verb(**flags: str) -> Callable[[Verb], Verb]:
    """Gives a function `settings` and `voice` from the common options; `flags` are options that set a setting, by its name.

    An `OperatorError` or a `GatewayError` that comes out becomes a line and exit status 1, a `UsageError` 2.
    """

    def wrap(function: Verb) -> Verb:
        @click.option("--data-dir", metavar="FOLDER", help="Folder of the database, the keys and the models.")
        @click.option("--config", metavar="FILE", help="Settings file (TOML).")
        @click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
        @functools.wraps(function)
        def run(data_dir: str | None, config: str | None, *, as_json: bool, **rest: Any) -> None:
            voice = Voice(as_json=as_json)
            chosen = {name: rest.pop(option) for option, name in flags.items()}
            try:
                settings = _load(data_dir, config, chosen)
                function(settings=settings, voice=voice, **rest)
            except UsageError as error:
                voice.fail(str(error), status=2)
            except OperatorError as error:
                voice.fail(str(error))
            except GatewayError as error:
                voice.fail(error.message)
            except OSError as error:
                if error.errno == errno.EPIPE or not error.filename:
                    raise
                reason = (error.strerror or "unusable").lower()
                voice.fail(f"{error.filename}: {reason}. Name another place, or mend that one.")

        return run

    return wrap


def _load(data_dir: str | None, config: str | None, chosen: dict[str, Any]) -> Settings:
    outer = click.get_current_context().find_root().params
    folder, file = data_dir or outer.get("data_dir"), config or outer.get("config")
    return load(config=Path(file) if file else None, overrides={"data_dir": folder, **chosen})
