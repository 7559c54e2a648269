"""Streamed completions on a terminal."""

from typing import Any

from inferway.cli.pieces import Pieces
from inferway.client.answers import Event


def printed(*events: tuple[str, dict[str, Any]]) -> list[str]:
    """What is written for each event."""
    said: list[str] = []
    pieces = Pieces(said.append)
    found = []
    for name, data in events:
        pieces.take(Event(name=name, data=data))
        found.append("".join(said))
        said.clear()
    return found


def test_pieces_are_printed_as_they_come() -> None:
    events: list[tuple[str, dict[str, Any]]] = [
        ("start", {}),
        *[("delta", {"index": 0, "text": text}) for text in ("a", "b")],
        ("item", {"index": 0}),
    ]
    assert printed(*events) == ["", "a", "b", "\n"]


def test_completions_that_come_mixed_are_printed_one_after_the_other() -> None:
    events: list[tuple[str, dict[str, Any]]] = [
        ("delta", {"index": 1, "text": "second"}),
        ("delta", {"index": 0, "text": "first"}),
        ("delta", {"index": 2, "text": "third"}),
        ("item", {"index": 1}),
        ("item", {"index": 0}),
        ("delta", {"index": 2, "text": " ends"}),
        ("item", {"index": 2, "error": {"message": "cut\x1b off"}}),
    ]
    assert printed(*events) == ["", "first", "", "", "\nsecond\nthird", " ends", "(failed: cut off)\n"]


def test_what_a_model_wants_called_is_printed_at_the_end() -> None:
    call = {"id": "c", "name": "weather", "arguments": {}}
    [_, told] = printed(("item", {"index": 0}), ("done", {"data": {"completions": [{"tool_calls": [call]}]}}))
    assert '"weather"' in told


def test_an_answer_cannot_steer_the_terminal() -> None:
    assert printed(("delta", {"text": "a\x1b]0;x\x07b"})) == ["a]0;xb"]
