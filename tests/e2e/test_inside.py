"""The pipeline in the caller's own process: what reaches the provider, what is kept, and what is left afterwards."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import inferway
from inferway.client import NotFoundError, TooManyRequestsError
from inferway.client.errors import APIError, BadRequestError, ConnectionFailed
from inferway.errors import OperatorError
from inferway.settings import SettingsError
from tests.e2e.process import WAIT_S, children_of, run, until
from tests.http.kit import Reply, Upstream, chunks, completion

_CHAT = {"provider": "fake", "model": "fake-chat"}
_FAKE = {"providers": {"fake": {"enabled": True}}}
_OPENAI = {"provider": "openai", "model": "gpt-5.4-mini"}


@pytest.fixture(autouse=True)
def homeless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Neither this machine's settings nor its temporary files."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    return temporary


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> Iterator[Upstream]:
    """In OpenAI's place, with a key in the environment."""
    found = Upstream()
    found.answer = lambda _: Reply(completion("hello"))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    monkeypatch.setenv("OPENAI_BASE_URL", f"{found.url}/v1")
    yield found
    found.close()


def test_a_call_goes_to_the_provider_with_the_environments_key(upstream: Upstream) -> None:
    with inferway.local() as client:
        answer = client.chat("Hi", **_OPENAI)
    (seen,) = upstream.seen
    assert seen.headers["authorization"] == "Bearer sk-of-the-environment"
    assert seen.json()["messages"][-1]["content"] == "Hi"
    assert (answer.text, answer.tokens_used and answer.tokens_used["total"]) == ("hello", 5)
    assert answer.cost_usd


def _held_back(go_on: threading.Event) -> Iterator[bytes]:
    """A stream whose second half comes when it may."""
    first, *rest = chunks("one", "two")
    yield first
    assert go_on.wait(WAIT_S)
    yield from rest


def _streamed(pieces: Iterator[bytes]) -> Reply:
    return Reply(pieces, headers={"content-type": "text/event-stream"})


def test_a_piece_of_a_stream_comes_while_the_provider_still_writes(upstream: Upstream) -> None:
    go_on = threading.Event()
    upstream.answer = lambda _: _streamed(_held_back(go_on))
    with inferway.local() as client, client.stream("Hi", **_OPENAI) as stream:
        pieces = stream.text()
        assert next(pieces) == "one"
        go_on.set()
        assert list(pieces) == ["two"]
        assert stream.answer.text == "onetwo"


def test_leaving_a_stream_ends_the_providers_work(upstream: Upstream) -> None:
    left = threading.Event()

    def endless() -> Iterator[bytes]:
        (first, *_) = chunks("again")
        while not left.is_set():
            yield first
            time.sleep(0.01)

    upstream.answer = lambda _: _streamed(endless())
    try:
        with inferway.local() as client:
            with client.stream("Hi", **_OPENAI) as stream:
                next(stream.text())
            assert upstream.gone.wait(WAIT_S)
            with pytest.raises(ConnectionFailed):
                _ = stream.answer
    finally:
        left.set()


def test_a_timeout_is_a_failed_connection() -> None:
    with inferway.local(settings=_FAKE, timeout_s=0.2, retries=0) as client:
        with pytest.raises(ConnectionFailed, match="in time"):
            client.chat("Hi", provider="fake", model="fake-chat?latency_ms=20000")
        began = time.monotonic()
    assert time.monotonic() - began < 15, "a call that nobody waits for is not waited for"


def test_errors_have_the_classes_of_a_servers() -> None:
    with inferway.local(settings=_FAKE) as client, pytest.raises(BadRequestError) as caught:
        client.chat("Hi", provider="nobody", model="m")
    assert caught.value.code == "unknown_provider"
    with inferway.local(settings=_FAKE, namespace="nowhere") as client, pytest.raises(NotFoundError):
        client.chat("Hi", **_CHAT)


def test_nobody_is_limited_unless_the_settings_limit() -> None:
    with inferway.local(settings=_FAKE, retries=0) as client:
        for _ in range(30):
            client.chat("Hi", **_CHAT)
    few = {**_FAKE, "limits": {"per_minute": 1, "burst": 1}}
    with inferway.local(settings=few, retries=0) as client:
        client.chat("Hi", **_CHAT)
        with pytest.raises(TooManyRequestsError):
            client.chat("Hi", **_CHAT)


def test_what_cannot_start_says_why_and_leaves_nothing(tmp_path: Path, homeless: Path) -> None:
    threads = threading.active_count()
    with pytest.raises(SettingsError, match="nonsense"):
        inferway.local(settings={"nonsense": {"at_all": 1}})
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OperatorError):
        inferway.local(tmp_path / "file")
    until(lambda: threading.active_count() == threads, "no thread is left")
    assert not list(homeless.iterdir())


def test_without_a_folder_nothing_is_kept(homeless: Path, tmp_path: Path) -> None:
    with inferway.local(settings=_FAKE) as client:
        client.chat("Hi", **_CHAT)
        assert len(list(homeless.iterdir())) == 1
    assert not list(homeless.iterdir())
    assert not (tmp_path / "home").exists()


def test_a_folder_keeps_the_usage_the_keys_and_the_settings(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "inferway.toml").write_text("[providers.fake]\nenabled = true\n")
    for _ in range(2):
        with inferway.local(folder) as client:
            client.chat("Hi", **_CHAT)
    assert _calls_in(folder) == 2


