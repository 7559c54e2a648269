"""The folder of the model files: what is there, whether it is intact, and taking it away."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from inferway.providers.local.catalogue import LocalModel, ModelFile

State = Literal["pulled", "missing", "corrupt"]
_RECORD = ".verified.json"


class _Seen(Struct, frozen=True):
    """What a file was like when its hash was last found right."""

    sha256: str
    size: int
    mtime_ns: int


class FileReport(Struct, frozen=True, kw_only=True):
    """One file of a model after its hash was taken; `found` is None when the file is missing."""

    name: str
    sha256: str
    found: str | None

    @property
    def intact(self) -> bool:
        """Whether the content is what the catalogue pins."""
        return self.found == self.sha256


class Busy(Exception):
    """Another process is pulling or removing this model; `progress` is what it has told so far."""

    def __init__(self, progress: "PullProgress") -> None:
        super().__init__("another process is working on this model")
        self.progress = progress


class PullProgress(Struct, frozen=True, kw_only=True):
    """How far a pull is, in bytes; `elapsed_s` since it began."""

    done: int = 0
    total: int = 0
    elapsed_s: float = 0.0

    def remaining_s(self) -> float:
        """Seconds left at the pace so far; 10 when nothing can be said yet."""
        if not self.done or not self.elapsed_s:
            return 10.0
        return max(0.0, (self.total - self.done) * self.elapsed_s / self.done)


class Shelf:
    """The models folder. Each model has a folder of its own, named by its id; blocking calls, for threads and commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def folder_of(self, model: LocalModel) -> Path:
        """Where the files of a model lie once they are pulled."""
        return self.folder / model.id

    def state(self, model: LocalModel) -> State:
        """Whether a model can be used, judged without reading the files: `corrupt` is a wrong size or another hash on record."""
        seen = self._record(model)
        sizes = {file.name: _size(self.folder_of(model) / file.name) for file in model.files}
        if None in sizes.values():
            return "missing"
        for file in model.files:
            was = seen.get(file.name)
            if sizes[file.name] != file.size or (was is not None and was.sha256 != file.sha256):
                return "corrupt"
        return "pulled"

    def verify(self, model: LocalModel) -> tuple[FileReport, ...]:
        """Hashes every file of a model and remembers what was found."""
        return tuple(self._report(model, file) for file in model.files)

    def is_intact(self, model: LocalModel) -> bool:
        """Whether the files are those of the catalogue; only files changed since their last hash are read again."""
        seen = self._record(model)
        return all(
            self._unchanged(model, file, seen) or self._report(model, file).intact for file in model.files
        )

    def remove(self, model: LocalModel) -> int:
        """Deletes a model's files; returns the bytes freed. Raises `Busy` while it is being pulled."""
        with self.lock(model):
            folder = self.folder_of(model)
            freed = sum(path.stat().st_size for path in folder.glob("*") if path.is_file())
            shutil.rmtree(folder, ignore_errors=True)
            return freed

    def install(self, model: LocalModel, file: ModelFile, arrived: Path) -> None:
        """Puts a file whose hash was just found right in its place, in one step."""
        folder = self.folder_of(model)
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / file.name
        arrived.replace(target)
        self._remember(model, file, file.sha256)

    def find_pull(self, model: LocalModel) -> PullProgress | None:
        """How far a pull is that runs now, in this process or another, or None."""
        path = self._lock_path(model)
        try:
            with path.open("rb") as handle:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return None
        except BlockingIOError:
            return _read_progress(path)
        return None

    @contextmanager
    def lock(
        self, model: LocalModel, on_wait: Callable[[], None] | None = None
    ) -> Iterator[Callable[[PullProgress], None]]:
        """Holds a model for writing; yields a function that notes progress for others to see.

        Without `on_wait` it raises `Busy` when somebody else holds it; with it, it calls that once and waits.
        """
        path = self._lock_path(model)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if on_wait is None:
                    raise Busy(_read_progress(path)) from None
                on_wait()
                fcntl.flock(handle, fcntl.LOCK_EX)

            def note(progress: PullProgress) -> None:
                handle.seek(0)
                handle.truncate()
                handle.write(msgspec.json.encode(progress))
                handle.flush()

            note(PullProgress(total=model.size))
            yield note

    def _lock_path(self, model: LocalModel) -> Path:
        return self.folder / ".locks" / f"{model.id}.lock"

    def _report(self, model: LocalModel, file: ModelFile) -> FileReport:
        try:
            found = hash_file(self.folder_of(model) / file.name)
        except FileNotFoundError:
            return FileReport(name=file.name, sha256=file.sha256, found=None)
        self._remember(model, file, found)
        return FileReport(name=file.name, sha256=file.sha256, found=found)

    def _unchanged(self, model: LocalModel, file: ModelFile, seen: dict[str, _Seen]) -> bool:
        was = seen.get(file.name)
        try:
            status = (self.folder_of(model) / file.name).stat()
        except FileNotFoundError:
            return False
        return was == _Seen(file.sha256, status.st_size, status.st_mtime_ns)

    def _record(self, model: LocalModel) -> dict[str, _Seen]:
        try:
            return msgspec.json.decode((self.folder_of(model) / _RECORD).read_bytes(), type=dict[str, _Seen])
        except (OSError, msgspec.MsgspecError):
            return {}

    def _remember(self, model: LocalModel, file: ModelFile, sha256: str) -> None:
        folder = self.folder_of(model)
        status = (folder / file.name).stat()
        seen = self._record(model) | {file.name: _Seen(sha256, status.st_size, status.st_mtime_ns)}
        fresh = folder / f"{_RECORD}.{os.getpid()}"
        try:
            fresh.write_bytes(msgspec.json.encode(seen))
            fresh.replace(folder / _RECORD)
        except PermissionError:
            # A read-only models folder is fine: its files are then hashed at each load.
            return


def hash_file(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _read_progress(path: Path) -> PullProgress:
    try:
        return msgspec.json.decode(path.read_bytes(), type=PullProgress)
    except (OSError, msgspec.MsgspecError):
        return PullProgress()
