"""A disk without room for the journal: calls are refused before anybody is asked, and served again when there is room."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.process import Served, serving_under, until
from tests.faults.namespaces import UNSHARE
from tests.http.kit import Reply, Upstream, completion

_MOUNT = [each for each in UNSHARE if each != "--net"]
_CALL = {"provider": "openai", "model": "gpt-5.4-mini", "inputs": {"prompts": ["hello"]}}


def _can_mount(folder: Path) -> bool:
    if not shutil.which("unshare"):
        return False
    command = [*_MOUNT, "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    upstream = Upstream()
    upstream.answer = lambda _: Reply(completion())
    yield upstream
    upstream.close()


@pytest.mark.netns
@pytest.mark.skipif(
    not _can_mount(Path("/mnt")), reason="needs a mount namespace: run as root, or allow users to make them"
)
def test_no_call_is_served_that_cannot_be_recorded(tmp_path: Path, upstream: Upstream) -> None:
    data = tmp_path / "data"
    journal = data / "journal"
    journal.mkdir(parents=True)
    script = f'mount -t tmpfs -o size=256k tmpfs {journal} && exec "$0" "$@"'
    env = {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": f"{upstream.url}/v1"}
    with serving_under((*_MOUNT, "sh", "-c", script), data, env=env) as served:
        assert served.call(_CALL)[0] == 200
        # The server's own view of the folder: the mount is its alone.
        filler = Path(f"/proc/{served.process.pid}/root{journal}/filler")
        _fill(filler)
        before = len(upstream.seen)
        refused = until_refused(served)
        reached = len(upstream.seen)
        assert (refused["status"], refused["error"]["code"]) == (503, "journal_full")
        assert refused["error"]["type"] == "InferenceServiceUnavailableError"
        for _ in range(5):
            assert served.call(_CALL)[0] == 503
        assert len(upstream.seen) == reached, "a call went out that could not be recorded"
        assert reached - before <= 40
        filler.unlink()
        until(lambda: served.call(_CALL)[0] == 200, "it serves again", 10)


def _fill(path: Path) -> None:
    """Writes until there is no room."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


def until_refused(served: Served) -> dict[str, Any]:
    """Calls until one is refused: what the journal's last page has room for is still served."""
    for _ in range(40):
        status, answer = served.call(_CALL)
        if status != 200:
            return answer
    raise AssertionError("calls go on without room for their records")
