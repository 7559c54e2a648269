"""The command line and several workers on PostgreSQL: one setting, and every verb uses that database."""

import json
import socket
import subprocess
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from tests.databases.postgres import Postgres
from tests.e2e.process import fake_call, run, serving


def told(ended: subprocess.CompletedProcess[str]) -> Any:
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return json.loads(ended.stdout)


def test_every_verb_uses_the_database_that_the_url_names(postgres: Postgres, tmp_path: Path) -> None:
    env = {"INFERWAY_DATABASE_URL": postgres.new_database(), "INFERWAY_LOCAL__ENABLED": "false"}
    before = told(run("db", "status", "--json", data_dir=tmp_path, env=env))
    assert (before["revision"], before["is_current"]) == (None, False)
    assert before["database"].startswith("postgresql://127.0.0.1:")
    made = told(run("db", "upgrade", "--json", data_dir=tmp_path, env=env))
    assert (made["was"], made["is_current"]) == (None, True)
    key = told(run("key", "create", "--name", "mine", "--json", data_dir=tmp_path, env=env))["key"]
    told(run("namespace", "create", "second", "--json", data_dir=tmp_path, env=env))
    findings = told(run("doctor", "--json", data_dir=tmp_path, env=env))["findings"]
    (store,) = [each for each in findings if each["check"] == "store"]
    assert (store["state"], "up to date" in store["message"]) == ("ok", True)
    assert not (tmp_path / "inferway.db").exists()
    other = tmp_path / "another machine"
    with serving(other, "--workers", "2", **env) as served:
        assert served.ready["api_key"] is None, "who founded it has the keys"
        headers = {
            "Authorization": f"Bearer {key}",
            "X-Namespace": "second",
            "Content-Type": "application/json",
        }
        connection = HTTPConnection("127.0.0.1", served.port, timeout=30)
        connection.request("POST", "/v1/inference", json.dumps(fake_call()), headers)
        assert connection.getresponse().status == 200
        connection.close()
    password = env["INFERWAY_DATABASE_URL"].partition("postgres:")[2].partition("@")[0]
    assert password not in (other / "stderr.txt").read_text() + json.dumps([before, made, findings])


def test_a_database_that_is_not_there_or_not_ours_is_told_in_a_line(
    postgres: Postgres, tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        gone = f"postgresql://u:hidden@127.0.0.1:{free.getsockname()[1]}/d"
    wrong = postgres.url().replace("postgres:", "postgres:hidden", 1)
    tries = (
        (("key", "list"), gone),
        (("doctor",), gone),
        (("db", "upgrade"), wrong),
        (("db", "status"), "mysql://u:hidden@h/d"),
    )
    for verb, url in tries:
        ended = run(*verb, data_dir=tmp_path, env={"INFERWAY_DATABASE_URL": url})
        said = ended.stdout + ended.stderr
        assert ended.returncode == 1, said
        assert "atabase" in said
        assert "hidden" not in said
        assert "Traceback" not in said


def test_a_server_with_a_wrong_password_refuses_to_start(postgres: Postgres, tmp_path: Path) -> None:
    wrong = postgres.url().replace("postgres:", "postgres:hidden", 1)
    for more in ((), ("--workers", "2")):
        ended = run("serve", "--port", "0", *more, data_dir=tmp_path, env={"INFERWAY_DATABASE_URL": wrong})
        assert ended.returncode == 1
        assert "Check database.url" in ended.stderr
        assert "hidden" not in ended.stderr
