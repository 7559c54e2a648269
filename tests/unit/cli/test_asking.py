"""The options of `inferway call` as the body of a call."""

import base64
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from inferway.cli.asking import Asked, is_chat, make_body
from inferway.errors import OperatorError

URL = "https://example.com/a.png"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.bin").write_bytes(b"\x89PNG\xff")
    (tmp_path / "b.bin").write_bytes(b"b")
    (tmp_path / "empty").touch()
    (tmp_path / "lines.txt").write_text("\ufeffone\n\n  two\n", "utf-8")
    (tmp_path / "schema.json").write_text('{"type": "object"}')
    (tmp_path / "messages.json").write_text('[{"role": "user", "content": "hi"}]')
    (tmp_path / "tools.json").write_text('[{"name": "t"}]')
    (tmp_path / "body.json").write_text(
        '{"provider": "p", "model": "m", "inputs": {"text": "a"}, "parameters": {"dimensions": 3}}'
    )
    (tmp_path / "bad.json").write_text('{"a": 1,\n "b" 2}')
    return tmp_path


def give(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard input."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


A, B = (base64.b64encode(content).decode() for content in (b"\x89PNG\xff", b"b"))
INPUTS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"prompts": ("one", "two")}, {"prompts": ["one", "two"]}),
    ({"prompts": ("p",), "system": "s"}, {"prompts": ["p"], "system": "s"}),
    ({"texts": ("a",)}, {"text": "a"}),
    ({"texts": ("a", "b")}, {"texts": ["a", "b"]}),
    ({"texts_file": "lines.txt"}, {"texts": ["one", "  two"]}),
    ({"prompts": ("p",), "image": (URL,)}, {"prompts": ["p"], "image_url": URL}),
    ({"image": ("a.bin",)}, {"image_base64": A}),
    ({"image": ("a.bin", URL, "b.bin")}, {"image_url": URL, "images_base64": [A, B]}),
    ({"prompts": ("p",), "document": "a.bin"}, {"prompts": ["p"], "document_base64": A}),
    ({"audio": "a.bin"}, {"audio_base64": A}),
    ({"audio": URL}, {"audio_url": URL}),
    ({"video": "b.bin"}, {"video_base64": B}),
    ({"messages": "messages.json"}, {"messages": [{"role": "user", "content": "hi"}]}),
]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("given", "inputs"), INPUTS)
def test_each_operation_has_its_inputs(given: dict[str, Any], inputs: dict[str, Any]) -> None:
    assert make_body(Asked(**given)) == {"provider": "local", "model": "default", "inputs": inputs}


@pytest.mark.usefixtures("folder")
def test_how_it_is_to_be_answered_is_in_the_body() -> None:
    asked = Asked(
        prompts=("p",),
        provider="openai",
        model="m",
        parameters=("temperature=0.5", 'stop=["a"]', "language=en", "empty=", "a=b=c"),
        schema="schema.json",
        tools="tools.json",
        fallbacks=("google/g", "openrouter/meta/llama"),
        timeout_s=9.0,
        dry_run=True,
    )
    assert make_body(asked) == {
        "provider": "openai",
        "model": "m",
        "inputs": {"prompts": ["p"]},
        "parameters": {
            "temperature": 0.5,
            "stop": ["a"],
            "language": "en",
            "empty": "",
            "a": "b=c",
            "schema": {"type": "object"},
            "tools": [{"name": "t"}],
            "timeout_s": 9.0,
        },
        "fallbacks": [
            {"provider": "google", "model": "g"},
            {"provider": "openrouter", "model": "meta/llama"},
        ],
        "dry_run": True,
    }


@pytest.mark.usefixtures("folder")
def test_a_whole_body_is_sent_as_it_is() -> None:
    body = json.loads(Path("body.json").read_text())
    assert make_body(Asked(body="body.json")) == body
    changed = make_body(Asked(body="body.json", dry_run=True, timeout_s=3.0))
    assert changed == body | {"dry_run": True, "parameters": {"dimensions": 3, "timeout_s": 3.0}}


def test_standard_input_stands_for_text_and_for_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    give("späte Frage\n".encode(), monkeypatch)
    assert make_body(Asked(prompts=("-", "two")))["inputs"]["prompts"] == ["späte Frage\n", "two"]
    give(b"\x89PNG\xff", monkeypatch)
    assert make_body(Asked(audio="-"))["inputs"] == {"audio_base64": A}
    give(b"one\ntwo\n", monkeypatch)
    assert make_body(Asked(texts_file="-"))["inputs"] == {"texts": ["one", "two"]}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "Nothing to ask"),
        ({"system": "s"}, "Nothing to ask"),
        ({"prompts": ("p",), "provider": "openai"}, "--model is needed with --provider openai"),
        ({"audio": "none.wav"}, "--audio none.wav: no such file"),
        ({"image": (".",)}, "--image .: is a directory"),
        ({"image": ("empty",)}, "--image empty: the file is empty"),
        ({"texts_file": "a.bin"}, "a.bin: this is not text in UTF-8"),
        ({"texts_file": "empty"}, "the file is empty"),
        ({"prompts": ("-",), "audio": "-"}, "more than once"),
        ({"prompts": ("p",), "parameters": ("temperature",)}, "write NAME=VALUE"),
        ({"prompts": ("p",), "parameters": ("temperature=NaN",)}, "numbers finite"),
        ({"prompts": ("p \udcff",)}, "must be UTF-8"),
        (
            {"prompts": ("p",), "schema": "bad.json"},
            "--schema bad.json: this is not JSON: .* line 2, column 6",
        ),
        ({"prompts": ("p",), "fallbacks": ("google",)}, "write PROVIDER/MODEL"),
        ({"body": "body.json", "prompts": ("p",)}, "--body is the whole call"),
        ({"body": "messages.json"}, "no JSON object"),
    ],
)
def test_what_cannot_be_asked_is_said_with_what_to_do(given: dict[str, Any], message: str) -> None:
    with pytest.raises(OperatorError, match=message):
        make_body(Asked(**given))


def test_empty_or_binary_standard_input_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    give(b"", monkeypatch)
    with pytest.raises(OperatorError, match="standard input is empty"):
        make_body(Asked(prompts=("-",)))
    give(b"\xff\xfe\x00", monkeypatch)
    with pytest.raises(OperatorError, match="say --audio, --image"):
        make_body(Asked(prompts=("-",)))


def test_a_file_that_is_too_large_is_not_read_to_its_end(folder: Path) -> None:
    with (folder / "film").open("wb") as opened:
        opened.truncate(300 * 1024 * 1024)
    with pytest.raises(OperatorError, match="--video film: larger than 200 MiB"):
        make_body(Asked(video="film"))


def test_only_chats_come_in_pieces() -> None:
    assert is_chat({"inputs": {"prompts": ["p"]}})
    assert not is_chat({"inputs": {"text": "p"}})
    assert not is_chat({"inputs": None})
