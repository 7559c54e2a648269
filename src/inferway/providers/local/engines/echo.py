"""A deterministic engine without a model: says its input back. For tests of the pool and for demonstrations of faults."""

import os
import time
from collections.abc import Sequence

from inferway.providers.local.engine import Echoed, EchoTask, Limits
from inferway.providers.local.model import Job, Model, Refusal
from inferway.providers.local.wire import Load


class Echo:
    """Options: `batch`, `concurrency`, `load_s` (sleep at load), `ballast_mb` (memory to hold), `crash_on_load`."""

    def __init__(self, spec: Load) -> None:
        options = spec.options
        time.sleep(options.get("load_s", 0.0))
        if options.get("crash_on_load"):
            os._exit(9)
        self.limits = Limits(batch=options.get("batch", 1), concurrency=options.get("concurrency", 1))
        self._ballast = b"\1" * (options.get("ballast_mb", 0) * 1024 * 1024)

    def run(self, batch: Sequence[Job]) -> None:
        """Each job word by word, one after the other."""
        for job in batch:
            try:
                self._say(job, len(batch))
            except Refusal as refusal:
                job.fail(refusal.fault)

    def _say(self, job: Job, size: int) -> None:
        task = job.task
        if not isinstance(task, EchoTask):
            raise Refusal("this engine only echoes")
        if task.refuse:
            raise Refusal("asked to refuse", code="echo_refused")
        for word in task.text.split():
            time.sleep(task.delay_s)
            if job.dropped:
                return
            job.emit(word)
            if task.crash:
                os._exit(9)
        if task.crash:
            os._exit(9)
        job.finish(Echoed(text=task.text, pid=os.getpid(), batch=size))


def load(spec: Load) -> Model:
    """See `Echo` for the options."""
    return Echo(spec)
