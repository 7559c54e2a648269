"""One PostgreSQL database over asyncpg: a small pool, and no wait without an end."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Literal, TypeVar, cast
from urllib.parse import urlsplit

import asyncpg

from inferway.errors import StoreUnavailable
from inferway.store.errors import StoreError
from inferway.store.migrations.revisions import CURRENT, VERSION_TABLE, is_current, statements
from inferway.store.postgres.outage import Outage
from inferway.store.postgres.texts import from_text, to_text
from inferway.store.work import Ask, Each, Fill, Merge, Row, Step, Taken, Work

_log = logging.getLogger("inferway.store")
T = TypeVar("T")

_LONG_S = 30.0
"""What a statement gets that reads or writes much. Whatever takes longer in the server is ended by the server."""
_LOCK = 0x49465731
"""The number of the advisory lock that whoever changes the tables holds."""
_ARRAYS: dict[Literal["text", "integer", "real", "blob"], str] = {
    "text": "text[]",
    "integer": "bigint[]",
    "real": "double precision[]",
    "blob": "bytea[]",
}
_HAS_TABLE = (
    # Asked of the catalogue itself: what a connection remembers of names may be older than the lock that it waited for.
    "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_tables WHERE tablename = $1 AND schemaname = ANY (current_schemas(false)))"
)
_SERVER_SETTINGS = {
    "application_name": "inferway",
    "statement_timeout": f"{int(_LONG_S * 1000)}",
    "idle_in_transaction_session_timeout": f"{int(_LONG_S * 1000)}",
    # To compile a statement takes longer than any of ours runs.
    "jit": "off",
    # The server notices within a minute that a machine has gone, and lets go of what it held.
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}
_FAILURES = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
_NEVER_TAKEN = (
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.DataError,
    asyncpg.ProgramLimitExceededError,
)
"""What is wrong with the values themselves: the same again would be refused again, however long one waits."""
_OURS_TO_MEND = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.ClientConfigurationError,
)


class PostgresDatabase:
    """The `SqlDatabase` behind a URL. Nothing is connected before it is needed.

    `timeout_s` bounds every statement and transaction, the wait for a connection included; a connection on which it ran out is dropped.
    While the server does not answer, most callers are told so at once.
    """

    def __init__(self, url: str, *, connections: int = 4, timeout_s: float = 3.0) -> None:
        _check(url)
        self._url, self._connections, self._timeout_s = url, connections, timeout_s
        self._pool: asyncpg.Pool | None = None
        self._making = asyncio.Lock()
        self._outage = Outage(timeout_s)

    @property
    def name(self) -> str:
        """Where it is, without user and password."""
        parts = urlsplit(self._url)
        return f"postgresql://{parts.netloc.rpartition('@')[2]}{parts.path}"

    async def find_revision(self) -> str | None:
        """The revision of the tables; None when there are none. Raises `StoreError` and `StoreUnavailable`."""
        try:
            return await self._run(self._revision, self._timeout_s)
        except StoreUnavailable as error:
            self._explain(error.__cause__)
            raise

    async def bring_up_to_date(self) -> None:
        """Makes the tables, or changes them to the newest revision; of several that do it at once one does.

        Raises `StoreError` for a database that is newer than this program or cannot be opened, and `StoreUnavailable`.
        """
        found = await self.find_revision()
        if found is not None and is_current(found, self.name):
            return
        try:
            await self._run(self._upgrade, _LONG_S)
        except StoreUnavailable as error:
            self._explain(error.__cause__)
            raise

    async def select(self, text: str, *values: Any) -> Sequence[Row]:
        """See `SqlDatabase`."""
        return await self._run(lambda connection: _ask(connection, Ask(text, values)), self._timeout_s)

    async def report(self, questions: Sequence[Ask]) -> list[Row]:
        """See `SqlDatabase`."""

        async def answers(connection: asyncpg.Connection) -> list[Row]:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                return [row for each in questions for row in await _ask(connection, each)]

        return await self._run(answers, _LONG_S)

    async def change(self, work: Work[T]) -> T:
        """See `SqlDatabase`."""
        return await self._run(lambda connection: _do(connection, work), self._timeout_s)

    async def fill(self, work: Work[T]) -> T:
        """See `SqlDatabase`."""
        return await self._run(lambda connection: _do(connection, work), _LONG_S)

    async def aclose(self) -> None:
        """See `SqlDatabase`."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            async with asyncio.timeout(1.0):
                await pool.close()
        except _FAILURES:
            pool.terminate()

    async def _revision(self, connection: asyncpg.Connection) -> str | None:
        if not await connection.fetchval(_HAS_TABLE, VERSION_TABLE):
            return None
        return str(await connection.fetchval(CURRENT))

    async def _upgrade(self, connection: asyncpg.Connection) -> None:
        async with connection.transaction():
            await connection.execute(f"SELECT pg_advisory_xact_lock({_LOCK})")
            found = await self._revision(connection)
            if found is not None and is_current(found, self.name):
                return
            for statement in statements("postgresql", found):
                await connection.execute(statement)

    async def _run(self, use: Callable[[asyncpg.Connection], Awaitable[T]], timeout_s: float) -> T:
        if not self._outage.allows():
            raise _unavailable()
        try:
            async with asyncio.timeout(timeout_s), self._connection() as connection:
                answer = await use(connection)
        except asyncpg.UniqueViolationError:
            raise Taken from None
        except _NEVER_TAKEN:
            raise
        except _FAILURES as error:
            self._failed(error)
            raise _unavailable() from error
        if self._outage.answered():
            _log.warning("the database is back")
        return answer

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection of the pool. One that did not answer in time is dropped, without asking it to cancel what it does."""
        pool = await self._require_pool()
        connection = await pool.acquire()
        try:
            yield connection
        except asyncio.CancelledError:
            connection.terminate()
            raise
        finally:
            await pool.release(connection)

    async def _require_pool(self) -> asyncpg.Pool:
        async with self._making:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._url,
                    min_size=0,
                    max_size=self._connections,
                    timeout=self._timeout_s,
                    # Without it each release asks the server to forget what nobody set.
                    reset=_nothing,
                    server_settings=_SERVER_SETTINGS,
                )
            return self._pool

    def _failed(self, error: Exception) -> None:
        if not _is_there(error):
            if self._outage.failed():
                _log.warning("the database is away: %s", _reason(error))
        elif not isinstance(error, asyncpg.UndefinedTableError):
            # Tables that are missing are about to be made.
            _log.error("the database refuses: %s", _reason(error))

    def _explain(self, error: BaseException | None) -> None:
        """Raises `StoreError` for what does not go away by waiting."""
        if isinstance(error, _OURS_TO_MEND):
            raise StoreError(
                f"{self.name}: {_reason(error)}. Check database.url and the rights of its user."
            ) from None


async def _nothing(_: asyncpg.Connection) -> None:
    return


def _check(url: str) -> None:
    """Raises `StoreError`, which repeats nothing of the URL, as it may hold a password."""
    try:
        parts = urlsplit(url)
        # Several hosts may stand there, each with a port: asking for one raises for what is no number.
        ports = [urlsplit(f"//{host}").port for host in parts.netloc.rpartition("@")[2].split(",")]
        usable = parts.scheme in ("postgresql", "postgres") and 0 not in ports
    except ValueError:
        usable = False
    if not usable:
        raise StoreError(
            "database.url: expected postgresql://user:password@host:port/name; see the settings."
        )


def _unavailable() -> StoreUnavailable:
    return StoreUnavailable("The database cannot be used right now.", retry_after_s=5)


def _is_there(error: Exception) -> bool:
    """The server is there and refused what it was asked, such as a statement that took too long."""
    has_answered = isinstance(error, asyncpg.PostgresError) and not isinstance(
        error,
        asyncpg.PostgresConnectionError
        | asyncpg.InsufficientResourcesError
        | asyncpg.OperatorInterventionError,
    )
    return has_answered or isinstance(error, asyncpg.QueryCanceledError)


def _reason(error: BaseException) -> str:
    return (str(error) or type(error).__name__).partition("\n")[0]


async def _do(connection: asyncpg.Connection, work: Work[T]) -> T:
    """Runs a work to its end in a transaction, sending it the rows of each statement."""
    rows: Sequence[Row] | None = None
    async with connection.transaction():
        while True:
            try:
                # The first value that a generator is sent must be None.
                step = work.send(cast("Sequence[Row]", rows))
            except StopIteration as ended:
                return cast("T", ended.value)
            rows = await _ask(connection, step)


async def _ask(connection: asyncpg.Connection, step: Step) -> Sequence[Row]:
    if isinstance(step, Ask):
        return from_text(await connection.fetch(step.text, *to_text(step.values)))
    if isinstance(step, Each):
        await connection.executemany(step.text, [to_text(row) for row in step.rows])
        return ()
    values = zip(*step.rows, strict=True) if step.rows else ([] for _ in step.columns)
    kinds = step.columns.values()
    columns = [to_text(each) if kind == "text" else each for kind, each in zip(kinds, values, strict=True)]
    done = await connection.execute(_fill_text(step), *columns)
    return ((int(done.rpartition(" ")[2]),),)


def _fill_text(step: Fill | Merge) -> str:
    """One statement for all rows: a list of values for each column."""
    arrays = ", ".join(f"${number}::{_ARRAYS[kind]}" for number, kind in enumerate(step.columns.values(), 1))
    rule = step.rule if isinstance(step, Merge) else f"ON CONFLICT ({step.key}) DO NOTHING"
    # Names of our own tables and columns.
    return f"INSERT INTO {step.table} ({', '.join(step.columns)}) SELECT * FROM unnest({arrays}) {rule}"  # noqa: S608
