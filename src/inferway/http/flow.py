"""Flow control of a connection, as uvicorn knows it, without what only slow readers need."""

import asyncio

from uvicorn.protocols.http.flow_control import FlowControl


class Flow(FlowControl):
    """What waits for a slow reader is made when there is one: most connections of thousands never have any."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.read_paused = self.write_paused = False
        self._caught_up: asyncio.Event | None = None

    async def drain(self) -> None:
        """Waits until the peer has caught up."""
        if self._caught_up is not None:
            await self._caught_up.wait()

    def pause_writing(self) -> None:
        """The peer reads too slowly."""
        self.write_paused = True
        if self._caught_up is None:
            self._caught_up = asyncio.Event()

    def resume_writing(self) -> None:
        """The peer has caught up."""
        self.write_paused = False
        if self._caught_up is not None:
            self._caught_up.set()
            self._caught_up = None
