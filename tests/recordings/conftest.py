"""The running server with every provider replaced by a replay, and the counts that are printed at the end."""

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.recordings.book import Row, load_all
from tests.recordings.gateway import Gateway, serving
from tests.recordings.upstream import ReplayUpstream

COUNTS = pytest.StashKey[Counter[str]]()


@pytest.fixture(scope="session")
def counts(request: pytest.FixtureRequest) -> Counter[str]:
    """How often something was checked, by what it was."""
    return request.config.stash.setdefault(COUNTS, Counter())


@pytest.fixture(scope="session")
def upstream() -> Iterator[ReplayUpstream]:
    """Every provider."""
    with ReplayUpstream().running() as replay:
        yield replay


@pytest.fixture(scope="session")
def gateway(upstream: ReplayUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The server, with a row for each address in the recordings."""
    rows: list[Row] = [recording.row for recording in load_all()]
    with serving(tmp_path_factory.mktemp("replay"), rows, upstream.base) as running:
        yield running


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was replayed and mutated."""
    found = config.stash.get(COUNTS, Counter[str]())
    if found:
        terminalreporter.write_line(
            "Recordings: " + ", ".join(f"{count} {name}" for name, count in sorted(found.items()))
        )
