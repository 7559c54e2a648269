"""Log lines on standard error: for people or for machines, never with a prompt, a key or a body."""

import logging
import sys
from datetime import UTC, datetime
from typing import Literal

import msgspec

_QUIET = {
    "uvicorn": logging.ERROR,
    "httpcore": logging.WARNING,
    "asyncio": logging.WARNING,
    "opentelemetry": logging.CRITICAL,
}
"""Least levels of libraries. uvicorn warns of each malformed request, which a stranger could fill a disk with;
an exporter of its collector's every failure, which is told once by us."""


def configure_logs(level: str, form: Literal["text", "json"]) -> None:
    """Sends this process's log lines of `level` (a lower-case name) and above to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(max(least, root.level))


class TextLines(logging.Formatter):
    """`2026-01-31T12:00:00.123Z INFO inferway.http: message`; a traceback follows on lines of its own."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 -- the library's name
        """The moment in UTC."""
        del datefmt
        return _moment(record)


class JsonLines(logging.Formatter):
    """One JSON object a line: `time`, `level`, `logger`, `message`, and `error` with a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        fields = {
            "time": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        return msgspec.json.encode(fields).decode()


def _moment(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
