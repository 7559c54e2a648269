"""Tells how the default models come in while the server runs: progress for a person, an event for a program."""

import threading
import time
from typing import Protocol

import click

from inferway.app.desk import ModelDesk
from inferway.cli.verb import Voice
from inferway.settings import Settings

_EVERY_S = 0.3
_QUIET_S = 20.0
"""When nothing has been pulled for so long, nothing will be."""


class Hears(Protocol):
    """Who wants to know of a model that has come."""

    def model_ready(self, model: str) -> None: ...


class PullWatch:
    """Looks at the models folder beside the server, until all default models are there or none is coming any more."""

    def __init__(self, settings: Settings, desk: ModelDesk, voice: Voice, hears: Hears) -> None:
        self._wanted = settings.local.pull_defaults
        self._desk = desk
        self._voice = voice
        self._hears = hears
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pull-watch", daemon=True)
        self._shown = False

    def start(self) -> None:
        """Begins, unless there is nothing to wait for."""
        if self._wanted and self._missing():
            self._thread.start()

    def stop(self) -> None:
        """Ends; nothing is said after this."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=2)

    def _missing(self) -> dict[str, int]:
        """The default models that are not here, with their bytes; those whose engine is not installed are not waited for."""
        wanted = [name for name in self._desk.defaults() if not self._desk.missing_packages(name)]
        return {
            each.id: each.size for each in self._desk.list() if each.id in wanted and each.state != "pulled"
        }

    def _run(self) -> None:
        missing = self._missing()
        total_mb = sum(missing.values()) / 1e6
        self._voice.note(f"\nFetching the models {', '.join(missing)} (about {total_mb:.0f} MB, once) ...")
        active_at = time.monotonic()
        while missing and not self._stop.wait(_EVERY_S):
            pulling = {each.id: each.pulling for each in self._desk.list() if each.pulling is not None}
            if pulling:
                active_at = time.monotonic()
            for model, progress in pulling.items():
                self._show(f"{model}: {progress.done / 1e6:.0f} of {progress.total / 1e6:.0f} MB")
            now = self._missing()
            for model in [model for model in missing if model not in now]:
                self._show(f"{model} is here", last=True)
                self._hears.model_ready(model)
            missing = now
            if time.monotonic() - active_at > _QUIET_S:
                names = ", ".join(missing)
                self._voice.note(f"Not fetched: {names}. `inferway models pull` tries again and says why.")
                return

    def _show(self, line: str, *, last: bool = False) -> None:
        """On a terminal progress moves in one line; elsewhere only what is done is said."""
        if self._voice.is_live:
            click.echo(f"\r\033[K  {line}", nl=last, err=True)
        elif last:
            self._voice.note(f"  {line}")
