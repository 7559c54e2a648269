"""Log lines, for people and for machines."""

import json
import logging
import re
import sys

from inferway.observe.logs import JsonLines, TextLines


def record(message: str, *arguments: object, error: bool = False) -> logging.LogRecord:
    caught = None
    if error:
        try:
            int("no number")
        except ValueError:
            caught = sys.exc_info()
    return logging.LogRecord("inferway.http", logging.WARNING, __file__, 1, message, arguments, caught)


def test_a_text_line_begins_with_the_moment_in_utc() -> None:
    line = TextLines().format(record("worker %d ended", 7))
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARNING inferway\.http: worker 7 ended", line
    )


def test_a_json_line_is_one_object_whatever_the_message_holds() -> None:
    line = JsonLines().format(record('a "quoted"\nline'))
    assert "\n" not in line
    fields = json.loads(line)
    assert (fields["level"], fields["logger"], fields["message"]) == (
        "warning",
        "inferway.http",
        'a "quoted"\nline',
    )


def test_a_json_line_carries_the_traceback() -> None:
    fields = json.loads(JsonLines().format(record("failed", error=True)))
    assert "ValueError: invalid literal" in fields["error"]
