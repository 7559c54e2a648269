"""What the command line and the server do with the models folder: list, pull, verify, remove."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from msgspec import Struct

from inferway.providers.local.catalogue import (
    Catalogue,
    HubSource,
    LocalModel,
    ModelFile,
    PathSource,
    Source,
    WheelSource,
)
from inferway.providers.local.shelf import PullProgress, Shelf, State
from inferway.providers.local.sources import (
    Arrival,
    Fetch,
    SourceFailed,
    Stopped,
    Wheels,
    read_hub,
    read_path,
    write_checked,
)
from inferway.providers.transport.download import fetch as fetch_hub

_NOTE_EVERY_S = 0.5


class Progress(Struct, frozen=True, kw_only=True):
    """How far a pull is: bytes of all files of the model together."""

    model: str
    file: str
    done: int
    total: int


OnProgress = Callable[[Progress], None]
OnNote = Callable[[str], None]


class PullFailed(Exception):
    """A model could not be pulled from any source; `reasons` has one plain line for each source that was tried."""

    def __init__(self, model: str, reasons: tuple[str, ...]) -> None:
        super().__init__(f"{model} could not be pulled: {'; '.join(reasons)}")
        self.model = model
        self.reasons = reasons


class PulledFile(Struct, frozen=True, kw_only=True):
    """One file that is now in place, and the source that gave it (`present` when it was there already)."""

    name: str
    sha256: str
    size: int
    source: str


class PullReport(Struct, frozen=True, kw_only=True):
    """A pulled model. `notes` tells of sources that failed before another one worked."""

    model: str
    files: tuple[PulledFile, ...]
    notes: tuple[str, ...] = ()


class ModelStatus(Struct, frozen=True, kw_only=True):
    """One row of `models list`: `size` in bytes; `sources` are the kinds there are, in order."""

    id: str
    title: str
    operation: str
    size: int
    licence: str
    quality: str
    state: State
    pulling: PullProgress | None
    default: bool
    sources: tuple[str, ...]
    aliases: tuple[str, ...]


class PullOptions(Struct, frozen=True, kw_only=True):
    """How a pull goes about it. `given` is a file or folder of an operator's, tried before all other sources."""

    given: Path | None = None
    on_progress: OnProgress | None = None
    on_note: OnNote | None = None
    stop: threading.Event = msgspec.field(default_factory=threading.Event)
    fetch: Fetch = fetch_hub
    pip_options: tuple[str, ...] = ()


def list_models(catalogue: Catalogue, shelf: Shelf) -> tuple[ModelStatus, ...]:
    """Every model of the catalogue and its state in the models folder; reads no model file."""
    return tuple(_status(model, shelf) for model in catalogue.models.values())


def pull(model: LocalModel, shelf: Shelf, options: PullOptions | None = None) -> PullReport:
    """Puts all files of a model in place, each checked by its hash; what is there and intact is kept.

    Waits for another pull of the same model. Raises `PullFailed`; a full disk and an unwritable folder are that too.
    """
    wanted = options or PullOptions()
    try:
        with shelf.lock(
            model, on_wait=lambda: _tell(wanted, f"{model.id}: waiting for another pull of it")
        ) as note:
            return _Pull(model, shelf, wanted, note).run()
    except OSError as error:
        raise PullFailed(
            model.id, (f"the models folder cannot be written ({error.strerror or 'I/O error'})",)
        ) from error


def pull_defaults(
    catalogue: Catalogue, shelf: Shelf, options: PullOptions | None = None
) -> tuple[PullReport | PullFailed, ...]:
    """Pulls the default models that are not there yet, one after the other; one that fails does not stop the rest."""
    wanted = options or PullOptions()
    outcomes: list[PullReport | PullFailed] = []
    for model in sorted(catalogue.defaults(), key=lambda each: each.size):
        if shelf.state(model) == "pulled":
            continue
        try:
            outcomes.append(pull(model, shelf, wanted))
        except PullFailed as error:
            _tell(wanted, str(error))
            outcomes.append(error)
        except Stopped:
            break
    return tuple(outcomes)


