"""`inferway doctor`: checks an installation; each finding says what to do."""

import asyncio
import os
import platform
import shutil
import socket
import stat
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from inferway import __version__
from inferway.access.credentials import FILE_NAME as CREDENTIALS_FILE
from inferway.access.credentials import find_credentials
from inferway.access.keys import digest_of
from inferway.app.desk import ModelDesk, open_office
from inferway.app.inspection import count_unpriced, find_waiting
from inferway.app.resilience import failing_circuits
from inferway.app.stores import DATABASE_FILE, look_at_store
from inferway.cli.finding import Finding, fail, ok, warn
from inferway.cli.outside import look_outside
from inferway.cli.running import find_running
from inferway.cli.serve import is_configured
from inferway.cli.verb import Voice, examples, verb
from inferway.errors import GatewayError, OperatorError
from inferway.settings import Settings

_OLDEST_PLAUSIBLE_YEAR = 2026
_GB = 1_000_000_000
_MIB = 1024 * 1024
_SHOWN = 10
_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command(
    short_help="Check this installation and say what to do.", epilog=examples("inferway doctor --network")
)
@click.option(
    "--network", is_flag=True, help="Also ask each configured provider for its models, which costs nothing."
)
@verb()
def doctor(settings: Settings, voice: Voice, *, network: bool) -> None:
    """Check settings, keys, store, prices, models, providers, clock and disk, and say what to do.

    Nothing is changed and nothing is paid. Exit status 1 when something fails.
    """
    checks: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
        _program,
        _data_folder,
        _credentials,
        _store,
        _server,
        _engines,
        _models,
        _providers,
        _circuits,
        _prices,
        _backlog,
        _secrets,
        _clock,
        *((look_outside,) if network else ()),
    )
    findings = [finding for check in checks for finding in _examine(check, settings)]
    failed = any(finding.state == "fail" for finding in findings)
    lines = [
        f"{click.style(f'{each.state:5}', fg=_COLOURS[each.state])} {each.check:12} {each.message}"
        for each in findings
    ]
    voice.tell({"healthy": not failed, "findings": msgspec.to_builtins(findings)}, lines)
    if failed:
        raise click.exceptions.Exit(1)


def _examine(check: Callable[[Settings], Iterator[Finding]], settings: Settings) -> Iterator[Finding]:
    """The findings of one check: where it cannot look, that is one, and the other checks go on."""
    try:
        yield from check(settings)
    except OSError as error:
        if not error.filename:
            raise
        name = check.__name__.lstrip("_").replace("_", " ")
        yield fail(name, f"{error.filename}: {(error.strerror or 'cannot be used').lower()}")


def _program(settings: Settings) -> Iterator[Finding]:
    version = f"inferway {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    yield ok("program", version)
    yield ok("settings", str(settings.config_file or "no file; defaults and environment"))


def _data_folder(settings: Settings) -> Iterator[Finding]:
    folder = settings.data_dir
    existing = _existing(folder)
    if not existing.is_dir() or not os.access(existing, os.R_OK | os.W_OK | os.X_OK):
        yield fail("data folder", f"{existing} cannot be written. Choose another with --data-dir.")
    elif existing != folder:
        yield ok("data folder", f"{folder} is made at the first start")
    elif _open_to_others(folder):
        yield warn("data folder", f"others can look into {folder}. Run: chmod 700 {folder}")
    else:
        yield ok("data folder", str(folder))
    free = shutil.disk_usage(existing).free
    message = f"{free / _GB:.1f} GB free"
    if free < 0.1 * _GB:
        yield fail("disk", f"{message}. Make room: calls are refused when they cannot be recorded.")
    else:
        yield warn("disk", f"{message}. Models need up to 1 GB.") if free < _GB else ok("disk", message)


def _credentials(settings: Settings) -> Iterator[Finding]:
    file = settings.data_dir / CREDENTIALS_FILE
    try:
        found = find_credentials(file)
    except OperatorError as error:
        yield fail("credentials", str(error))
        return
    if found is None:
        if (settings.data_dir / DATABASE_FILE).exists():
            yield warn("credentials", "the file is gone. Make a key: inferway key create --name NAME")
        else:
            yield ok("credentials", "are made at the first start")
    elif _open_to_others(file):
        yield fail("credentials", f"others can read the keys in {file}. Run: chmod 600 {file}")
    else:
        yield ok("credentials", f"{file}, for you only")


def _store(settings: Settings) -> Iterator[Finding]:
    try:
        tables = asyncio.run(look_at_store(settings))
        if tables.revision is None:
            yield ok("store", f"{tables.database} is made at the first start")
            return
        if not tables.is_current:
            yield warn("store", f"{tables.database} has older tables. Run: inferway db upgrade")
            return
        state = asyncio.run(_state_of_key(settings))
    except OperatorError as error:
        yield fail("store", str(error))
        return
    except GatewayError as error:
        yield fail("store", f"{error.message} Look at database.url, and whether its server runs.")
        return
    yield ok("store", f"{tables.database} opens and is up to date")
    if state not in (None, "active"):
        yield warn(
            "store", f"the inference key of the credentials file is {state}. Make one: inferway key create"
        )


async def _state_of_key(settings: Settings) -> str | None:
    """What the store says of the credentials file's inference key; None when there is no file."""
    try:
        credentials = find_credentials(settings.data_dir / CREDENTIALS_FILE)
    except OperatorError:
        return None
    async with open_office(settings) as office:
        if credentials is None:
            return None
        key = await office.directory.find_key(digest_of(credentials.inference_key.encode("ascii")))
        return "unknown" if key is None else key.status(datetime.now(UTC))


