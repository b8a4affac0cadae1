"""The server's database: migrated it is what the tables say, and what goes wrong in it is explained."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import insert, text

from ots.server.database.database import Database, DatabaseAway, open_database, sqlite_url
from ots.server.database.form import all_tables
from ots.server.database.migrate import NewerDatabase, bring_up_to_date
from ots.server.database.tables import department
from tests.peers.postgres import Postgres


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    if request.param == "sqlite":
        opened = open_database(sqlite_url(tmp_path / "server.sqlite3"))
        yield opened
        await opened.close()
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    with postgres.database() as url:
        opened = open_database(url)
        yield opened
        await opened.close()


async def test_migrated_it_is_what_the_tables_say(database: Database) -> None:
    await bring_up_to_date(database)
    async with database.reading() as connection:
        found = await connection.run_sync(
            lambda plain: compare_metadata(MigrationContext.configure(plain), all_tables())
        )
    assert found == []


async def test_several_at_once_migrate_once(database: Database) -> None:
    await asyncio.gather(*(bring_up_to_date(database) for _ in range(4)))
    await bring_up_to_date(database)
    async with database.reading() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM alembic_version"))).scalar() == 1


async def test_a_newer_database_is_left_alone(database: Database) -> None:
    await bring_up_to_date(database)
    async with database.writing() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(NewerDatabase, match="9999"):
        await bring_up_to_date(database)


async def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    await bring_up_to_date(database)
    with pytest.raises(RuntimeError, match="in between"):
        async with database.writing() as connection:
            await connection.execute(insert(department).values(number="1", name="one"))
            raise RuntimeError("in between")
    async with database.reading() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM department"))).scalar() == 0


async def test_many_writers_at_once_are_none_of_them_refused(database: Database) -> None:
    await bring_up_to_date(database)

    async def write(number: int) -> None:
        async with database.writing() as connection:
            await connection.execute(insert(department).values(number=str(number), name="x"))

    await asyncio.gather(*(write(number) for number in range(50)))
    async with database.reading() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM department"))).scalar() == 50


async def test_a_database_that_is_not_there(tmp_path: Path) -> None:
    for url in (sqlite_url(tmp_path / "no" / "folder" / "x"), "postgresql://ots:x@127.0.0.1:1/none"):
        opened = open_database(url)
        with pytest.raises(DatabaseAway):
            await opened.answers()
        await opened.close()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("/postgres", "/nothing"), "does not exist"),
        (("ots:", "nobody:"), "authentication failed"),
        (("ots:", "ots:x"), "authentication failed"),
    ],
)
async def test_a_postgresql_that_lets_nobody_in(
    postgres: Postgres, change: tuple[str, str], said: str
) -> None:
    opened = open_database(postgres.url("postgres").replace(*change))
    with pytest.raises(DatabaseAway, match=said):
        await opened.answers()
    await opened.close()


_SHUTTING_DOWN = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is shutting down\0\0"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"E" + (len(_SHUTTING_DOWN) + 4).to_bytes(4, "big") + _SHUTTING_DOWN, "shutting down"),
        (b"", "in the middle of operation"),
    ],
)
async def test_a_postgresql_that_goes_while_somebody_connects(answer: bytes, said: str) -> None:
    """It lets the connection begin (no TLS, please), and then it ends."""

    async def go(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(8)
        writer.write(b"N")
        await reader.read(4096)
        writer.write(answer)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(go, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        opened = open_database(f"postgresql://ots:x@127.0.0.1:{port}/ots")
        with pytest.raises(DatabaseAway, match=said):
            await opened.answers()
        await opened.close()


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "server.sqlite3"
    path.write_bytes(b"this is no database at all, by no means" * 100)
    opened = open_database(sqlite_url(path))
    with pytest.raises(DatabaseAway, match="not a database"):
        await bring_up_to_date(opened)
    await opened.close()
