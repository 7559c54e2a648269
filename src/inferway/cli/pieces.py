"""A streamed answer on a terminal: each completion whole and in its place, as early as that can be."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from inferway.cli.answers import plain
from inferway.client.answers import Event


class Pieces:
    """Prints the completion whose turn it is as it comes; of those behind it the pieces are kept until then."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._turn = 0
        self._kept: dict[int, list[str]] = {}
        self._ended: set[int] = set()

    def take(self, event: Event) -> None:
        """One event of the stream, up to `done`."""
        if event.name == "delta":
            self._say(event.index, plain(event.text))
        elif event.name == "item":
            for text in _rest(event.data):
                self._say(event.index, text)
            self._ended.add(event.index)
            self._go_on()
        elif event.name == "done":
            for text in _called(event.data):
                self._write(text + "\n")

    def _say(self, index: int, text: str) -> None:
        if index == self._turn:
            self._write(text)
        else:
            self._kept.setdefault(index, []).append(text)

    def _go_on(self) -> None:
        while self._turn in self._ended:
            self._write("\n")
            self._turn += 1
            for text in self._kept.pop(self._turn, ()):
                self._write(text)


def _rest(item: dict[str, Any]) -> Iterator[str]:
    if error := item.get("error"):
        yield plain(f"(failed: {error.get('message')})")


def _called(answer: dict[str, Any]) -> Iterator[str]:
    """What the models want called, which no piece of text told."""
    data = answer.get("data")
    for completion in data.get("completions", ()) if isinstance(data, dict) else ():
        if calls := completion.get("tool_calls"):
            yield plain(json.dumps(calls, ensure_ascii=False, indent=2))
