"""What recorded answers cost: meters that add up, and the same micro-dollars in two public price tables."""

import os

import pytest

from inferway.usage.prices import Prices
from tests.recordings.book import Recording, file_names, load
from tests.recordings.gateway import Gateway
from tests.recordings.price_tables import compare, find_table, meters_of, settled
from tests.recordings.replaying import replay
from tests.recordings.upstream import ReplayUpstream

pytestmark = pytest.mark.recordings


def _with_usage() -> list[str]:
    return [name for name in file_names() if meters_of(load(name)) is not None] or ["(no recordings here)"]


@pytest.mark.parametrize("name", _with_usage())
def test_the_meters_are_disjoint_and_the_answer_costs_their_sum(
    name: str, gateway: Gateway, upstream: ReplayUpstream
) -> None:
    recording: Recording = load(name)
    usage = meters_of(recording)
    assert usage is not None
    counts = usage.tokens_used()
    if counts is not None:
        assert counts["prompt"] + counts["completion"] == counts["total"]
        assert min(usage.input, usage.cached_read, usage.cache_write, usage.audio_input, usage.output) >= 0
    reply = replay(recording, gateway, upstream).reply
    answer = reply.events[-1][1] if reply.events else reply.body
    assert answer["tokens_used"] == counts
    price = Prices().price(recording.row.name, recording.model, usage)
    assert answer["cost_usd"] == (None if price is None else price.microusd / 1_000_000)


def test_both_public_tables_say_what_we_say_but_where_it_was_settled_by_hand() -> None:
    table = find_table()
    if table is None:
        reason = "the other price table is not here: python -m tests.recordings.price_tables --fetch"
        if os.environ.get("INFERWAY_TEST_STRICT"):
            pytest.fail(reason)
        pytest.skip(reason)
    rows, known = compare(table), settled()
    assert len(rows) >= 80
    apart = {row.name for row in rows if not row.agrees}
    assert apart == set(known), "looked up or taken out by hand: tests/recordings/price_disagreements.toml"
    right = {name: cost for each in known.values() for name, cost in each["right"].items()}
    wrong = [row for row in rows if not row.agrees and row.ours != right[row.recording]]
    assert wrong == []
    assert all(each["because"] and each["source"].startswith("https://") for each in known.values())