def _server(settings: Settings) -> Iterator[Finding]:
    if running := find_running(settings.data_dir):
        yield ok("server", f"runs at {running.url} (process {running.pid})")
        return
    host, port = settings.server.host, settings.server.port
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except OSError as error:
        reason = (error.strerror or "unusable").lower()
        yield warn("server", f"does not run; {host}:{port}: {reason}. Use --port or --host.")
    else:
        yield ok("server", f"does not run; {host}:{port} is free")


def _engines(settings: Settings) -> Iterator[Finding]:
    if not settings.local.enabled:
        yield ok("engines", "local models are switched off")
        return
    desk = ModelDesk(settings)
    missing = sorted({package for model in desk.defaults() for package in desk.missing_packages(model)})
    if missing:
        yield warn("engines", f"{', '.join(missing)} not installed. Run: pip install 'inferway[local]'")
    else:
        yield ok("engines", "the packages of the local models are installed")


def _models(settings: Settings) -> Iterator[Finding]:
    if not settings.local.enabled:
        return
    desk = ModelDesk(settings)
    defaults = desk.defaults()
    for model in desk.list():
        if model.pulling is not None:
            yield ok("models", f"{model.id} is being pulled")
        elif model.state == "missing":
            if model.id in defaults:
                yield warn("models", f"{model.id} is not here. Run: inferway models pull {model.id}")
        elif all(report.intact for report in desk.verify(model.id)):
            yield ok("models", f"{model.id} is here, its hashes are right")
        else:
            yield fail("models", f"{model.id} is not what it should be. Run: inferway models pull {model.id}")


def _providers(settings: Settings) -> Iterator[Finding]:
    ready = [name for name, chosen in settings.providers.items() if is_configured(chosen)]
    if ready:
        yield ok("providers", f"configured: {', '.join(ready)}")
    elif settings.local.enabled:
        yield ok("providers", "none with a key; local models need none")
    else:
        yield warn("providers", "none. Set OPENAI_API_KEY, ANTHROPIC_API_KEY or GEMINI_API_KEY.")


def _circuits(settings: Settings) -> Iterator[Finding]:
    # Without a server there are none: the next one begins with every circuit closed.
    if find_running(settings.data_dir) is None:
        return
    failing = failing_circuits(settings)
    for each in failing[:_SHOWN]:
        whose = "a caller's" if each.credential == "caller" else "the operator's"
        when = f"for {each.opens_for_s:.0f} s more" if each.state == "open" else "but for one call on trial"
        yield warn(
            "circuits",
            f"{each.provider} failed {each.failures} times in a row under {whose} key and is left alone {when}. "
            "Look at its status page, and at the log.",
        )
    if not failing:
        yield ok("circuits", "no provider is left alone")


def _prices(settings: Settings) -> Iterator[Finding]:
    try:
        if not asyncio.run(look_at_store(settings)).is_current:
            return
        unpriced = asyncio.run(count_unpriced(settings))
    except (OperatorError, GatewayError):
        return
    if not unpriced:
        yield ok("prices", "every one of the last calls has a price")
    for (provider, model), count in sorted(unpriced.items(), key=lambda each: -each[1])[:_SHOWN]:
        name = f"{provider}/{model}"
        yield warn("prices", f'{count} of the last calls of {name} have no price. Set [prices."{name}"].')


def _backlog(settings: Settings) -> Iterator[Finding]:
    waiting = find_waiting(settings)
    for file in waiting.set_aside:
        yield fail("journal", f"{file} holds usage that could not be stored. Keep it and look into the log.")
    size_mb = waiting.size / 1_000_000
    if waiting.size > settings.journal.backlog_max_mb * _MIB / 2:
        yield fail(
            "journal",
            f"{size_mb:.0f} MB of usage wait for the database. Check it: calls are refused when there is no room.",
        )
    elif waiting.size and find_running(settings.data_dir) is None:
        yield warn("journal", f"{size_mb:.1f} MB of usage wait for the next start. Run: inferway serve")
    else:
        yield ok("journal", f"{size_mb:.1f} MB of usage wait for the database")


def _secrets(settings: Settings) -> Iterator[Finding]:
    files = [settings.secrets_key_file]
    if settings.config_file is not None and any(
        each.api_key or each.auth_token for each in settings.providers.values()
    ):
        files.append(settings.config_file)
    files += [
        Path(each.credentials_file).expanduser()
        for each in settings.providers.values()
        if each.credentials_file
    ]
    for file in files:
        if file.exists() and _open_to_others(file):
            yield fail("secrets", f"others can read {file}. Run: chmod 600 {file}")
    if not any(file.exists() and _open_to_others(file) for file in files):
        yield ok("secrets", "no file with secrets can be read by others")


def _clock(settings: Settings) -> Iterator[Finding]:
    now = datetime.now(UTC)
    if now.year < _OLDEST_PLAUSIBLE_YEAR:
        yield fail("clock", f"it says {now:%Y-%m-%d %H:%M} UTC, which is past. Set it: keys and TLS need it.")
        return
    database = settings.data_dir / DATABASE_FILE
    if database.exists() and database.stat().st_mtime > time.time() + 3600:
        yield warn("clock", f"it says {now:%Y-%m-%d %H:%M} UTC, and the database is from later. Check it.")
    else:
        yield ok("clock", f"{now:%Y-%m-%d %H:%M} UTC")


def _open_to_others(path: Path) -> bool:
    return bool(stat.S_IMODE(path.stat().st_mode) & 0o077)


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(each for each in (folder, *folder.parents) if each.exists())
