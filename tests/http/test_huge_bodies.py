"""Bodies of 300 MB at a server process with its default cap: refused in order, the connection lives on, memory stays flat."""

import json
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.e2e.process import serving

_PIECE = b'"' + b"x" * 999_998 + b'"'
_PIECES = 300
_GROWTH_KB = 64 * 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int, dict[str, str]]]:
    """A server's process id and port, and the headers of a caller."""
    with serving(tmp_path_factory.mktemp("huge")) as served:
        yield served.process.pid, served.port, served.headers()


def _request(port: int, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, path, body, headers)
    status = connection.getresponse().status
    connection.close()
    return status


def _memory_kb(pid: int) -> tuple[int, int]:
    """Resident memory now and at its highest."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    now, highest = (int(fields[name].split()[0]) for name in ("VmRSS", "VmHWM"))
    return now, highest


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of a process from /proc")
@pytest.mark.parametrize("framing", ["content-length", "chunked"])
def test_300_mb_are_refused_the_connection_lives_on_and_memory_stays_flat(
    server: tuple[int, int, dict[str, str]], framing: str
) -> None:
    pid, port, headers = server
    small = json.dumps({"provider": "nobody", "model": "m", "inputs": {"prompts": ["a"]}}).encode()
    assert _request(port, "POST", "/v1/inference", small, headers) == 400
    before_kb, _ = _memory_kb(pid)

    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    chunked = framing == "chunked"
    size = {"transfer-encoding": "chunked"} if chunked else {"content-length": str(len(_PIECE) * _PIECES)}
    body = (_PIECE for _ in range(_PIECES))
    connection.request("POST", "/v1/inference", body, headers | size, encode_chunked=chunked)
    answer = connection.getresponse()
    assert answer.status == 400
    assert json.loads(answer.read())["error"]["code"] == "body_too_large"

    socket = connection.sock
    connection.request("POST", "/v1/inference", small, headers)
    answer = connection.getresponse()
    assert json.loads(answer.read())["error"]["code"] == "unknown_provider"
    assert connection.sock is socket, "the connection was made anew"
    connection.close()

    _, highest_kb = _memory_kb(pid)
    assert highest_kb - before_kb <= _GROWTH_KB
