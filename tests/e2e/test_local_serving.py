"""Local models through the whole server, as a newcomer meets them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import IO

import pytest

from tests.e2e.process import WAIT_S, children_of, run, serving

pytestmark = [pytest.mark.local_models, pytest.mark.timeout(300)]


@pytest.fixture
def models_env(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Settings that find the default models, which are pulled once into pytest's cache."""
    assert request.config.cache is not None
    folder = os.environ.get("INFERWAY_TEST_MODELS") or str(request.config.cache.mkdir("local-models"))
    env = {"INFERWAY_LOCAL__MODELS_DIR": folder}
    command = [sys.executable, "-m", "inferway", "models", "pull", "--data-dir", str(tmp_path)]
    subprocess.run(command, env=os.environ | env, check=True, capture_output=True)
    return env


def test_the_first_curl_that_is_printed_succeeds(tmp_path: Path, models_env: dict[str, str]) -> None:
    """What a person sees, without `--json`."""
    command = [sys.executable, "-m", "inferway", "serve", "--port", "0", "--data-dir", str(tmp_path / "data")]
    with subprocess.Popen(command, env=os.environ | models_env, stdout=subprocess.PIPE, text=True) as process:
        lines: Queue[str] = Queue()
        assert process.stdout is not None
        reader = Thread(target=_read, args=(process.stdout, lines))
        reader.start()
        try:
            said = []
            while not (line := lines.get(timeout=WAIT_S)).startswith("curl "):
                said.append(line)
            pasted = subprocess.run(line, shell=True, capture_output=True, text=True, check=True)
        finally:
            process.terminate()
            reader.join(WAIT_S)
    answer = json.loads(pasted.stdout)
    assert answer["provider"] == "local"
    assert answer["data"]["completions"][0]["text"]
    assert re.search(r"http://127\.0\.0\.1:\d+", "".join(said))
    assert str(tmp_path / "data") in "".join(said)


def _read(stdout: IO[str], lines: Queue[str]) -> None:
    for line in stdout:
        lines.put(line)


def test_a_call_waits_for_its_model_and_prints_the_answer(tmp_path: Path, models_env: dict[str, str]) -> None:
    with serving(tmp_path / "data", **models_env) as served:
        ended = run("call", "Say hello.", data_dir=served.data_dir)
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout.strip()
        assert "quality: minimal" in ended.stderr
        assert len(children_of(served.process.pid)) == 1
        engine = next(iter(children_of(served.process.pid)))
        assert served.stop() == 0
    assert not Path(f"/proc/{engine}").exists()


def test_two_workers_share_one_engine_process(tmp_path: Path, models_env: dict[str, str]) -> None:
    body = {"provider": "local", "model": "all-minilm-l6-v2", "inputs": {"text": "a lake"}}
    with serving(tmp_path / "data", "--workers", "2", **models_env) as served:
        vectors = [served.call(body)[1]["data"]["embedding"] for _ in range(20)]
        family = children_of(served.process.pid)
        engines = [line for line in family.values() if "inferway.providers.local.child" in line]
        workers = [pid for pid, line in family.items() if "inferway.http.worker" in line]
        assert len(engines) == 1
        assert [len(children_of(worker)) for worker in workers] == [0, 0]
        assert all(vector == vectors[0] for vector in vectors)
        assert served.stop() == 0
