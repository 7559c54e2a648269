"""Recorded bodies with each JSON path in turn deleted or given another type, and streams with events cut, lost and doubled."""

import json
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

REPLACEMENTS: tuple[Any, ...] = (
    None,
    True,
    -1,
    1.5,
    10**25,
    "",
    "mutated",
    [],
    ["mutated"],
    {},
    {"mutated": 1},
)
_LONG = 12


class Mutant(Struct, frozen=True, kw_only=True):
    """A changed body; `values` is its JSON (of a stream: of all its events, in order)."""

    what: str
    content: bytes
    values: Any


def of_json(body: Any) -> Iterator[Mutant]:
    """Every mutant of a JSON body."""
    for what, changed in _changed(body):
        yield Mutant(what=what, content=json.dumps(changed).encode(), values=changed)


def of_stream(text: str) -> Iterator[Mutant]:
    """Every mutant of a stream: of the JSON of its events, and of the sequence of events.

    Of events that have the same fields the first and the last are changed: the others would show the same.
    """
    line_end = "\r\n" if "\r\n" in text else "\n"
    blocks = [block for block in text.split(line_end * 2) if block.strip()]
    events = [_event(block) for block in blocks]
    for index in _telling(events):
        for what, changed in _changed(events[index]):
            block = _with_data(blocks[index], json.dumps(changed), line_end)
            yield _stream(f"event {index}: {what}", blocks, events, index, [(block, changed)], line_end)
    for index, (block, event) in enumerate(zip(blocks, events, strict=True)):
        yield _stream(f"event {index} lost", blocks, events, index, [], line_end)
        yield _stream(f"event {index} doubled", blocks, events, index, [(block, event)] * 2, line_end)
        rest = [*zip(blocks[:index], events[:index], strict=True)]
        yield _stream(f"cut before event {index}", [], [], 0, rest, line_end)


def _stream(
    what: str,
    blocks: list[str],
    events: list[Any],
    index: int,
    instead: list[tuple[str, Any]],
    line_end: str,
) -> Mutant:
    made = [*blocks[:index], *(block for block, _ in instead), *blocks[index + 1 :]]
    values = [*events[:index], *(event for _, event in instead), *events[index + 1 :]]
    return Mutant(what=what, content="".join(block + line_end * 2 for block in made).encode(), values=values)


def _event(block: str) -> Any:
    data = "\n".join(
        line.removeprefix("data:").strip() for line in block.splitlines() if line.startswith("data:")
    )
    return None if data in ("", "[DONE]") else json.loads(data)


def _with_data(block: str, data: str, line_end: str) -> str:
    kept = [line for line in block.splitlines() if not line.startswith("data:")]
    return line_end.join([*kept, f"data: {data}"])


def _telling(events: list[Any]) -> list[int]:
    """The first and the last event of each form."""
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for index, event in enumerate(events):
        if event is not None:
            form = json.dumps(_form(event))
            first.setdefault(form, index)
            last[form] = index
    return sorted({*first.values(), *last.values()})


def _form(value: Any) -> Any:
    """A value's fields and types, and the word that says what kind of event it is."""
    if isinstance(value, dict):
        return {name: item if name == "type" else _form(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_form(item) for item in value]
    return type(value).__name__


def _changed(body: Any) -> Iterator[tuple[str, Any]]:
    """Each change of one place, said and done."""
    for path in _paths(body):
        shown = ".".join(map(str, path)) or "body"
        if path:
            yield f"{shown} deleted", _put(body, path, _DELETED)
        yield from ((f"{shown} = {value!r}", _put(body, path, value)) for value in REPLACEMENTS)


_DELETED = object()


def _paths(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield path
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _paths(item, (*path, name))
    elif isinstance(value, list):
        # All numbers of a vector are alike.
        places = range(len(value)) if len(value) <= _LONG else (0, len(value) // 2, len(value) - 1)
        for index in places:
            yield from _paths(value[index], (*path, index))


def _put(value: Any, path: tuple[str | int, ...], new: Any) -> Any:
    """A copy with one place changed; what is not on the way to it is shared."""
    if not path:
        return new
    step: Any = path[0]
    copied = value.copy()
    if len(path) == 1 and new is _DELETED:
        del copied[step]
    else:
        copied[step] = _put(value[step], path[1:], new)
    return copied
