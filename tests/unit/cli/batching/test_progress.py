"""How far a batch is, where nobody watches a terminal."""

import asyncio
from decimal import Decimal

import pytest

from inferway.cli.batching.progress import shown
from inferway.cli.batching.tally import Tally, dollars
from inferway.cli.verb import Voice


async def test_a_line_now_and_then_tells_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    tally = Tally(7)
    tally.answered, tally.failed, tally.cost_usd = 2, 1, Decimal("0.25")
    said = ""
    async with asyncio.timeout(30), shown(tally, Voice(as_json=False), line_every_s=0.001):
        while not said:
            await asyncio.sleep(0.001)
            said = capsys.readouterr().err
    assert said.startswith("3 of 7 done, 1 failed, 0 tokens, $0.250000, ")


async def test_a_program_hears_nothing_before_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    async with shown(Tally(), Voice(as_json=True), line_every_s=0.001):
        await asyncio.sleep(0.05)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("amount", "told"),
    [("0", "$0.00"), ("0.0000127", "$0.000013"), ("3.6", "$3.6000"), ("1234.5", "$1,234.50")],
)
def test_small_and_large_amounts_are_told_as_exactly_as_they_matter(amount: str, told: str) -> None:
    assert dollars(Decimal(amount)) == told
