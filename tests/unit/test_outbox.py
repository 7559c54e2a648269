"""What is held back leaves together, in order, and nobody's trouble is another's."""

import asyncio

import pytest

from inferway.outbox import Outbox


class Holding:
    """A sender that says when it was flushed."""

    def __init__(self, name: str, said: list[str], trouble: Exception | None = None) -> None:
        self._name, self._said, self._trouble = name, said, trouble

    def flush(self) -> None:
        self._said.append(self._name)
        if self._trouble is not None:
            raise self._trouble


async def test_senders_are_flushed_in_order_after_all_that_was_ready(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop = asyncio.get_running_loop()
    outbox, said = Outbox(loop), list[str]()
    loop.call_soon(said.append, "ready before")
    outbox.put(Holding("one", said))
    outbox.put(Holding("two", said, OSError("gone")))
    outbox.put(Holding("three", said))
    assert said == []
    await asyncio.sleep(0)
    assert said == ["ready before", "one", "two", "three"]
    assert "could not be sent" in caplog.text
    outbox.put(Holding("later", said))
    await asyncio.sleep(0)
    assert said[-1] == "later"
