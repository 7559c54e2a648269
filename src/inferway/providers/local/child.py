"""The child process of an engine: `python -m inferway.providers.local.child FD` loads one model and serves its parent's socket."""

import ctypes
import os
import signal
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

import msgspec

from inferway.providers.local.engine import Fault
from inferway.providers.local.model import Job, Loader, Model, Refusal
from inferway.providers.local.wire import (
    Drop,
    Item,
    Load,
    Ready,
    Run,
    Said,
    ToChild,
    Unusable,
    encode_frame,
    receive_frame,
)

_PR_SET_PDEATHSIG = 1
_ENGINES = "inferway.providers.local.engines"
_MISSING = "the engine's package is not installed: pip install 'inferway[local]'"


class Child:
    """Reads frames on the main thread, runs batches on others, writes answers from all of them."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._writing = threading.Lock()
        self._jobs: dict[int, Job] = {}
        self._decoder = msgspec.msgpack.Decoder(ToChild)

    def serve(self) -> None:
        """Until the parent closes its side."""
        first = receive_frame(self._connection, self._decoder)
        if not isinstance(first, Load):
            return
        model = self._load(first)
        if model is None:
            return
        with ThreadPoolExecutor(max_workers=model.limits.concurrency) as pool:
            while (frame := receive_frame(self._connection, self._decoder)) is not None:
                if isinstance(frame, Run):
                    jobs = [self._admit(item) for item in frame.items]
                    pool.submit(self._run, model, jobs)
                elif isinstance(frame, Drop) and (job := self._jobs.get(frame.number)):
                    job.drop()
            # The parent is gone: work in flight is for nobody.
            os._exit(0)

    def _load(self, spec: Load) -> Model | None:
        began = time.monotonic()
        try:
            loader: Loader = import_module(f"{_ENGINES}.{spec.engine}").load
            model = loader(spec)
        except ImportError:
            self._send(Unusable(fault=Fault(message=_MISSING, code="engine_not_installed"), permanent=True))
            return None
        except Exception as error:  # noqa: BLE001 - whatever an engine raises means that it cannot be used
            print(f"{type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201 - the parent keeps a child's last words
            self._send(
                Unusable(fault=Fault(message=f"the engine could not load its model ({type(error).__name__})"))
            )
            return None
        limits = msgspec.structs.replace(model.limits, load_s=time.monotonic() - began)
        self._send(Ready(limits=limits))
        return model

    def _admit(self, item: Item) -> Job:
        def say(said: Said) -> None:
            self._send(said)

        job = Job(item.number, item.task, say)
        self._jobs[item.number] = job
        return job

    def _run(self, model: Model, jobs: list[Job]) -> None:
        try:
            model.run([job for job in jobs if not job.dropped])
        except Refusal as refusal:
            for job in jobs:
                job.fail(refusal.fault)
        except Exception as error:  # noqa: BLE001 - the outermost layer of a batch: the process goes on with the next
            for job in jobs:
                job.fail(Fault(message=f"the engine failed on this task ({type(error).__name__})"))
        for job in jobs:
            job.fail(Fault(message="the engine gave no answer"))
            self._jobs.pop(job.number, None)

    def _send(self, value: Ready | Unusable | Said) -> None:
        frame = encode_frame(value)
        with self._writing:
            try:
                self._connection.sendall(frame)
            except OSError:
                os._exit(0)


def die_with_parent(parent: int) -> None:
    """Asks Linux to kill this process when its parent dies; elsewhere the closed socket does it."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def main() -> None:
    """Entry: the number of the inherited socket and the parent's process id are the arguments."""
    die_with_parent(int(sys.argv[2]))
    # A Ctrl-C in the terminal reaches the whole group; the parent decides when its engines end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        Child(connection).serve()


if __name__ == "__main__":
    main()
