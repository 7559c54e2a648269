"""Runs every snippet of the README and the documentation, as they stand, against a server that was started for them."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

import pytest

from inferway.app.rows import build_rows
from inferway.providers.transport import HttpTransport
from inferway.settings import load
from tests.docs.providers import answer, environment, provider_of
from tests.e2e.process import Served, run, serving
from tests.http.kit import Upstream

# Some snippets start several programs, one after the other.
pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted(ROOT.glob("docs/**/*.md"))]
SPEECH = Path("/usr/share/pocketsphinx/test/data/librivox/sense_and_sensibility_01_austen_64kb-0880.wav")
RUN = ("bash", "python", "http", "toml", "json")
_FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_REASON = re.compile(r"<!-- not run: [a-z][^\n]{10,} -->\n\Z")
_NAMED = re.compile(r"""["']?provider["']?\s*[:=]\s*["'](openai|anthropic|google)["']""")
_DOT = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6364f8cf500f00030601801a3469f60000000049454e"
    "44ae426082"
)
_CLIP = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom\0\0\0\x08mdat"


class Snippet(NamedTuple):
    """One fenced block and where it stands; `before` is what stands above it."""

    page: str
    line: int
    language: str
    text: str
    before: str

    @property
    def needs_models(self) -> bool:
        is_run = self.language in ("bash", "python")
        calls = "inferway call" in self.text and "--provider" not in self.text
        return is_run and ('"local"' in self.text or calls)

    @property
    def providers(self) -> set[str]:
        """The providers that it names, all of which it may call."""
        return set(_NAMED.findall(self.text))


def snippets(*languages: str) -> list[Snippet]:
    """The blocks of these languages on all pages; all blocks without any."""
    found = []
    for page in PAGES:
        text = page.read_text("utf-8")
        for match in _FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            place = page.relative_to(ROOT).as_posix()
            found.append(Snippet(place, line, match[1], match[2], text[: match.start()]))
    return [each for each in found if not languages or each.language in languages]


def cases(*languages: str) -> list[object]:
    """Parameters, those that run an embedded model under its marker."""
    return [
        pytest.param(
            each,
            id=f"{each.page}:{each.line}",
            marks=[pytest.mark.local_models] if each.needs_models else [],
        )
        for each in snippets(*languages)
    ]


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    """All providers in one place."""
    found = Upstream()
    found.answer = answer
    yield found
    found.close()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Path:
    """A folder like a checkout after `make run`: `.venv`, settings, and the reader's own files."""
    folder = tmp_path_factory.mktemp("checkout")
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "photo.png").write_bytes(_DOT)
    (folder / "clip.mp4").write_bytes(_CLIP)
    (folder / ".inferway").mkdir()
    house = f'[providers.house]\nbase_url = "{upstream.url}/v1"\napi_key = "none"\n'
    (folder / ".inferway" / "inferway.toml").write_text(house)
    (folder / ".inferway" / "inferway.toml").chmod(0o600)
    if SPEECH.exists():
        shutil.copy(SPEECH, folder / "speech.wav")
    return folder


@pytest.fixture(scope="module")
def server(home: Path, upstream: Upstream, request: pytest.FixtureRequest) -> Iterator[Served]:
    """A server with its data in `.inferway`, the upstream in the providers' place, and the models of pytest's cache."""
    assert request.config.cache is not None
    models = os.environ.get("INFERWAY_TEST_MODELS") or str(request.config.cache.mkdir("local-models"))
    env = environment(upstream.url) | {"INFERWAY_LOCAL__MODELS_DIR": models}
    with serving(home / ".inferway", **env) as served:
        yield served


@pytest.fixture
def snippet_env(
    home: Path, server: Served, upstream: Upstream, request: pytest.FixtureRequest
) -> dict[str, str]:
    """What a reader has set: the address and the key of the server, the keys of the providers, and nothing else of ours."""
    upstream.seen.clear()
    if request.node.get_closest_marker("local_models"):
        for model in ("all-minilm-l6-v2", "whisper-tiny.en", "smollm2"):
            pulled = _pull(model, server)
            assert pulled.returncode == 0, pulled.stderr
    return os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "INFERWAY_URL": server.ready["url"],
        "INFERWAY_API_KEY": server.ready["api_key"],
        "INFERWAY_DATA_DIR": str(home / ".inferway"),
        "PYTHONWARNINGS": "error",
        **environment(upstream.url),
    }


