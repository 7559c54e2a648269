"""Which limits follow from the settings."""

import sys
from pathlib import Path

import pytest

from inferway.app.limits import Limits, terms_of
from inferway.errors import OperatorError
from inferway.limits.terms import Terms
from inferway.settings import LimitSettings, load
from inferway.store.memory.ledger import MemoryLedger


def test_a_tier_is_a_start_and_each_number_can_be_set() -> None:
    assert terms_of(LimitSettings()) == Terms(per_minute=6_000, burst=400, per_second=200, concurrent=200)
    assert terms_of(LimitSettings(tier="free")) == Terms(per_minute=60, burst=20, per_second=10, concurrent=5)
    pro = terms_of(LimitSettings(tier="pro", per_second=0, tokens_per_minute=9))
    assert pro == Terms(per_minute=600, burst=200, per_second=0, concurrent=50, tokens_per_minute=9)


def test_a_server_for_the_limits_needs_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "inferway.limits.valkey", None)
    environ = {"INFERWAY_DATA_DIR": str(tmp_path), "INFERWAY_LIMITS__URL": "redis://127.0.0.1:1"}
    with pytest.raises(OperatorError, match=r"inferway\[redis\]"):
        Limits(load(environ=environ), MemoryLedger())
