"""What the fault run of the database shows holds in every run of the tests too, on less time."""

from collections.abc import Awaitable, Callable, Iterator

import pytest

from tests.databases.postgres import Postgres, postgres_server
from tests.faults.figures import SEED, Asked, read
from tests.faults.outage import closed, late, outage, revocation

ASKED = Asked(scenario="outage", short=True, seed=SEED)
Measure = Callable[[Asked, Postgres], Awaitable[None]]


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A server of these tests' own, as they stop it."""
    with postgres_server() as own:
        yield own


def require_targets_met(printed: str) -> None:
    """Every figure that was printed met its target, and some were."""
    figures = [figure for line in printed.splitlines() if (figure := read(line))]
    assert figures
    assert [f"{figure.name}: {figure.figure}" for figure in figures if not figure.passed] == []


@pytest.mark.timeout(180)
@pytest.mark.parametrize("measure", [late, closed, revocation])
async def test_a_database_that_comes_late_or_goes_or_a_key_that_is_taken_back(
    measure: Measure, server: Postgres, capsys: pytest.CaptureFixture[str]
) -> None:
    await measure(ASKED, server)
    require_targets_met(capsys.readouterr().out)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("kind", ["stop", "freeze"])
async def test_known_keys_go_on_and_nothing_is_lost_while_the_database_is_away(
    kind: str, server: Postgres, capsys: pytest.CaptureFixture[str]
) -> None:
    await outage(ASKED, server, kind, seconds=7)
    require_targets_met(capsys.readouterr().out)
