"""The house rules of the test runs hold, and can be seen to bite."""

import socket
from pathlib import Path

import pytest

from tests.guards.network import NetworkBlockedError

ROOT = Path(__file__).parents[2]

PLUGINS = ("-p", "tests.guards.omissions", "-p", "no:randomly", "-p", "no:cacheprovider", "-p", "no:anyio")
SKIPPING = """
import pytest

@pytest.mark.parametrize("n", [1, 2])
def test_here(n):
    pytest.skip("no such thing here")

def test_runs():
    pass
"""


@pytest.fixture
def runner(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Another test run in an empty folder, with only the guard of omissions."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("INFERWAY_TEST_STRICT", raising=False)
    monkeypatch.delenv("INFERWAY_TEST_RECORDINGS", raising=False)
    pytester.makeini("[pytest]\nmarkers = recordings: replays\n")
    return pytester


@pytest.mark.parametrize("address", [("192.0.2.1", 9), ("2001:db8::1", 9), ("::ffff:192.0.2.1", 9)])
def test_a_connection_to_another_machine_is_refused(address: tuple[str, int]) -> None:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock, pytest.raises(NetworkBlockedError):
        sock.connect(address)


@pytest.mark.parametrize("host", ["inferway.invalid", b"inferway.invalid", "localhost.invalid"])
def test_a_name_look_up_is_refused(host: str | bytes) -> None:
    with pytest.raises(NetworkBlockedError):
        socket.getaddrinfo(host, 80)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "192.0.2.1", "0x7f.1", "2130706433", None])
def test_a_literal_needs_no_look_up(host: str | None) -> None:
    assert socket.getaddrinfo(host, 80, proto=socket.IPPROTO_TCP)


def test_loopback_is_open() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        peer, _ = server.accept()
        with peer:
            client.sendall(b"hello")
            assert peer.recv(5) == b"hello"


def test_what_was_left_out_is_listed_with_its_reason(runner: pytest.Pytester) -> None:
    runner.makepyfile(SKIPPING)
    result = runner.runpytest_subprocess(*PLUGINS)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["!*LEFT OUT: 2*", "*::test_here (2 cases): no such thing here"])


def test_several_processes_list_what_each_of_them_left_out(runner: pytest.Pytester) -> None:
    runner.makepyfile(test_one=SKIPPING, test_two="import pytest\npytest.importorskip('no_such_package')")
    result = runner.runpytest_subprocess(*PLUGINS, "-n", "2", "--dist", "loadfile")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["!*LEFT OUT: 3*", "*::test_here (2 cases): no such thing here"])


def test_a_strict_run_of_several_processes_fails_on_what_was_left_out(
    runner: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFERWAY_TEST_STRICT", "1")
    runner.makepyfile(SKIPPING)
    result = runner.runpytest_subprocess(*PLUGINS, "-n", "2")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    runner.makepyfile("import pytest\npytest.importorskip('no_such_package')")
    assert runner.runpytest_subprocess(*PLUGINS, "-n", "2").ret != pytest.ExitCode.OK


def test_a_complete_run_says_so(runner: pytest.Pytester) -> None:
    runner.makepyfile("def test_runs(): pass")
    runner.runpytest_subprocess(*PLUGINS).stdout.fnmatch_lines(["Nothing was left out."])


def test_a_strict_run_fails_on_what_was_left_out(
    runner: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFERWAY_TEST_STRICT", "1")
    runner.makepyfile(SKIPPING)
    result = runner.runpytest_subprocess(*PLUGINS)
    result.assert_outcomes(passed=1, failed=2)
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_a_strict_run_fails_on_a_module_that_skips_itself(
    runner: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFERWAY_TEST_STRICT", "1")
    runner.makepyfile("import pytest\npytest.importorskip('no_such_package')")
    result = runner.runpytest_subprocess(*PLUGINS)
    result.assert_outcomes(errors=1)
    assert result.ret != pytest.ExitCode.OK


def test_a_suite_that_cannot_run_here_says_what_to_do(runner: pytest.Pytester) -> None:
    runner.makepyfile("import pytest\n@pytest.mark.recordings\ndef test_replay(): assert False")
    result = runner.runpytest_subprocess(*PLUGINS)
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*::test_replay: needs recorded exchanges: set INFERWAY_TEST_RECORDINGS*"])


def test_a_suite_runs_once_it_can(
    runner: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("INFERWAY_TEST_RECORDINGS", str(tmp_path))
    runner.makepyfile("import pytest\n@pytest.mark.recordings\ndef test_replay(): pass")
    runner.runpytest_subprocess(*PLUGINS).assert_outcomes(passed=1)