def _calls_in(folder: Path) -> int:
    shown = run("usage", "show", "--json", data_dir=folder)
    assert shown.returncode == 0, shown.stderr
    calls: int = json.loads(shown.stdout)["total"]["calls"]
    return calls


def test_two_clients_share_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with (
        inferway.local(folder, settings=_FAKE) as one,
        inferway.local(folder, settings=_FAKE) as other,
    ):
        assert one.chat("Hi", **_CHAT).text == other.chat("Hi", **_CHAT).text
    assert _calls_in(folder) == 2


def test_a_folder_whose_keys_text_is_gone_asks_for_a_key(tmp_path: Path) -> None:
    with inferway.local(tmp_path, settings=_FAKE):
        pass
    made = json.loads(run("key", "create", "--name", "mine", "--json", data_dir=tmp_path).stdout)
    (tmp_path / "credentials.toml").unlink()
    with pytest.raises(OperatorError, match="api_key"):
        inferway.local(tmp_path, settings=_FAKE)
    with inferway.local(tmp_path, settings=_FAKE, api_key=made["key"]) as client:
        assert client.chat("Hi", **_CHAT).text


def test_many_threads_share_a_client() -> None:
    with inferway.local(settings=_FAKE) as client:
        texts: list[str] = []
        threads = [
            threading.Thread(target=lambda n=n: texts.append(client.chat(f"word{n}", **_CHAT).text))
            for n in range(16)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT_S)
    assert {text.rpartition(" ")[2] for text in texts} == {f"word{n}" for n in range(16)}


async def test_the_waiting_client_works_where_a_loop_runs_already_as_in_a_notebook() -> None:
    with inferway.local(settings=_FAKE) as client:
        assert client.chat("Hi", **_CHAT).text


async def test_the_asynchronous_client_runs_calls_side_by_side() -> None:
    slow = {"provider": "fake", "model": "fake-chat?latency_ms=500"}
    async with inferway.local_async(settings=_FAKE) as client:
        await client.chat("Hi", **_CHAT)
        began = time.monotonic()
        answers = await asyncio.gather(*(client.chat("Hi", **slow) for _ in range(12)))
        assert time.monotonic() - began < 5
        assert len({answer.request_id for answer in answers}) == 12
    assert len(asyncio.all_tasks()) == 1


async def test_a_cancelled_call_ends_and_the_client_goes_on(tmp_path: Path) -> None:
    async with inferway.local_async(tmp_path, settings=_FAKE) as client:
        call = asyncio.create_task(client.chat("Hi", provider="fake", model="fake-chat?latency_ms=20000"))
        await asyncio.sleep(0.1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert (await client.chat("Hi", **_CHAT)).text
    assert len(asyncio.all_tasks()) == 1


async def test_what_cannot_start_is_told_by_every_call(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    async with inferway.local_async(tmp_path / "file") as client:
        for _ in range(2):
            with pytest.raises(OperatorError):
                await client.chat("Hi", **_CHAT)


async def test_a_client_that_was_never_used_closes() -> None:
    async with inferway.local_async():
        pass


_PROGRAM = """
import inferway
client = inferway.local({folder!r}, settings={settings!r})
print(client.chat("Hi", provider="fake", model="fake-chat").text)
{end}
"""


@pytest.mark.timeout(200)
@pytest.mark.parametrize("end", ["client.close()", "del client", ""])
def test_a_program_ends_without_a_word_and_its_usage_is_kept(end: str, tmp_path: Path) -> None:
    program = _PROGRAM.format(folder=str(tmp_path), settings=_FAKE, end=end)
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("This is a fake answer")
    assert _calls_in(tmp_path) == 1


def test_importing_the_package_imports_no_library() -> None:
    program = (
        "import sys; before = set(sys.modules); import inferway; print(*sorted(set(sys.modules) - before))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    roots = {name.partition(".")[0] for name in ended.stdout.split()}
    assert roots - sys.stdlib_module_names == {"inferway"}


@pytest.mark.local_models
@pytest.mark.timeout(300)
def test_an_embedded_model_answers_from_a_child_process_that_ends_with_the_client(
    pulled_models: Path, tmp_path: Path
) -> None:
    program = _CHILD.format(models=str(pulled_models))
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "384\n", process.communicate()[1]
    engines = children_of(process.pid)
    assert engines
    _, errors = process.communicate("go on\n", timeout=WAIT_S)
    assert (process.returncode, errors) == (0, "")
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in engines), "no engine is left")


_CHILD = """
import inferway
with inferway.local(settings={{"local": {{"models_dir": {models!r}}}}}) as client:
    answer = client.embed("A lake.", provider="local", model="all-minilm-l6-v2")
    print(len(answer.vector), flush=True)
    input()
"""


@pytest.fixture
def pulled_models(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The folder of models, with the one that embeds text."""
    assert request.config.cache is not None
    folder = os.environ.get("INFERWAY_TEST_MODELS") or str(request.config.cache.mkdir("local-models"))
    pulled = run(
        "models", "pull", "all-minilm-l6-v2", data_dir=tmp_path, env={"INFERWAY_LOCAL__MODELS_DIR": folder}
    )
    assert pulled.returncode == 0, pulled.stderr
    return Path(folder)


def test_an_embedded_model_that_is_not_there_says_how_to_get_it() -> None:
    with inferway.local() as client, pytest.raises(APIError, match="inferway models pull") as caught:
        client.embed("A lake.", provider="local", model="all-minilm-l6-v2")
    assert caught.value.code == "model_not_pulled"
