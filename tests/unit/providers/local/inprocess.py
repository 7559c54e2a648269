"""An engine inside this process, to show that the pool only knows the interface."""

import asyncio
import os
from collections.abc import Sequence

from inferway.providers.local.catalogue import LocalModel
from inferway.providers.local.engine import Echoed, EchoTask, Limits, Ticket


class InProcessEcho:
    def __init__(self, model: LocalModel) -> None:
        self.died = asyncio.Event()
        self.model = model

    async def load(self) -> Limits:
        return Limits()

    async def run(self, batch: Sequence[Ticket]) -> None:
        for ticket in batch:
            assert isinstance(ticket.task, EchoTask)
            ticket.put(Echoed(text=ticket.task.text, pid=os.getpid(), batch=len(batch)))

    def memory_bytes(self) -> int:
        return 1

    async def close(self) -> None:
        self.died.set()
