"""Spend budgets on the command line: `--daily-usd` and `--monthly-usd`."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

import click

from inferway.access.records import SpendBudget
from inferway.app.desk import Office, open_office
from inferway.cli.verb import Voice
from inferway.settings import Settings

_MICRO = 1_000_000
_MOST_USD = 1e9
_NONE, _NO_CAP = "none", -1


class Spends(Protocol):
    """What has a budget."""

    @property
    def name(self) -> str: ...

    @property
    def spend_budget(self) -> SpendBudget: ...


S = TypeVar("S", bound=Spends)


def read_usd(_: click.Context, option: click.Parameter, value: str | None) -> int | None:
    """US dollars as whole micro-dollars, -1 for `none`; raises `click.BadParameter`."""
    if value is None:
        return None
    if value == _NONE:
        return _NO_CAP
    try:
        usd = float(value)
    except ValueError:
        usd = -1.0
    if not 0 <= usd <= _MOST_USD:
        raise click.BadParameter("write an amount in US dollars, such as 12.50, or none", param=option)
    return round(usd * _MICRO)


def budget_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a verb `daily_usd` and `monthly_usd`: micro-dollars, -1 for no cap, None for what was not said."""
    for window, word in (("monthly", "month"), ("daily", "day")):
        function = click.option(
            f"--{window}-usd",
            metavar="USD",
            callback=read_usd,
            help=f"Most that may be spent in a UTC {word}, in US dollars; `none` for no cap.",
        )(function)
    return function


def budget_of(was: SpendBudget, daily: int | None, monthly: int | None) -> SpendBudget:
    """A budget with those of its caps changed that were said."""
    return SpendBudget(
        daily_microusd=_chosen(was.daily_microusd, daily),
        monthly_microusd=_chosen(was.monthly_microusd, monthly),
    )


def settle(
    settings: Settings,
    voice: Voice,
    caps: tuple[int | None, int | None],
    *,
    find: Callable[[Office], Awaitable[S]],
    change: Callable[[Office, S, SpendBudget], Awaitable[S]],
    row: Callable[[S], dict[str, Any]],
) -> None:
    """The verb `budget`: changes the caps that were said and tells what holds now. `find` raises `OperatorError`."""

    async def work() -> S:
        async with open_office(settings) as office:
            was = await find(office)
            now = budget_of(was.spend_budget, *caps)
            return was if now == was.spend_budget else await change(office, was, now)

    found = asyncio.run(work())
    voice.tell(row(found), [line_of(found.name, found.spend_budget)])


def shown(budget: SpendBudget) -> dict[str, float | None]:
    """A budget for programs, in US dollars."""
    return {"daily_usd": _usd(budget.daily_microusd), "monthly_usd": _usd(budget.monthly_microusd)}


def line_of(name: str, budget: SpendBudget) -> str:
    """A budget for people."""
    parts = [
        f"${amount:,.2f} a {word}" if amount is not None else f"no cap for a {word}"
        for amount, word in ((_usd(budget.daily_microusd), "day"), (_usd(budget.monthly_microusd), "month"))
    ]
    return f"{name}: {', '.join(parts)}"


def line_of_caps(caps: dict[str, float | None]) -> str:
    """What `shown` gives, for a cell of a table."""
    words = (("daily_usd", "day"), ("monthly_usd", "month"))
    return (
        ", ".join(f"${amount:,.2f} a {word}" for name, word in words if (amount := caps[name]) is not None)
        or "no cap"
    )


def _chosen(was: int | None, said: int | None) -> int | None:
    if said is None:
        return was
    return None if said < 0 else said


def _usd(amount: int | None) -> float | None:
    return None if amount is None else amount / _MICRO
