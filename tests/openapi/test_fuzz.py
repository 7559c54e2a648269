"""Schemathesis finds nothing: whatever a real server is sent, it answers as it is described."""

import pytest

from tests.openapi.fuzz import SEEDS, SHORT, fuzz
from tests.openapi.program import find_schemathesis

pytestmark = [pytest.mark.schemathesis, pytest.mark.timeout(900)]


def test_three_seeds_find_nothing() -> None:
    program = find_schemathesis()
    assert program is not None
    ended = fuzz(program, SHORT)
    assert [each.seed for each in ended] == list(SEEDS)
    for each in ended:
        assert each.status == 0, each.output
        assert each.cases > 200, each.output