def _pull(model: str, server: Served) -> subprocess.CompletedProcess[str]:
    return run("models", "pull", model, data_dir=server.data_dir, env=server.env)


@pytest.mark.parametrize("snippet", cases("bash"))
def test_a_shell_snippet_does_what_it_says(
    snippet: Snippet, home: Path, snippet_env: dict[str, str], upstream: Upstream
) -> None:
    if "speech.wav" in snippet.text and not SPEECH.exists():
        pytest.skip("needs a recording: install the package pocketsphinx-testdata")
    command = ["bash", "-euo", "pipefail", "-c", snippet.text]
    ended = subprocess.run(command, cwd=home, env=snippet_env, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    if "curl" not in snippet.text:
        return
    if "| grep" in snippet.text:
        assert ended.stdout
    elif '"stream": true' in snippet.text:
        assert "\nevent: done\n" in ended.stdout
    else:
        assert json.loads(ended.stdout).get("data"), ended.stdout
    _require_calls(snippet, upstream)


@pytest.mark.parametrize("snippet", cases("python"))
def test_a_python_snippet_does_what_it_says(
    snippet: Snippet, home: Path, snippet_env: dict[str, str], upstream: Upstream
) -> None:
    if "speech.wav" in snippet.text and not SPEECH.exists():
        pytest.skip("needs a recording: install the package pocketsphinx-testdata")
    command = [sys.executable, "-c", snippet.text]
    ended = subprocess.run(command, cwd=home, env=snippet_env, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.strip()
    _require_calls(snippet, upstream)


def _require_calls(snippet: Snippet, upstream: Upstream) -> None:
    """Whoever an example names first was really asked, with the key that is his; a dry run asks nobody."""
    named = _NAMED.findall(snippet.text)
    asked = [provider_of(seen) for seen in upstream.seen]
    if "dry_run" in snippet.text:
        assert not asked
    elif named:
        assert named[0] in asked
        assert set(asked) <= set(named)


@pytest.mark.parametrize("snippet", cases("http"))
def test_a_request_is_answered(snippet: Snippet, server: Served) -> None:
    """`METHOD /path`, and after a blank line its body, with the administrator's key."""
    keys = tomllib.loads((server.data_dir / "credentials.toml").read_text("utf-8"))
    head, _, body = snippet.text.partition("\n\n")
    method, path, _ = head.split()
    headers = {"Authorization": f"Bearer {keys['admin_key']}", "Content-Type": "application/json"}
    connection = HTTPConnection("127.0.0.1", server.port, timeout=30)
    with contextlib.closing(connection):
        connection.request(method, path, body or None, headers)
        answered = connection.getresponse()
        assert answered.status in (200, 201), answered.read()


@pytest.mark.parametrize("snippet", cases("toml"))
def test_a_settings_snippet_is_accepted(snippet: Snippet, tmp_path: Path) -> None:
    file = tmp_path / "inferway.toml"
    file.write_text(snippet.text, "utf-8")
    variables = re.findall(r'api_key_env = "(\w+)"', snippet.text)
    settings = load(config=file, environ={"HOME": str(tmp_path), **dict.fromkeys(variables, "sk-test")})
    assert settings.config_file == file
    assert tomllib.loads(snippet.text).keys() <= set(settings.__struct_fields__)
    assert build_rows(settings, HttpTransport()), "quirks and facts are read when the rows are made"


@pytest.mark.parametrize("snippet", cases("json"))
def test_a_json_snippet_is_json(snippet: Snippet) -> None:
    assert json.loads(snippet.text)


def test_every_block_is_run_or_says_why_not() -> None:
    # `text` is no command: a figure, or what a server sends.
    others = [each for each in snippets() if each.language not in (*RUN, "text")]
    unsaid = [f"{each.page}:{each.line}" for each in others if not _REASON.search(each.before)]
    assert not unsaid, "say why it cannot be run, in a line <!-- not run: reason --> above it"
    assert {each.language for each in others} <= {"sh"}
