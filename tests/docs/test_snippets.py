"""Runs every snippet of the README and the documentation, as they stand, against a server that was started for them."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from inferway.settings import load
from tests.e2e.process import Served, run, serving
from tests.http.kit import Reply, Upstream, completion

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
SPEECH = Path("/usr/share/pocketsphinx/test/data/librivox/sense_and_sensibility_01_austen_64kb-0880.wav")
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Snippet(NamedTuple):
    """One fenced block and where it stands."""

    page: str
    line: int
    language: str
    text: str

    @property
    def needs_models(self) -> bool:
        is_run = self.language in ("bash", "python")
        return is_run and ('"local"' in self.text or "inferway call" in self.text)


def snippets(*languages: str) -> list[Snippet]:
    """The blocks of these languages on all pages."""
    found = []
    for page in PAGES:
        text = page.read_text("utf-8")
        for match in _FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Snippet(page.relative_to(ROOT).as_posix(), line, match[1], match[2]))
    return [each for each in found if each.language in languages]


def cases(*languages: str) -> list[object]:
    """Parameters, those that run an embedded model under its marker."""
    return [
        pytest.param(
            each,
            id=f"{each.page}:{each.line}",
            marks=[pytest.mark.local_models, pytest.mark.timeout(300)] if each.needs_models else [],
        )
        for each in snippets(*languages)
    ]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like a checkout after `make run`: `.venv`, and a recording to transcribe."""
    folder = tmp_path_factory.mktemp("checkout")
    (folder / ".venv").symlink_to(sys.prefix)
    if SPEECH.exists():
        shutil.copy(SPEECH, folder / "speech.wav")
    return folder


@pytest.fixture(scope="module")
def server(home: Path, request: pytest.FixtureRequest) -> Iterator[Served]:
    """A server with its data in `.inferway`, an upstream in OpenAI's place, and the models of pytest's cache."""
    assert request.config.cache is not None
    models = os.environ.get("INFERWAY_TEST_MODELS") or str(request.config.cache.mkdir("local-models"))
    upstream = Upstream()
    upstream.answer = lambda _: Reply(completion())
    env = {
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_BASE_URL": f"{upstream.url}/v1",
        "INFERWAY_LOCAL__MODELS_DIR": models,
    }
    with serving(home / ".inferway", **env) as served:
        yield served
    upstream.close()


@pytest.fixture
def snippet_env(home: Path, server: Served, request: pytest.FixtureRequest) -> dict[str, str]:
    """What a reader has set: the address and the key, and nothing else of ours."""
    if request.node.get_closest_marker("local_models"):
        for model in ("all-minilm-l6-v2", "whisper-tiny.en", "smollm2"):
            pulled = _pull(model, server)
            assert pulled.returncode == 0, pulled.stderr
    return os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "INFERWAY_URL": server.ready["url"],
        "INFERWAY_API_KEY": server.ready["api_key"],
        "INFERWAY_DATA_DIR": str(home / ".inferway"),
        **{name: value for name, value in server.env.items() if name.startswith("OPENAI_")},
    }


def _pull(model: str, server: Served) -> subprocess.CompletedProcess[str]:
    return run("models", "pull", model, data_dir=server.data_dir, env=server.env)


@pytest.mark.parametrize("snippet", cases("bash"))
def test_a_shell_snippet_does_what_it_says(snippet: Snippet, home: Path, snippet_env: dict[str, str]) -> None:
    if "speech.wav" in snippet.text and not SPEECH.exists():
        pytest.skip("needs a recording: install the package pocketsphinx-testdata")
    command = ["bash", "-euo", "pipefail", "-c", snippet.text]
    ended = subprocess.run(command, cwd=home, env=snippet_env, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert '"success":false' not in ended.stdout, ended.stdout
    if "curl" in snippet.text and '"stream": true' not in snippet.text:
        assert json.loads(ended.stdout)["data"]
    elif "curl" in snippet.text:
        assert "\nevent: done\n" in ended.stdout


@pytest.mark.parametrize("snippet", cases("python"))
def test_a_python_snippet_does_what_it_says(
    snippet: Snippet, home: Path, snippet_env: dict[str, str]
) -> None:
    command = [sys.executable, "-c", snippet.text]
    ended = subprocess.run(command, cwd=home, env=snippet_env, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip()


@pytest.mark.parametrize("snippet", cases("toml"))
def test_a_settings_snippet_is_accepted(snippet: Snippet, tmp_path: Path) -> None:
    file = tmp_path / "inferway.toml"
    file.write_text(snippet.text, "utf-8")
    variables = re.findall(r'api_key_env = "(\w+)"', snippet.text)
    settings = load(config=file, environ={"HOME": str(tmp_path), **dict.fromkeys(variables, "sk-test")})
    assert settings.config_file == file
    assert tomllib.loads(snippet.text).keys() <= set(settings.__struct_fields__)


@pytest.mark.parametrize("snippet", cases("json"))
def test_a_json_snippet_is_json(snippet: Snippet) -> None:
    assert json.loads(snippet.text)


def test_nothing_is_shown_that_no_test_looks_at() -> None:
    looked_at = {"bash", "python", "toml", "json"}
    others = [
        each
        for each in snippets("sh", "text", "console", "shell", "yaml", "py")
        if each.language not in looked_at
    ]
    # `sh` marks what only a reader can do: clone this repository, export a key.
    assert {each.language for each in others} <= {"sh", "text"}
