"""`inferway batch`: a file of calls, whose answers go to another."""

import asyncio
import errno
import json
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import click
from msgspec import Struct

from inferway.cli.batching.calling import Caller
from inferway.cli.batching.engine import Engine
from inferway.cli.batching.lines import lines_of, lines_of_file
from inferway.cli.batching.output import Done, Output, Pipe, check_input
from inferway.cli.batching.progress import shown
from inferway.cli.batching.tally import Tally
from inferway.cli.patience import calling_options
from inferway.cli.server import find_server
from inferway.cli.spinner import Spinner
from inferway.cli.verb import Voice, examples, verb
from inferway.client import AsyncClient
from inferway.client.requests import Address, Patience
from inferway.errors import OperatorError
from inferway.settings import Settings

_STANDARD = "-"
_LONGEST_HINT_S = 120.0
_INTERRUPTED = 130


class _Way(Struct, frozen=True, kw_only=True):
    """How the calls are made; times in seconds."""

    concurrency: int
    retries: int
    timeout_s: float
    wait_s: float
    retry_failed: bool


@click.command(
    short_help="Make the calls of a file, and go on where a run was stopped.",
    epilog=examples(
        "inferway batch calls.jsonl answers.jsonl --concurrency 16",
        "inferway batch calls.jsonl answers.jsonl --retry-failed",
        "jq -c ... | inferway batch - - | jq .body.data",
    ),
)
@click.argument("source", type=click.Path(), metavar="IN")
@click.argument("target", type=click.Path(), metavar="OUT")
@click.option(
    "--concurrency", type=click.IntRange(1, 1000), default=8, show_default=True, help="Calls at once."
)
@click.option("--retry-failed", is_flag=True, help="Call again what OUT has as failed.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0.1, 86_400),
    default=150.0,
    show_default=True,
    help="Seconds to wait for one answer.",
)
@calling_options(retries=5)
@verb()
def batch(
    settings: Settings, voice: Voice, *, source: str, target: str, namespace: str | None, **way: Any
) -> None:
    """Make the call of each line of IN, and write its answer to OUT.

    A line of IN is the body of POST /v1/inference, a JSON object; it may have an `id` (or `custom_id`) of yours besides. A line of OUT has
    the number of the line, its `id`, the `status`, and the `body` or the `error`; answers are written as they come, in no other
    order. `-` is standard input or output.

    Run the same command again after a crash, Ctrl-C or a failure: what OUT holds is not called again, and what was
    under way is not paid twice. Exit status: 0 every line is answered, 1 some failed or could not be called, 130 it was
    interrupted.
    """
    chosen = _Way(**way)
    address = find_server(settings, namespace)
    with ExitStack() as stack:
        file = stack.enter_context(_opened(source, target))
        output = (
            Pipe(sys.stdout.fileno()) if target == _STANDARD else stack.enter_context(Output(Path(target)))
        )
        tally = Tally()
        with Spinner(live=voice.is_live) as spinner:
            spinner.say("reading what is there")
            done = output.look(tally, retry_failed=chosen.retry_failed)
            if stat.S_ISREG(os.fstat(file).st_mode):
                tally.total = check_input(lines_of_file(file), done)
                os.lseek(file, 0, os.SEEK_SET)
            output.begin(retry_failed=chosen.retry_failed)
        tally.begin()
        ended = asyncio.run(_work(address, chosen, voice, _Files(file, done, output, tally)))
    _tell(voice, tally, ended, to_stderr=target == _STANDARD)
    raise click.exceptions.Exit(ended.status)


class _Files(NamedTuple):
    """What goes in, what is there already, what comes out, and its sums."""

    source: int
    done: Done
    output: Output | Pipe
    tally: Tally


class _Ended(Struct, frozen=True, kw_only=True):
    """How a run ended: interrupted, or with a reason for which going on is useless, or at the input's end."""

    interrupted: bool
    reason: str | None
    failed: int

    @property
    def status(self) -> int:
        """The exit status."""
        if self.interrupted:
            return _INTERRUPTED
        return 1 if self.failed or self.reason else 0


async def _work(address: Address, way: _Way, voice: Voice, files: _Files) -> _Ended:
    tally = files.tally
    patience = Patience(retries=way.retries, longest_hint_s=_LONGEST_HINT_S)
    client = AsyncClient(address.url, address.api_key, address.namespace, timeout_s=way.timeout_s, retries=0)
    async with client, shown(tally, voice):
        caller = Caller(client, files.output.run, patience, way.wait_s)
        engine = Engine(lines_of(files.source), files.done, caller, files.output, tally)
        reason = await engine.run(way.concurrency)
    ended = _Ended(interrupted=engine.is_interrupted, reason=reason, failed=tally.failed)
    if ended.status == 0:
        files.output.forget_run()
    return ended


def _tell(voice: Voice, tally: Tally, ended: _Ended, *, to_stderr: bool) -> None:
    """The summary, where the answers are not."""
    if voice.as_json:
        told = tally.summary() | {"interrupted": ended.interrupted, "stopped": ended.reason}
        click.echo(json.dumps(told, ensure_ascii=False), err=to_stderr)
    else:
        for line in tally.lines():
            click.echo(line, err=to_stderr)
    if ended.interrupted:
        voice.note("Interrupted. The same command goes on from here.")
    elif ended.reason:
        voice.warn(f"Stopped: {ended.reason}. The same command goes on from here.")
    elif ended.failed:
        voice.note("--retry-failed calls the failed lines again.")


@contextmanager
def _opened(source: str, target: str) -> Iterator[int]:
    """The input, open for reading; raises `OperatorError`."""
    if source == _STANDARD:
        if sys.stdin.isatty():
            raise OperatorError("IN is `-`, and standard input is a terminal: pipe lines in, or name a file.")
        yield sys.stdin.fileno()
        return
    try:
        if target != _STANDARD and Path(target).exists() and Path(target).samefile(source):
            raise OperatorError(f"{target}: this is IN too. Name another file for the answers.")
        file = os.open(source, os.O_RDONLY)
        if stat.S_ISDIR(os.fstat(file).st_mode):
            os.close(file)
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    except OSError as error:
        reason = (error.strerror or "unreadable").lower()
        raise OperatorError(f"{source}: {reason}. Name a file that can be read.") from None
    try:
        yield file
    finally:
        os.close(file)
