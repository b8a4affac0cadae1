"""One database for reading and writing, SQLite or PostgreSQL, and what its failures mean.

SQLite: write-ahead log, `synchronous=FULL` (a commit is on the disk when it returns), every writing
transaction takes the write lock at its start, and one at a time does, so that none is refused for being busy.
PostgreSQL: a pool; transactions at its default isolation.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from sqlalchemy import event, make_url, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

_BUSY_SECONDS = 10
_ORDER = 0x07_5058
"""The PostgreSQL advisory lock of `one_at_a_time`."""

_POOL = 10
_FULL = ("disk is full", "no space left", "disk i/o error", "53100")
_DAMAGED = ("malformed", "not a database")
_AWAY = ("08", "57P", "28000", "28P01", "3D000", "53300")
"""How the SQLSTATEs of PostgreSQL begin that say it can't be had: no connection, shutting down or not up yet,
no such user, another password, no such database, too many connections. A driver that is told so while it
connects counts the connection as never made, so it is not only the invalidated ones that are gone."""
_CROSSED = ("40p01", "40001")
"""PostgreSQL's states for a transaction that it undid because another one was in its way."""


class DatabaseAway(Exception):
    """The database can't be reached, or answers too late; a repetition may help."""


class DatabaseFull(Exception):
    """There is no room to write."""


