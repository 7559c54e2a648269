"""Where the time of a call went, as bars."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from inferway.http.dashboard.waterfall import lanes_of


def _call(
    latency_ms: float, *attempts: tuple[float, float, str], first_event_ms: float | None = None
) -> dict[str, Any]:
    return {
        "latency_ms": latency_ms,
        "first_event_ms": first_event_ms,
        "attempts": [
            {
                "provider": "p",
                "model": f"m{number}",
                "started_ms": started,
                "duration_ms": took,
                "outcome": outcome,
            }
            for number, (started, took, outcome) in enumerate(attempts)
        ],
    }


def test_a_call_with_a_retry_shows_what_came_before_between_and_behind() -> None:
    lanes = lanes_of(_call(100, (10, 20, "provider_error"), (50, 40, "ok"), first_event_ms=60))
    assert [(each.name, each.kind, each.x, each.width) for each in lanes] == [
        ("Whole call", "whole", 0, 100),
        ("Before the first attempt", "wait", 0, 10),
        ("Attempt 1: p/m0", "bad", 10, 20),
        ("Attempt 2: p/m1", "good", 50, 40),
        ("First event of the stream", "mark", 60, 0.4),
        ("Behind the last attempt", "wait", 90, 10),
    ]


def test_a_call_that_reached_nobody_is_one_bar() -> None:
    assert [each.name for each in lanes_of(_call(3))] == ["Whole call"]
    assert [each.name for each in lanes_of(_call(0))] == ["Whole call"]


def test_what_was_cancelled_did_not_fail() -> None:
    kinds = [
        each.kind
        for each in lanes_of(_call(9, (0, 9, "hedge_lost"), (1, 8, "cancelled")))
        if "Attempt" in each.name
    ]
    assert kinds == ["soft", "soft"]


@given(
    st.floats(0, 1e7),
    st.lists(st.tuples(st.floats(-1, 1e7), st.floats(-1, 1e7), st.sampled_from(["ok", "x"])), max_size=5),
)
def test_no_bar_leaves_the_picture(latency_ms: float, attempts: list[tuple[float, float, str]]) -> None:
    for lane in lanes_of(_call(latency_ms, *attempts, first_event_ms=latency_ms)):
        assert 0 <= lane.x <= 100
        assert lane.x + (0 if lane.kind == "mark" else lane.width) <= 100.02
