"""`inferway serve` from its start to its end."""

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.process import WAIT_S, Served, children_of, fake_call, run, serving, until
from tests.http.kit import Reply, Upstream, completion

SLOW = fake_call("fake-chat?latency_ms=1500")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path / "data") as each:
        yield each


def in_background(served: Served, body: dict[str, Any], answers: list[Any]) -> threading.Thread:
    """A call beside the test; its status and answer are appended."""
    thread = threading.Thread(target=lambda: answers.append(served.call(body)))
    thread.start()
    return thread


def await_in_flight(served: Served) -> None:
    """Until another connection than this test's own probe is being answered."""
    until(lambda: _connections(served.port) > 0, "a call in flight")
    time.sleep(0.3)  # The request's bytes follow its connection at once; a busy machine gets a little more.


def _connections(port: int) -> int:
    """Established connections to a port of this machine, as the server sees them."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(int(row[1].partition(":")[2], 16) == port and row[3] == "01" for row in rows)


def test_the_first_start_mints_credentials_and_the_second_uses_them(tmp_path: Path) -> None:
    keys = []
    for _ in range(2):
        with serving(tmp_path) as served:
            status, answer = served.call(fake_call())
            assert (status, answer["provider"]) == (200, "fake")
            keys.append(served.ready["api_key"])
            assert served.stop() == 0
    assert keys[0] == keys[1]
    assert (tmp_path / "credentials.toml").stat().st_mode & 0o777 == 0o600


def test_the_printed_curl_succeeds_when_it_is_pasted(tmp_path: Path) -> None:
    upstream = Upstream()
    upstream.answer = lambda _: Reply(completion())
    try:
        with serving(tmp_path, OPENAI_API_KEY="sk-test", OPENAI_BASE_URL=f"{upstream.url}/v1") as served:
            told = served.event("call")
            pasted = subprocess.run(told["curl"], shell=True, capture_output=True, text=True, check=True)
    finally:
        upstream.close()
    answer = json.loads(pasted.stdout)
    assert (told["provider"], answer["provider"], answer["model"]) == ("openai", "openai", "gpt-5.4-mini")
    assert answer["data"]["completions"][0]["finish_reason"] == "stop"
    [asked] = upstream.seen
    assert asked.path == "/v1/chat/completions"


def test_a_person_reads_where_it_is_and_what_to_do(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        url = served.ready["url"]
        assert json.loads((tmp_path / "server.json").read_text()) == {"url": url, "pid": served.process.pid}
        called = run("call", "hello", "--provider", "fake", "--model", "fake-chat", data_dir=tmp_path)
        assert called.returncode == 0, called.stderr
        assert served.stop() == 0
    assert not (tmp_path / "server.json").exists()


def test_it_goes_on_when_nobody_reads_what_it_prints(tmp_path: Path) -> None:
    env = {"INFERWAY_PROVIDERS__FAKE__ENABLED": "true", "INFERWAY_LOCAL__PULL_DEFAULTS": "false"}
    command = [sys.executable, "-m", "inferway", "serve", "--port", "0", "--data-dir", str(tmp_path)]
    with subprocess.Popen(command, env=os.environ | env, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        until((tmp_path / "server.json").exists, "the server is up")
        called = run("call", "hello", "--provider", "fake", "--model", "fake-chat", data_dir=tmp_path)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    assert called.returncode == 0, called.stderr


def test_running_calls_end_well_when_it_is_stopped(served: Served) -> None:
    answers: list[Any] = []
    calls = [in_background(served, SLOW, answers) for _ in range(10)]
    await_in_flight(served)
    assert served.stop(signal.SIGINT) == 0
    for call in calls:
        call.join()
    assert [status for status, _ in answers] == [200] * 10


def test_a_terminate_signal_turns_readiness_off_while_calls_are_still_taken(tmp_path: Path) -> None:
    with serving(tmp_path, INFERWAY_SERVER__STOP_WAIT_S="2") as served:
        assert served.get("/v1/health/readiness") == 200
        began = time.monotonic()
        served.process.send_signal(signal.SIGTERM)
        until(lambda: served.get("/v1/health/readiness") == 503, "readiness says no", 1.5)
        assert served.get("/v1/health/liveness") == 200
        assert served.call(fake_call())[0] == 200
        assert served.process.wait(20) == 0
        assert time.monotonic() - began >= 2.0
    with pytest.raises(ConnectionRefusedError):
        served.connect()


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with serving(tmp_path, INFERWAY_SERVER__STOP_WAIT_S="60") as served:
        answers: list[Any] = []
        call = in_background(served, fake_call("fake-chat?latency_ms=30000"), answers)
        await_in_flight(served)
        served.process.send_signal(signal.SIGTERM)
        until(lambda: served.get("/v1/health/readiness") == 503, "readiness says no")
        began = time.monotonic()
        assert served.stop(signal.SIGTERM) == 0
        assert time.monotonic() - began < 6.0
        call.join()
    [(status, answer)] = answers
    assert (status, answer["error"]["code"]) == (503, "stopping")
    # What it had begun is on record, with nobody left to be asked about it later.
    with contextlib.closing(sqlite3.connect(tmp_path / "inferway.db")) as ledger:
        rows = ledger.execute("SELECT status, error_code FROM usage").fetchall()
    assert rows == [("error", "stopping")]


def test_a_call_whose_time_is_up_when_it_is_stopped_gets_an_answer(tmp_path: Path) -> None:
    with serving(tmp_path, INFERWAY_SERVER__STOP_GRACE_S="0.5") as served:
        answers: list[Any] = []
        begun = threading.Event()
        calls = [
            in_background(served, fake_call("fake-chat?latency_ms=30000"), answers),
            threading.Thread(target=lambda: answers.append(_streamed(served, begun))),
        ]
        calls[1].start()
        assert begun.wait(20)
        assert served.stop() == 0
        for call in calls:
            call.join()
    streamed = next(each for each in answers if isinstance(each, str))
    status, answer = next(each for each in answers if not isinstance(each, str))
    assert (status, answer["error"]["code"]) == (503, "stopping")
    assert "event: error" in streamed
    assert '"code":"stopping"' in streamed
    with contextlib.closing(sqlite3.connect(tmp_path / "inferway.db")) as ledger:
        ends = ledger.execute("SELECT status, error_code FROM usage").fetchall()
    assert ends == [("error", "stopping")] * 2


def _streamed(served: Served, begun: threading.Event) -> str:
    """A stream that would last a minute, up to its end; `begun` is set once the first event came."""
    model = "fake-chat?chunk_ms=500&text=" + "+".join(["word"] * 120)
    body = json.dumps({**fake_call(model), "stream": True}).encode()
    with served.connect() as connection:
        connection.sendall(served.head(f"Content-Length: {len(body)}", "Connection: close") + body)
        pieces = []
        while piece := connection.recv(65536):
            pieces.append(piece)
            if b"event:" in piece:
                begun.set()
    return b"".join(pieces).decode()


def test_a_port_in_use_is_said_in_a_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = run("serve", "--port", str(port), data_dir=tmp_path)
    assert ended.returncode == 1
    assert (
        ended.stderr.strip()
        == f"Error: 127.0.0.1:{port}: address already in use. Choose another with --port or --host."
    )


def test_a_folder_that_cannot_be_used_is_said_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "inferway.db").write_text("this is no database, and somebody may need it")
    ended = run("serve", "--port", "0", data_dir=tmp_path)
    assert ended.returncode == 1
    assert ended.stderr.startswith("Error: ")
    assert len(ended.stderr.splitlines()) == 1
    assert "Traceback" not in ended.stderr


def test_logs_can_be_read_by_machines_and_hold_no_secret(tmp_path: Path) -> None:
    env = {"INFERWAY_LOG__FORMAT": "json", "INFERWAY_LOG__LEVEL": "debug"}
    with serving(tmp_path, **env) as served:
        assert served.call(fake_call(prompt="a very private prompt"))[0] == 200
        key = served.ready["api_key"]
        served.stop()
    for line in served.stderr.splitlines():
        assert {"time", "level", "logger", "message"} <= json.loads(line).keys()
    assert key not in served.stderr
    assert "private" not in served.stderr


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Served]:
    """Two workers."""
    with serving(tmp_path / "data", "--workers", "2") as each:
        yield each


def workers_of(served: Served) -> set[int]:
    return {pid for pid, line in children_of(served.process.pid).items() if "inferway.http.worker" in line}


def test_a_killed_worker_is_replaced_while_the_other_one_serves(crew: Served) -> None:
    before = workers_of(crew)
    assert len(before) == 2
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    for _ in range(20):
        assert crew.call(fake_call())[0] == 200
    took_s = until(lambda: len(workers_of(crew) - {victim}) == 2, "a new worker")
    assert took_s < 10.0
    assert crew.stop() == 0
    assert f"worker {victim} ended with status -9" in crew.stderr


def test_all_workers_know_the_keys_and_stop_together(crew: Served) -> None:
    statuses = [crew.call(fake_call())[0] for _ in range(20)]
    assert statuses == [200] * 20
    workers = workers_of(crew)
    answers: list[Any] = []
    calls = [in_background(crew, SLOW, answers) for _ in range(6)]
    await_in_flight(crew)
    assert crew.stop(signal.SIGTERM) == 0
    for call in calls:
        call.join()
    assert [status for status, _ in answers] == [200] * 6
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
    assert not list((crew.data_dir / "run").rglob("*"))


def test_workers_are_given_the_providers_keys(tmp_path: Path) -> None:
    upstream = Upstream()
    upstream.answer = lambda _: Reply(completion())
    try:
        env = {"OPENAI_API_KEY": "sk-upstream", "OPENAI_BASE_URL": f"{upstream.url}/v1"}
        with serving(tmp_path, "--workers", "2", **env) as served:
            body = {"provider": "openai", "model": "gpt-5.4-mini", "inputs": {"prompts": ["hello"]}}
            assert served.call(body)[0] == 200
    finally:
        upstream.close()
    assert [seen.headers["authorization"] for seen in upstream.seen] == ["Bearer sk-upstream"]


def test_workers_do_not_outlive_their_supervisor(crew: Served) -> None:
    workers = workers_of(crew)
    crew.process.kill()
    until(lambda: not [pid for pid in workers if Path(f"/proc/{pid}").exists()], "the workers are gone")


def test_workers_that_cannot_start_end_the_server_with_the_reason(tmp_path: Path) -> None:
    config = tmp_path / "bad.toml"
    config.write_text('[providers.google]\ncredentials_file = "/nonexistent.json"\n')
    ended = run("serve", "--workers", "2", "--port", "0", "--config", str(config), data_dir=tmp_path / "data")
    assert ended.returncode == 1
    assert "credentials_file" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("after_s", [0.0, 0.1, 0.2, 0.4])
def test_a_stop_while_the_workers_are_being_imported_ends_them_without_a_traceback(
    tmp_path: Path, after_s: float
) -> None:
    command = [sys.executable, "-m", "inferway", "serve", "--workers", "2", "--port", "0"]
    env = os.environ | {"INFERWAY_LOCAL__PULL_DEFAULTS": "false"}
    process = subprocess.Popen(
        [*command, "--data-dir", str(tmp_path)], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    until(lambda: len(children_of(process.pid)) == 2, "two workers")
    time.sleep(after_s)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0
    assert b"Traceback" not in said
