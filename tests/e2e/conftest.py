"""Servers that several tests share."""

from collections.abc import Iterator

import pytest

from tests.e2e.process import Served, serving

HEADER_S, BODY_S, IDLE_S = 1.0, 1.5, 0.5


@pytest.fixture(scope="session")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with short deadlines."""
    with serving(
        tmp_path_factory.mktemp("impatient"),
        INFERWAY_SERVER__HEADER_TIMEOUT_S=str(HEADER_S),
        INFERWAY_SERVER__BODY_TIMEOUT_S=str(BODY_S),
        INFERWAY_SERVER__KEEPALIVE_TIMEOUT_S=str(IDLE_S),
        INFERWAY_SERVER__BODY_MAX_MB="4",
    ) as served:
        yield served
