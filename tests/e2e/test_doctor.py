"""`inferway doctor`: what is wrong with an installation is found, and each finding says what to do."""

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.e2e.process import fake_call, run, serving


class Provider:
    """A provider that lists its models to whoever has the key; its clock can be wrong."""

    def __init__(self) -> None:
        self.status = 200
        self.ahead = timedelta()
        self.seen: list[tuple[str, str, str | None]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(provider: Provider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            provider.seen.append((self.command, self.path, self.headers["authorization"]))
            self.send_response_only(provider.status)
            self.send_header("date", format_datetime(datetime.now(UTC) + provider.ahead, usegmt=True))
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *args: object) -> None:
            del args

    return Handler


@pytest.fixture
def provider() -> Iterator[Provider]:
    started = Provider()
    yield started
    started.close()


def examine(data_dir: Path, *flags: str, **env: str) -> tuple[int, dict[str, list[dict[str, Any]]], str]:
    done = run("doctor", "--json", *flags, data_dir=data_dir, env=env)
    found: dict[str, list[dict[str, Any]]] = {}
    for finding in json.loads(done.stdout)["findings"]:
        found.setdefault(finding["check"], []).append(finding)
    return done.returncode, found, done.stdout


def network(data_dir: Path, provider: Provider) -> tuple[int, dict[str, list[dict[str, Any]]], str]:
    env = {"OPENAI_API_KEY": "sk-canary", "OPENAI_BASE_URL": f"{provider.url}/v1"}
    return examine(data_dir, "--network", **env)


def test_a_provider_that_is_there_is_asked_for_its_models_and_nothing_else(
    tmp_path: Path, provider: Provider
) -> None:
    code, found, text = network(tmp_path, provider)
    assert code == 0, text
    assert found["network"][0]["message"] == "openai can be reached and takes the key"
    assert provider.seen == [("GET", "/v1/models", "Bearer sk-canary")]
    assert [each["state"] for each in found["clock"]] == ["ok", "ok"]
    assert "sk-canary" not in text


def test_a_refused_key_and_a_wrong_clock_are_found(tmp_path: Path, provider: Provider) -> None:
    provider.status, provider.ahead = 401, timedelta(minutes=-10)
    code, found, _ = network(tmp_path, provider)
    assert code == 1
    assert (found["network"][0]["state"], "refuses the key" in found["network"][0]["message"]) == (
        "fail",
        True,
    )
    ahead = re.search(r"it is (\d+) s ahead of the providers", found["clock"][1]["message"])
    assert ahead is not None
    assert 570 <= int(ahead[1]) <= 660


def test_a_provider_in_trouble_is_a_warning_and_no_failure(tmp_path: Path, provider: Provider) -> None:
    provider.status = 503
    code, found, _ = network(tmp_path, provider)
    assert (code, found["network"][0]["state"]) == (0, "warn")


def test_a_key_that_no_header_holds_is_told_and_not_shown(tmp_path: Path, provider: Provider) -> None:
    key = {"INFERWAY_PROVIDERS__VLLM__API_KEY": "canary\nkey"}
    code, found, said = examine(
        tmp_path, "--network", **{"INFERWAY_PROVIDERS__VLLM__BASE_URL": provider.url, **key}
    )
    assert (code, found["network"][0]["state"]) == (1, "fail")
    assert "line break" in found["network"][0]["message"]
    assert "canary" not in f"{found}{said}"


def test_servers_that_are_away_are_named_with_their_setting(tmp_path: Path) -> None:
    env = {"INFERWAY_LIMITS__URL": "redis://127.0.0.1:1", "INFERWAY_OTEL__ENDPOINT": "http://127.0.0.1:1"}
    code, found, _ = examine(tmp_path, "--network", **env)
    assert code == 0
    assert "limits.url" in found["limits"][0]["message"]
    assert "otel.endpoint" in found["telemetry"][0]["message"]


def test_calls_without_a_price_are_named_with_what_to_set(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        assert served.call(fake_call())[0] == 200
        assert served.stop() == 0
    code, found, text = examine(tmp_path)
    assert code == 0, text
    assert found["prices"] == [
        {"check": "prices", "state": "ok", "message": "every one of the last calls has a price"}
    ]
    with closing(sqlite3.connect(tmp_path / "inferway.db")) as database, database:
        database.execute("UPDATE usage SET cost_microusd = NULL")
    _, found, _ = examine(tmp_path)
    message = found["prices"][0]["message"]
    assert message == '1 of the last calls of fake/fake-chat have no price. Set [prices."fake/fake-chat"].'


def test_usage_that_waits_or_was_set_aside_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "journal" / "dead"
    folder.mkdir(parents=True)
    (folder / "0000000001.journal").write_bytes(b"x" * 1000)
    code, found, _ = examine(tmp_path)
    assert (code, found["journal"][0]["state"]) == (0, "warn")
    (tmp_path / "journal" / "old.unreadable").mkdir()
    code, found, _ = examine(tmp_path)
    assert (code, found["journal"][0]["state"]) == (1, "fail")


def test_a_data_folder_that_cannot_be_made_is_found(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    status, found, _ = examine(tmp_path / "file" / "below" / "it")
    assert status == 1
    assert [finding["state"] for finding in found["data folder"]] == ["fail"]
    assert str(tmp_path / "file") in found["data folder"][0]["message"]
    _, found, _ = examine(tmp_path / "new" / "one")
    assert [finding["state"] for finding in found["data folder"]] == ["ok"]


def test_secrets_that_others_can_read_are_found(tmp_path: Path) -> None:
    (tmp_path / "secrets.key").write_text("x")
    (tmp_path / "secrets.key").chmod(0o640)
    (tmp_path / "inferway.toml").write_text('[providers.openai]\napi_key = "sk-x"\n')
    (tmp_path / "inferway.toml").chmod(0o644)
    code, found, text = examine(tmp_path)
    assert code == 1
    assert {each["message"].rpartition(" ")[2].rpartition("/")[2] for each in found["secrets"]} == {
        "secrets.key",
        "inferway.toml",
    }
    assert "sk-x" not in text


def test_a_provider_that_is_left_alone_is_named(tmp_path: Path) -> None:
    call = {"provider": "openai", "model": "gpt-4o", "inputs": {"prompts": ["hi"]}}
    env = {
        "OPENAI_API_KEY": "sk-canary",
        "OPENAI_BASE_URL": "http://127.0.0.1:1/v1",
        "INFERWAY_CALLS__BREAKER_FAILURES": "1",
    }
    with serving(tmp_path, **env) as served:
        assert served.call(call)[0] == 503
        code, found, text = examine(tmp_path)
    assert (code, found["circuits"][0]["state"]) == (0, "warn")
    assert found["circuits"][0]["message"].startswith(
        "openai failed 1 times in a row under the operator's key"
    )
    assert "sk-canary" not in text
