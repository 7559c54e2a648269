"""`inferway call` for every operation, as a person or a script uses it."""

import base64
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.process import WAIT_S, Served, run, serving

DOT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
SOUND = base64.b64decode("UklGRiQAAABXQVZFZm10IBAAAAABAAEAgD4AAAB9AAACABAAZGF0YQAAAAA=")
FILM = base64.b64decode("AAAAIGZ0eXBpc29tAAACAGlzb21pc28yYXZjMW1wNDEAAAAIbW9vdg==")
PDF = b"%PDF-1.4\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF\n"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with serving(tmp_path_factory.mktemp("calls")) as each:
        yield each


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "dot.png").write_bytes(DOT)
    (tmp_path / "sound.wav").write_bytes(SOUND)
    (tmp_path / "film.mp4").write_bytes(FILM)
    (tmp_path / "paper.pdf").write_bytes(PDF)
    (tmp_path / "lines.txt").write_text("a\nb\n")
    (tmp_path / "tools.json").write_text(
        '[{"name": "weather", "description": "d", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}]'
    )
    (tmp_path / "messages.json").write_text('[{"role": "user", "content": "hello"}]')
    return tmp_path


def call(served: Served, model: str, *arguments: str, stdin: bytes | None = None) -> dict[str, Any]:
    """The whole answer."""
    command = [
        sys.executable,
        "-m",
        "inferway",
        "call",
        *arguments,
        "--provider",
        "fake",
        "--model",
        model,
        "--json",
    ]
    command += ["--data-dir", str(served.data_dir)]
    ended = subprocess.run(command, input=stdin, capture_output=True, timeout=WAIT_S, check=False)
    assert ended.returncode == 0, ended.stderr
    answer: dict[str, Any] = json.loads(ended.stdout)
    return answer


@pytest.mark.parametrize(
    ("model", "arguments", "path"),
    [
        ("vision", ("What?", "--image", "dot.png", "--image", "dot.png"), "completions"),
        ("vision", ("What?", "--document", "paper.pdf"), "completions"),
        ("chat", ("--messages", "messages.json"), "completions"),
        ("embedding", ("--texts", "lines.txt"), "embeddings"),
        ("embedding", ("--image", "dot.png"), "embedding"),
        ("embedding", ("--video", "film.mp4"), "embedding"),
        ("transcription", ("--audio", "sound.wav"), "text"),
    ],
)
def test_every_operation_can_be_called(
    served: Served, folder: Path, model: str, arguments: tuple[str, ...], path: str
) -> None:
    files = {each.name for each in folder.iterdir()}
    words = (str(folder / word) if word in files else word for word in arguments)
    answer = call(served, f"fake-{model}", *words)
    assert answer["data"][path]
    if "--image" in arguments and path == "completions":
        assert answer["tokens_used"]["prompt"] > 200, "both pictures count"


def test_a_model_says_which_tool_it_wants_called(served: Served, folder: Path) -> None:
    tools = ("--tools", str(folder / "tools.json"), "-p", "tool_choice=required")
    [called] = call(served, "fake-chat", "How warm?", *tools)["data"]["completions"]
    assert called["tool_calls"][0]["name"] == "weather"


@pytest.mark.parametrize(
    ("model", "option", "content", "path"),
    [
        ("transcription", "--audio", SOUND, "text"),
        ("embedding", "--image", DOT, "embedding"),
        ("embedding", "--texts", b"a\nb\n", "embeddings"),
    ],
)
def test_sound_pictures_and_texts_come_through_standard_input(
    served: Served, model: str, option: str, content: bytes, path: str
) -> None:
    assert call(served, f"fake-{model}", option, "-", stdin=content)["data"][path]


def test_a_dry_run_shows_what_would_be_sent(served: Served) -> None:
    ended = run(
        "call", "hi", "--provider", "fake", "--model", "fake-chat", "--dry-run", data_dir=served.data_dir
    )
    assert ended.returncode == 0
    assert json.loads(ended.stdout)["dry_run"] is True


def test_a_whole_body_is_called(served: Served, folder: Path) -> None:
    body = {"provider": "fake", "model": "fake-chat", "inputs": {"prompts": ["one", "two"]}}
    (folder / "body.json").write_text(json.dumps(body))
    ended = run("call", "--body", str(folder / "body.json"), data_dir=served.data_dir)
    assert ended.returncode == 0
    assert ended.stdout.count("This is a fake answer") == 2


def test_the_next_target_answers_when_the_first_fails(served: Served) -> None:
    answer = call(served, "fake-chat?error=500", "hi", "--fallback", "fake/fake-chat?text=second")
    assert answer["model"] == "fake-chat?text=second"


@pytest.mark.parametrize("stream", ["--stream", "--no-stream"])
def test_a_call_with_a_key_is_made_once(served: Served, stream: str) -> None:
    arguments = ("hi", "--idempotency-key", f"once{stream}", stream)
    command = ("call", *arguments, "--provider", "fake", "--model", "fake-chat", "--json")
    ended = [run(*command, data_dir=served.data_dir) for _ in range(2)]
    answers = [json.loads(each.stdout.splitlines()[-1]) for each in ended]
    assert answers[0]["request_id"] == answers[1]["request_id"]


def test_a_call_ends_when_its_time_is_up(served: Served) -> None:
    began = time.monotonic()
    arguments = (
        "call",
        "hi",
        "--provider",
        "fake",
        "--model",
        "fake-chat?latency_ms=25000",
        "--timeout",
        "0.5",
    )
    ended = run(*arguments, data_dir=served.data_dir)
    assert time.monotonic() - began < 20
    assert ended.returncode == 1
    assert "[503" in ended.stderr


def test_another_namespace_can_be_named(served: Served) -> None:
    ended = run(
        "call",
        "hi",
        "--provider",
        "fake",
        "--model",
        "fake-chat",
        "--namespace",
        "none",
        data_dir=served.data_dir,
    )
    assert ended.returncode == 1
    assert "[404" in ended.stderr


@pytest.mark.parametrize("option", ["--idempotency-key", "--namespace"])
def test_what_no_header_can_hold_is_said_in_a_line(served: Served, option: str) -> None:
    ended = run(
        "call", "hi", "--provider", "fake", "--model", "fake-chat", option, "ä", data_dir=served.data_dir
    )
    assert ended.returncode == 1
    assert "ASCII" in ended.stderr
    assert ended.stderr.count("\n") == 1


def _on_a_terminal(served: Served, *arguments: str) -> bytes:
    """All that a person sees."""
    mine, theirs = os.openpty()
    command = [sys.executable, "-m", "inferway", "call", *arguments, "--data-dir", str(served.data_dir)]
    started = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs)
    os.close(theirs)
    seen = b""
    try:
        while piece := os.read(mine, 65_536):
            seen += piece
    except OSError:
        pass
    os.close(mine)
    assert started.wait(WAIT_S) == 0
    return seen


def test_on_a_terminal_text_comes_as_it_is_said(served: Served) -> None:
    model = ("--provider", "fake", "--model", "fake-chat?chunk_ms=40")
    told = _on_a_terminal(served, "hi", *model).decode()
    assert "This is a fake answer" in told
    assert "[fake fake-chat" in told
    assert "waiting for the answer" in told
    first = told.index("This is")
    assert "\033[K" not in told[first:], "the spinner is gone once the text comes"


def test_embeddings_on_a_terminal_are_not_streamed(served: Served) -> None:
    told = _on_a_terminal(served, "--text", "a", "--provider", "fake", "--model", "fake-embedding").decode()
    assert "numbers; --json prints all" in told
