"""Large bodies of calls that fail: nothing of them stays in memory, where garbage is collected seldom."""

import sys
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.e2e.process import Served, serving

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of a process from /proc")

_FILLING = b"x" * 10_000_000
_GROWTH_KB = 64 * 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("large")) as served:
        yield served


def _send(served: Served, body: bytes) -> int:
    connection = HTTPConnection("127.0.0.1", served.port, timeout=30)
    connection.request("POST", "/v1/inference", body, served.headers())
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def _growth_kb(served: Served, send: Callable[[], None]) -> int:
    """What fifteen calls leave behind after the first few."""

    def memory_kb() -> int:
        status = Path(f"/proc/{served.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])

    for _ in range(3):
        send()
    before_kb = memory_kb()
    for _ in range(15):
        send()
    return memory_kb() - before_kb


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"provider": "%s', 400),
        (b'{"provider": 1, "unread": "%s"}', 422),
        (b'{"provider": "nobody", "model": "m", "inputs": {"prompts": ["%s"]}}', 400),
        (b'{"provider": "fake", "model": "fake-chat?error=refused", "inputs": {"prompts": ["%s"]}}', 400),
        (
            b'{"provider": "fake", "model": "fake-chat?error=failed&error_attempts=1", "inputs": {"prompts": ["%s"]}}',
            200,
        ),
        (
            b'{"provider": "fake", "model": "fake-chat?cut_after=2", "stream": true, "inputs": {"prompts": ["%s"]}}',
            200,
        ),
    ],
    ids=["no JSON", "wrong shape", "nobody", "refused", "tried again", "broken stream"],
)
def test_what_fails_is_let_go_of(server: Served, body: bytes, status: int) -> None:
    large = body % _FILLING

    def send() -> None:
        assert _send(server, large) == status

    assert _growth_kb(server, send) <= _GROWTH_KB


def test_an_upload_that_is_broken_off_is_let_go_of(server: Served) -> None:
    def break_off() -> None:
        connection = HTTPConnection("127.0.0.1", server.port, timeout=30)
        connection.putrequest("POST", "/v1/inference")
        for name, value in (server.headers() | {"content-length": "30000000"}).items():
            connection.putheader(name, value)
        connection.endheaders(_FILLING)
        connection.close()
        # Another call is answered after the broken one has ended.
        assert _send(server, b"{") == 400

    assert _growth_kb(server, break_off) <= _GROWTH_KB
