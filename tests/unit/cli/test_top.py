"""The table of `inferway top`: figures are whole or not there at all."""

import pytest

from inferway.cli.columns import width_of
from inferway.cli.pulse import Pulse, Row
from inferway.cli.top import table_of


def _row(provider: str, model: str) -> Row:
    return Row(
        provider=provider,
        model=model,
        calls_per_s=123.4,
        errors_per_s=1.2,
        tokens_per_s=45678.0,
        p50_ms=1234.0,
        p95_ms=23456.0,
        first_token_p50_ms=345.0,
        calls=1234567,
        errors=4321,
        unpriced_calls=0,
        spent_usd=98765.4321,
    )


_PULSE = Pulse(
    window_s=2.0,
    workers=1,
    inflight_calls=3,
    backlog_bytes=0,
    uptime_s=60.0,
    total=_row("*", "*"),
    rows=(_row("openai_compatible", "an-organization/a-model-of-a-long-name-2030-01-31"),),
)


@pytest.mark.parametrize("width", [120, 100, 80, 60, 50])
def test_a_narrow_terminal_has_fewer_figures_and_none_that_is_cut(width: int) -> None:
    lines = table_of(_PULSE, width)
    assert max(width_of(line.removeprefix("\x1b[1m").removesuffix("\x1b[0m")) for line in lines) <= width
    for line in lines[1:]:
        assert {"4321", "98765.4321"} <= set(line.split())
        assert all(word.replace(".", "").isdigit() for word in line.split()[2:])


def test_where_there_is_no_terminal_everything_is_there() -> None:
    head, *rows = table_of(_PULSE, None)
    assert "first ms" in head
    assert "an-organization/a-model-of-a-long-name-2030-01-31" in rows[1]
