"""A sign of life on a terminal while an answer is awaited."""

import itertools
import threading
import time
from types import TracebackType
from typing import Self

import click

_FRAMES = "|/-\\"
_EVERY_S = 0.12


class Spinner:
    """Turns while the block runs, on standard error; says nothing at all unless `live`."""

    def __init__(self, *, live: bool) -> None:
        self._live = live
        self._text = "waiting for the answer"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._turn, name="spinner", daemon=True)

    def say(self, text: str) -> None:
        """What is being waited for."""
        self._text = text

    def __enter__(self) -> Self:
        if self._live:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """The answer begins: the line is free again. A second time does nothing."""
        if self._live and not self._stop.is_set():
            self._stop.set()
            self._thread.join()
            click.echo("\r\033[K", nl=False, err=True)

    def _turn(self) -> None:
        began = time.monotonic()
        for frame in itertools.cycle(_FRAMES):
            click.echo(f"\r\033[K{frame} {self._text} ({time.monotonic() - began:.0f} s)", nl=False, err=True)
            if self._stop.wait(_EVERY_S):
                return