class _Pull:
    """One pull of one model, under its lock."""

    def __init__(
        self, model: LocalModel, shelf: Shelf, options: PullOptions, note: Callable[[PullProgress], None]
    ) -> None:
        self._model = model
        self._shelf = shelf
        self._options = options
        self._note = note
        self._notes: list[str] = []
        self._finished = 0
        self._began = time.monotonic()
        self._noted = 0.0

    def run(self) -> PullReport:
        if self._shelf.state(self._model) == "pulled" and self._shelf.is_intact(self._model):
            present = tuple(_pulled(file, "present") for file in self._model.files)
            return PullReport(model=self._model.id, files=present)
        incoming = self._shelf.folder / ".incoming"
        incoming.mkdir(parents=True, exist_ok=True)
        self._check_disk(incoming)
        intact = {report.name for report in self._shelf.verify(self._model) if report.intact}
        with TemporaryDirectory(
            prefix=f"{self._model.id}-", dir=incoming, ignore_cleanup_errors=True
        ) as scratch:
            arrival = Arrival(scratch=Path(scratch), on_bytes=lambda _count: None, stop=self._options.stop)
            wheels = Wheels(
                msgspec.structs.replace(arrival, on_bytes=self._on_bytes),
                pip_options=self._options.pip_options,
            )
            files = tuple(
                _pulled(file, "present") if file.name in intact else self._pull_file(file, wheels, arrival)
                for file in self._model.files
            )
        self._progress(self._model.size, self._model.files[-1].name)
        return PullReport(model=self._model.id, files=files, notes=tuple(self._notes))

    def _pull_file(self, file: ModelFile, wheels: Wheels, arrival: Arrival) -> PulledFile:
        failures: list[str] = []
        for kind, source in self._sources(file):
            try:
                path = write_checked(file, self._read(file, source, wheels), arrival)
            except SourceFailed as error:
                failures.append(f"{kind}: {error}")
                self._remark(f"{self._model.id}: {file.name} not from {kind}: {error}")
                continue
            self._shelf.install(self._model, file, path)
            self._finished += file.size
            self._progress(self._finished, file.name)
            return _pulled(file, kind)
        raise PullFailed(self._model.id, tuple(failures) or ("it has no source; give a path to its files",))

    def _sources(self, file: ModelFile) -> Iterator[tuple[str, Source]]:
        if self._options.given is not None:
            yield "the given path", PathSource(path=str(self._options.given))
        for source in file.sources:
            yield describe(source), source

    def _read(self, file: ModelFile, source: Source, wheels: Wheels) -> Iterator[bytes]:
        match source:
            case WheelSource(parts=parts):
                return wheels.read(parts)
            case HubSource(url=url):
                return read_hub(self._options.fetch, url)
            case PathSource(path=path):
                return read_path(file, Path(path).expanduser())

    def _on_bytes(self, count: int) -> None:
        # Wheels are compressed a little, so this runs behind the files' size and never ahead of it.
        self._progress(max(self._finished, min(count, self._model.size)), "")

    def _progress(self, done: int, file: str) -> None:
        if self._options.on_progress is not None:
            self._options.on_progress(
                Progress(model=self._model.id, file=file, done=done, total=self._model.size)
            )
        now = time.monotonic()
        if now - self._noted >= _NOTE_EVERY_S:
            self._noted = now
            self._note(PullProgress(done=done, total=self._model.size, elapsed_s=now - self._began))

    def _remark(self, line: str) -> None:
        if line not in self._notes:
            self._notes.append(line)
            _tell(self._options, line)

    def _check_disk(self, folder: Path) -> None:
        # The wheels and the files taken out of them lie side by side for a moment.
        needed = 2 * self._model.size
        if shutil.disk_usage(folder).free < needed:
            raise PullFailed(self._model.id, (f"the disk has less than {needed // 1_000_000} MB left",))


def describe(source: Source) -> str:
    """A source in a few words for a person; no host and no path."""
    match source:
        case WheelSource(parts=(only,)):
            return f"package {only.package}=={only.version}"
        case WheelSource(parts=parts):
            return f"packages {parts[0].package} and {len(parts) - 1} more"
        case HubSource():
            return "the model hub"
        case PathSource():
            return "the given path"


def _status(model: LocalModel, shelf: Shelf) -> ModelStatus:
    kinds = dict.fromkeys(
        {"WheelSource": "wheel", "HubSource": "hub", "PathSource": "path"}[type(source).__name__]
        for file in model.files
        for source in file.sources
    )
    return ModelStatus(
        id=model.id,
        title=model.title,
        operation=model.operation.value,
        size=model.size,
        licence=model.licence,
        quality=model.quality,
        state=shelf.state(model),
        pulling=shelf.find_pull(model),
        default=model.default,
        sources=tuple(kinds),
        aliases=model.aliases,
    )


def _pulled(file: ModelFile, source: str) -> PulledFile:
    return PulledFile(name=file.name, sha256=file.sha256, size=file.size, source=source)


def _tell(options: PullOptions, line: str) -> None:
    if options.on_note is not None:
        options.on_note(line)
