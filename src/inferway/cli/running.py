"""Where the server of a data folder listens: a small file that it writes while it runs."""

import contextlib
import os
from pathlib import Path

import msgspec
from msgspec import Struct

FILE_NAME = "server.json"


class Running(Struct, frozen=True, kw_only=True):
    """A server that runs, or was killed without a chance to say otherwise."""

    url: str
    pid: int


def note_running(data_dir: Path, url: str) -> None:
    """Writes the file for this process; a folder that cannot be written costs only the convenience."""
    with contextlib.suppress(OSError):
        fresh = data_dir / f"{FILE_NAME}.{os.getpid()}"
        fresh.write_bytes(msgspec.json.encode(Running(url=url, pid=os.getpid())))
        fresh.replace(data_dir / FILE_NAME)


def forget_running(data_dir: Path) -> None:
    """Takes the file away if it is this process's."""
    found = _read(data_dir)
    if found is not None and found.pid == os.getpid():
        with contextlib.suppress(OSError):
            (data_dir / FILE_NAME).unlink()


def find_running(data_dir: Path) -> Running | None:
    """The server of a data folder whose process is alive, or None."""
    found = _read(data_dir)
    return found if found is not None and _is_alive(found.pid) else None


def _read(data_dir: Path) -> Running | None:
    try:
        return msgspec.json.decode((data_dir / FILE_NAME).read_bytes(), type=Running)
    except (OSError, msgspec.MsgspecError):
        return None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True
