"""The real embedded models, pulled once into pytest's cache folder, and a pool over them."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from inferway.providers.base import Context, Provider
from inferway.providers.local.catalogue import LocalModel, load_catalogue
from inferway.providers.local.lane import PoolSettings
from inferway.providers.local.pool import LocalEnginePool
from inferway.providers.local.provider import make_provider
from inferway.providers.local.pull import pull
from inferway.providers.local.shelf import Shelf
from inferway.types import Deadline

SPEECH = Path("/usr/share/pocketsphinx/test/data/librivox")
MODELS = "INFERWAY_TEST_MODELS"


class Models:
    """Pulls what a test names, and prints the hash of each model file it is about to use."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.shelf = Shelf(folder)
        self._capture = capture

    def require(self, name: str) -> LocalModel:
        model = load_catalogue().require_model(name)
        pull(model, self.shelf)
        for report in self.shelf.verify(model):
            assert report.intact
            self.tell(f"{model.id} {report.name} sha256 {report.found}")
        return model

    def tell(self, line: str) -> None:
        """Prints past pytest's capture: what was measured, and on which file, is part of the result."""
        with self._capture.disabled():
            print(f"\n{line}", end="")  # noqa: T201


@pytest.fixture
def models(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Models:
    cache = request.config.cache
    assert cache is not None
    return Models(Path(os.environ.get(MODELS) or cache.mkdir("local-models")), capsys)


@pytest.fixture
async def local(models: Models) -> AsyncIterator[Provider]:
    pool = LocalEnginePool(load_catalogue(), models.shelf, PoolSettings())
    yield make_provider(load_catalogue(), models.shelf, pool)
    await pool.aclose()


@pytest.fixture
def context() -> Context:
    return Context(request_id="req_test", deadline=Deadline.after(120))


@pytest.fixture
def speech() -> dict[str, tuple[bytes, str]]:
    """Recordings of a person reading, with what was read, by name; from Debian's pocketsphinx-testdata."""
    if not SPEECH.is_dir():
        pytest.skip("needs human speech: apt-get install pocketsphinx-testdata")
    lines = (SPEECH / "transcription").read_text("utf-8").splitlines()
    found = {}
    for line in lines:
        words, _, name = line.rpartition("(")
        name = name.rstrip(") ")
        found[name] = (
            (SPEECH / f"{name}.wav").read_bytes(),
            words.replace("<s>", "").replace("</s>", "").strip(),
        )
    return found