class Database:
    """Transactions. `dialect` is `sqlite` or `postgresql`; `waited` hears how many seconds each of
    them waited for its connection.
    """

    def __init__(self, reader: AsyncEngine, writer: AsyncEngine) -> None:
        self._reader = reader
        self._writer = writer
        self.dialect = writer.dialect.name
        self._turn = asyncio.Lock() if self.dialect == "sqlite" else None
        self.waited: Callable[[float], None] = lambda _seconds: None

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection that sees one state of the data. Raises DatabaseAway."""
        began = time.perf_counter()
        with explained():
            async with self._reader.connect() as connection:
                self.waited(time.perf_counter() - began)
                yield connection

    @contextlib.asynccontextmanager
    async def one_state(self) -> AsyncIterator[AsyncConnection]:
        """A connection of which all queries see the data as of one moment. Raises DatabaseAway."""
        with explained():
            async with self._reader.connect() as connection:
                if self.dialect == "postgresql":
                    await connection.execution_options(
                        isolation_level="REPEATABLE READ", postgresql_readonly=True
                    )
                async with connection.begin():
                    yield connection

    @contextlib.asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction: committed, durably, when the block ends; undone if it raises.

        Raises DatabaseAway or DatabaseFull; then nothing was written.
        """
        began = time.perf_counter()
        async with self._turn or contextlib.nullcontext():
            with explained():
                async with self._writer.begin() as connection:
                    self.waited(time.perf_counter() - began)
                    yield connection

    @contextlib.asynccontextmanager
    async def migrating(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that may rebuild tables. Raises DatabaseAway or DatabaseFull.

        SQLite changes a column by making its table anew, and dropping the old one would take every row with
        it that refers to it; so keys are not enforced meanwhile, but all of them are checked before the end.
        """
        if self.dialect != "sqlite":
            async with self.writing() as connection:
                yield connection
            return
        assert self._turn is not None
        async with self._turn:
            with explained():
                async with (
                    self._writer.connect() as connection,
                    _keys_not_enforced(connection),
                    connection.begin(),
                ):
                    yield connection
                    await _check_keys(connection)

    @contextlib.asynccontextmanager
    async def listening(self, channel: str, hear: Callable[[str], None]) -> AsyncIterator[asyncio.Event]:
        """Hears what is notified on a channel of PostgreSQL; the event says that the connection is gone.

        The connection is none of the pool's. Raises DatabaseAway.
        """
        engine = create_async_engine(self._writer.url, poolclass=NullPool)
        gone = asyncio.Event()
        try:
            with explained():
                async with engine.connect() as connection:
                    driver: Any = (await connection.get_raw_connection()).driver_connection
                    await driver.add_listener(channel, lambda *heard: hear(heard[-1]))
                    driver.add_termination_listener(lambda _driver: gone.set())
                    yield gone
        finally:
            await engine.dispose()

    async def answers(self) -> None:
        """Raises DatabaseAway if it doesn't."""
        async with self.reading() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        await self._reader.dispose()
        await self._writer.dispose()


def open_database(url: str) -> Database:
    """The database at a URL: `sqlite:///path` or `postgresql://…`; nothing is connected yet."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        location = parsed.set(drivername="sqlite+aiosqlite")
        return Database(_sqlite(location, "BEGIN"), _sqlite(location, "BEGIN IMMEDIATE"))
    location = parsed.set(drivername="postgresql+asyncpg")
    engine = create_async_engine(
        location, pool_size=_POOL, max_overflow=0, pool_timeout=5, pool_pre_ping=True
    )
    return Database(engine, engine)


async def one_at_a_time(connection: AsyncConnection) -> None:
    """From here to the end of the transaction no other one that asked for this goes on.

    For what must follow an order: the audit trail, serial numbers. In SQLite every writer is alone anyway.
    """
    if connection.dialect.name == "postgresql":
        await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _ORDER})


async def alone(connection: AsyncConnection, lock: int) -> bool:
    """Whether no other transaction is at what this lock is for, until this one ends. In SQLite every writer
    is alone anyway."""
    if connection.dialect.name != "postgresql":
        return True
    asked = await connection.execute(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": lock})
    return bool(asked.scalar())


def sqlite_url(path: Path) -> str:
    return f"sqlite:///{path.absolute()}"


@contextlib.asynccontextmanager
async def _keys_not_enforced(connection: AsyncConnection) -> AsyncIterator[None]:
    """Must stand around the transaction: SQLite takes the word only outside of one."""
    driver = (await connection.get_raw_connection()).driver_connection
    assert driver is not None
    await driver.execute("PRAGMA foreign_keys=OFF")
    try:
        yield
    finally:
        await driver.execute("PRAGMA foreign_keys=ON")


async def _check_keys(connection: AsyncConnection) -> None:
    broken = (await connection.execute(text("PRAGMA foreign_key_check"))).first()
    if broken is not None:
        raise RuntimeError(f"a row of {broken[0]} refers to one of {broken[2]} that is not there")


def _sqlite(location: Any, begin: str) -> AsyncEngine:
    engine = create_async_engine(
        location,
        pool_size=5,
        max_overflow=0,
        connect_args={"timeout": _BUSY_SECONDS, "isolation_level": None},
    )

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def open_transaction(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    return engine


@contextlib.contextmanager
def explained() -> Any:
    """Turns what drivers raise into DatabaseAway and DatabaseFull; a fault of ours stays what it is."""
    try:
        yield
    except (OSError, TimeoutError) as error:
        raise DatabaseAway(str(error)) from error
    except (OperationalError, InterfaceError) as error:
        raise _meaning(error) from error
    except DBAPIError as error:
        away = str(getattr(error.orig, "sqlstate", None)).startswith(_AWAY)
        known = (*_FULL, *_DAMAGED, *_CROSSED)
        if error.connection_invalidated or away or _says(error, known):
            raise _meaning(error) from error
        raise
    except SQLAlchemyError as error:
        if type(error).__name__ == "TimeoutError":
            raise DatabaseAway("no connection became free") from error
        raise


def _meaning(error: DBAPIError) -> Exception:
    if _says(error, _FULL):
        return DatabaseFull(str(error.orig))
    return DatabaseAway(str(error.orig))


def _says(error: DBAPIError, words: tuple[str, ...]) -> bool:
    said = f"{error.orig} {getattr(error.orig, 'sqlstate', '')}".lower()
    return any(word in said for word in words)
