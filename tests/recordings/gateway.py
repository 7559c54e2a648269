"""The running server under test, started as its users start it, and a small client for it."""

import http.client
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from tests.recordings.book import Row

PROVIDER_KEY = "replay-provider-key-0123456789"


class Reply(Struct, frozen=True, kw_only=True):
    """What the caller got: one JSON body, or the events of a stream in order."""

    status: int
    headers: dict[str, str]
    body: Any = None
    events: list[tuple[str, Any]] = []


class Gateway:
    """Where the server listens, and a key for it."""

    def __init__(self, url: str, key: str) -> None:
        self._host = urlsplit(url).netloc
        self.key = key

    def call(self, body: dict[str, Any]) -> Reply:
        """`POST /v1/inference`."""
        connection = http.client.HTTPConnection(self._host, timeout=30)
        try:
            headers = {
                "authorization": f"Bearer {self.key}",
                "x-namespace": "default",
                "content-type": "application/json",
            }
            connection.request("POST", "/v1/inference", msgspec.json.encode(body), headers)
            answer = connection.getresponse()
            content = answer.read()
            found = {name.lower(): value for name, value in answer.getheaders()}
            if found["content-type"].startswith("text/event-stream"):
                return Reply(status=answer.status, headers=found, events=_events(content.decode()))
            return Reply(status=answer.status, headers=found, body=json.loads(content))
        finally:
            connection.close()


def _events(text: str) -> list[tuple[str, Any]]:
    """Our own events: `event:` and one `data:` line each, an empty line after; comments are heartbeats."""
    assert text.endswith("\n\n"), text[-100:]
    events = []
    for block in text[:-2].split("\n\n"):
        if block.startswith(":"):
            continue
        name, data = block.split("\n")
        assert name.startswith("event: "), name
        assert data.startswith("data: "), data[:100]
        events.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return events


@contextmanager
def serving(folder: Path, rows: Iterable[Row], upstream: str) -> Iterator[Gateway]:
    """Run `inferway serve` with its data in `folder` and every row pointed at `upstream`."""
    config = folder / "replay.toml"
    config.write_text(_settings(rows, upstream), "utf-8")
    command = [sys.executable, "-m", "inferway", "serve", "--json", "--host", "127.0.0.1", "--port", "0"]
    command += ["--config", str(config), "--data-dir", str(folder / "data")]
    with (folder / "log.txt").open("wb") as log:
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        assert line, (folder / "log.txt").read_text("utf-8")[-4000:]
        ready = json.loads(line)
        assert ready["event"] == "ready", ready
        yield Gateway(ready["url"], ready["api_key"])
    finally:
        server.terminate()
        try:
            server.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.communicate()


def _settings(rows: Iterable[Row], upstream: str) -> str:
    """Two attempts show that something is tried again; recorded media URLs go on to the provider as they did then."""
    lines = [
        "[local]",
        "enabled = false",
        "[calls]",
        "attempts = 2",
        "[server]",
        "stop_wait_s = 0",
        "[media]",
        "pass_urls = true",
    ]
    for row in {row.name: row for row in rows}.values():
        lines += [f'[providers."{row.name}"]', f'kind = "{row.kind}"']
        if row.vertex is not None:
            lines += [
                f'vertex_base_url = "{upstream}"',
                f'auth_token = "{PROVIDER_KEY}"',
                "use_vertex = true",
            ]
            lines += [f'project = "{row.vertex["project"]}"', f'location = "{row.vertex["location"]}"']
            lines += [f'options = {{ vertex_api_version = "{row.vertex["version"]}" }}']
            continue
        version = "/v1" if row.kind == "openai" else ""
        lines += [f'base_url = "{upstream}{version}"', f'api_key = "{PROVIDER_KEY}"']
        if row.api_version is not None:
            lines.append(f'api_version = "{row.api_version}"')
    return "\n".join(lines) + "\n"
