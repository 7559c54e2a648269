"""The child's side of an engine: what a model module offers, and the job it is handed."""

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from inferway.providers.local.engine import Delta, Fault, Limits, Output, Task
from inferway.providers.local.wire import Load, Said


class Refusal(Exception):
    """The task is bad in itself: its sender can mend it."""

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.fault = Fault(message=message, refused=True, code=code)


class Job:
    """One task of a batch, with the way back to whoever waits for it. Ends once, by `finish` or `fail`."""

    def __init__(self, number: int, task: Task, say: Callable[[Said], None]) -> None:
        self.number = number
        self.task = task
        self.ended = False
        self._say = say
        self._dropped = threading.Event()

    @property
    def dropped(self) -> bool:
        """Whether nobody waits any more; long work looks at this between steps."""
        return self._dropped.is_set()

    def drop(self) -> None:
        """Called when nobody waits any more."""
        self._dropped.set()

    def emit(self, text: str) -> None:
        """More text."""
        self._say(Said(self.number, Delta(text=text)))

    def finish(self, output: Output) -> None:
        """The whole answer."""
        self._end(output)

    def fail(self, fault: Fault) -> None:
        """No answer."""
        self._end(fault)

    def _end(self, event: Output | Fault) -> None:
        if not self.ended:
            self.ended = True
            self._say(Said(self.number, event))


class Model(Protocol):
    """A loaded model. `run` is called from as many threads as `limits.concurrency` says; it ends every job of the batch."""

    limits: Limits

    def run(self, batch: Sequence[Job]) -> None: ...


class Loader(Protocol):
    """The function `load` of a module in `engines/`; raises whatever goes wrong, `ModuleNotFoundError` for a missing engine."""

    def __call__(self, spec: Load) -> Model: ...
