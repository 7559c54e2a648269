"""Runs transport tests on both event loops: the product serves on uvloop, a library user may be on asyncio's own."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
import uvloop

from tests.upstreams.certificates import Authority
from tests.upstreams.wires import Run, Wire


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine to its end on each kind of loop."""

    def run_it(work: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=request.param) as runner:
            return runner.run(work)

    return run_it


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(params=["plain", "tls"])
def wire(request: pytest.FixtureRequest, authority: Authority) -> Wire:
    """The same upstream without and with TLS."""
    return Wire(authority if request.param == "tls" else None)
