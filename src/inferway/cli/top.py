"""`inferway top`: how a running server does, refreshed until it is stopped."""

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click
import msgspec

from inferway.access.credentials import FILE_NAME, find_credentials
from inferway.cli.columns import columns, terminal_width
from inferway.cli.pulse import Pulse, Row, Scrape, pulse_of, read_series
from inferway.cli.running import find_running
from inferway.cli.verb import Voice, examples, verb
from inferway.client.page import read_page
from inferway.client.reachable import ServerUnreachable
from inferway.errors import OperatorError
from inferway.settings import Settings

if TYPE_CHECKING:
    from rich.console import RenderableType

_REFUSED = (401, 403)


@click.command(
    short_help="Watch calls, latencies, errors and spend of a running server.",
    epilog=examples("inferway top", "inferway top --once --json"),
)
@click.option("--once", is_flag=True, help="Say it once, since the server started, and end.")
@click.option(
    "--every",
    "every_s",
    type=click.FloatRange(0.2, 3600),
    default=2.0,
    show_default=True,
    help="Seconds between two looks.",
)
@verb()
def top(settings: Settings, voice: Voice, *, once: bool, every_s: float) -> None:
    """Watch a running server: calls a second, latencies, errors, tokens and spend by provider and model.

    It reads /metrics with the admin key of the data folder, or of INFERWAY_URL with INFERWAY_API_KEY, which must be an admin's then.
    With --json one line is printed for each look.
    """
    server = _Server(settings)
    if once or voice.as_json:
        looks = (pulse_of(None, server.scrape()),) if once else server.pulses(every_s)
        with contextlib.suppress(KeyboardInterrupt):
            for pulse in looks:
                voice.tell({"url": server.url} | msgspec.to_builtins(pulse), _lines(server.url, pulse))
        return
    _show_live(server, every_s)


class _Server:
    """The server that is watched, and the key that may see its metrics."""

    def __init__(self, settings: Settings) -> None:
        chosen = settings.client
        credentials = find_credentials(settings.data_dir / FILE_NAME) if chosen.url is None else None
        running = find_running(settings.data_dir) if chosen.url is None else None
        self.url = chosen.url or (running.url if running else f"http://127.0.0.1:{settings.server.port}")
        given = None if chosen.api_key is None else chosen.api_key.reveal()
        key = credentials.admin_key if credentials is not None else given
        if not key:
            raise OperatorError(
                f"There is no key in {settings.data_dir}. Use the server's --data-dir, or set INFERWAY_URL and an admin's INFERWAY_API_KEY."
            )
        self._headers = {"Authorization": f"Bearer {key}", "Accept": "text/plain"}

    def scrape(self) -> Scrape:
        """The metrics now; raises `OperatorError`."""
        try:
            page = read_page(self.url.rstrip("/") + "/metrics", self._headers)
        except ServerUnreachable as error:
            raise OperatorError(f"{self.url}: {error}. Start it with `inferway serve`.") from None
        if page.status in _REFUSED:
            raise OperatorError(
                f"{self.url}: metrics need an admin key of the first organization, without scopes."
            )
        if page.status != 200:
            raise OperatorError(f"{self.url}: there are no metrics here. Is metrics.enabled off?")
        return Scrape(at_s=time.monotonic(), series=read_series(page.text))

    def pulses(self, every_s: float) -> Iterator[Pulse]:
        """One for each look, without end; the first is of the time since the server started."""
        before: Scrape | None = None
        while True:
            after = self.scrape()
            yield pulse_of(before, after)
            before = after
            time.sleep(every_s)


def _show_live(server: _Server, every_s: float) -> None:
    from rich.live import Live  # noqa: PLC0415 - takes a while to read

    try:
        with Live(screen=True, auto_refresh=False) as live:
            for pulse in server.pulses(every_s):
                live.update(_picture(server.url, pulse, live.console.width), refresh=True)
    except KeyboardInterrupt:
        return


def _picture(url: str, pulse: Pulse, width: int) -> "RenderableType":
    from rich.console import Group  # noqa: PLC0415 - takes a while to read
    from rich.text import Text  # noqa: PLC0415 - takes a while to read

    table = [Text.from_ansi(line, no_wrap=True) for line in table_of(pulse, width)]
    return Group(Text(_summary(url, pulse)), Text(), *table, Text(), Text("Ctrl-C ends this.", style="dim"))


_TITLES = (
    "provider",
    "model",
    "calls/s",
    "errors/s",
    "p50 ms",
    "p95 ms",
    "first ms",
    "tokens/s",
    "calls",
    "errors",
    "spent $",
)


_NAMES = 2
_NAME_LEAST = 18
_SPARED = ("first ms", "tokens/s", "errors/s", "p50 ms", "calls", "calls/s", "p95 ms")
"""What is left out on a narrow terminal, in this order."""


def _cells(row: Row) -> tuple[str, ...]:
    unpriced = f" +{row.unpriced_calls} unpriced" if row.unpriced_calls else ""
    return (
        row.provider,
        row.model,
        f"{row.calls_per_s:.1f}",
        f"{row.errors_per_s:.1f}",
        *(
            "-" if value is None else f"{value:.0f}"
            for value in (row.p50_ms, row.p95_ms, row.first_token_p50_ms)
        ),
        f"{row.tokens_per_s:.0f}",
        str(row.calls),
        str(row.errors),
        f"{row.spent_usd:.4f}{unpriced}",
    )


def _summary(url: str, pulse: Pulse) -> str:
    return (
        f"{url}  up {pulse.uptime_s / 60:.0f} min  {pulse.workers} workers  {pulse.inflight_calls} calls under way  "
        f"{pulse.backlog_bytes / 1024:.0f} kB of usage waiting  last {pulse.window_s:.1f} s:"
    )


def _lines(url: str, pulse: Pulse) -> list[str]:
    return [_summary(url, pulse), *table_of(pulse, terminal_width())]


def table_of(pulse: Pulse, width: int | None) -> list[str]:
    """A line for each model. Where they do not fit, whole columns are left out: a figure that is cut is another figure."""
    rows = [_cells(row) for row in (pulse.total, *pulse.rows)]
    kept = list(range(len(_TITLES)))
    for title in _SPARED:
        if width is None or _least(rows, kept) <= width:
            break
        kept.remove(_TITLES.index(title))
    head = [_TITLES[place] if place < _NAMES else f">{_TITLES[place]}" for place in kept]
    return list(columns(head, [[row[place] for place in kept] for row in rows], width=width))


def _least(rows: list[tuple[str, ...]], kept: list[int]) -> int:
    """The room that some columns take when names are as short as can be read."""
    widths = [max(map(len, (_TITLES[place], *(row[place] for row in rows)))) for place in kept]
    return sum(
        min(width, _NAME_LEAST) if place < _NAMES else width
        for place, width in zip(kept, widths, strict=True)
    ) + 2 * (len(kept) - 1)
