"""A database of the first released form, full of rows, comes forward to the newest with all of them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext

from ots.server.database.database import Database, open_database, sqlite_url
from ots.server.database.form import all_tables
from ots.server.database.migrate import bring_up_to_date
from ots.server.database.versions import first
from tests.cloud_kit import ROOT
from tests.peers.postgres import Postgres

Rows = dict[str, list[dict[str, Any]]]


@pytest.fixture(params=["sqlite", "postgresql"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[str, Database]]:
    """The address of an empty database, and the database."""
    if request.param == "sqlite":
        url = sqlite_url(tmp_path / "server.sqlite3")
        opened = open_database(url)
        yield url, opened
        await opened.close()
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    with postgres.database() as url:
        opened = open_database(url)
        yield url, opened
        await opened.close()


def _as_first_released(connection: sa.Connection) -> Rows:
    """Makes the tables of revision 0001 with two rows in each; the rows."""
    context = MigrationContext.configure(connection)
    with Operations.context(context):
        first.upgrade()
    connection.execute(sa.text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
    connection.execute(sa.text("INSERT INTO alembic_version VALUES ('0001')"))
    released = sa.MetaData()
    released.reflect(connection)
    for table in released.sorted_tables:
        if table.name != "alembic_version":
            connection.execute(sa.insert(table), [_row(table, 1), _row(table, 2)])
    return _rows(connection)


def _row(table: sa.Table, number: int) -> dict[str, Any]:
    """A row with a value in every column; rows of the same number refer to each other."""
    return {column.name: _value(table, column, number) for column in table.columns}


def _value(table: sa.Table, column: sa.Column[Any], number: int) -> Any:
    if column.foreign_keys:
        (key,) = column.foreign_keys
        return _value(key.column.table, key.column, number)
    kind = column.type.python_type
    if kind is bytes:
        return bytes([0, 255, number])
    if kind is str:
        return f"{table.name} {column.name} {number} 数据"
    if kind is bool or (kind is int and column.name in ("must_change", "disabled", "approval", "granted")):
        return number == 1
    return kind(number)


def _rows(connection: sa.Connection) -> Rows:
    found = sa.MetaData()
    found.reflect(connection)
    return {
        table.name: [
            dict(row)
            for row in connection.execute(sa.select(table).order_by(*table.primary_key.columns)).mappings()
        ]
        for table in found.sorted_tables
        if table.name != "alembic_version"
    }


async def test_every_row_of_the_first_form_comes_forward(place: tuple[str, Database]) -> None:
    _, database = place
    async with database.writing() as connection:
        before = await connection.run_sync(_as_first_released)
    assert len(before) > 10 and all(len(rows) == 2 for rows in before.values())
    await bring_up_to_date(database)
    async with database.reading() as connection:
        after = await connection.run_sync(_rows)
        different = await connection.run_sync(
            lambda plain: compare_metadata(MigrationContext.configure(plain), all_tables())
        )
    assert different == []
    for name, rows in before.items():
        kept = [{column: row[column] for column in rows[0]} for row in after[name]]
        assert kept == rows, name


async def test_a_second_process_waits_for_the_migration(place: tuple[str, Database]) -> None:
    url, database = place
    async with database.writing() as connection:
        before = await connection.run_sync(_as_first_released)
    script = (
        "import asyncio, sys; from ots.server.database.database import open_database; "
        "from ots.server.database.migrate import bring_up_to_date; print('asks', flush=True); "
        "asyncio.run(bring_up_to_date(open_database(sys.argv[1]))); print('done', flush=True)"
    )
    async with database.migrating() as connection:
        if database.dialect == "postgresql":
            await connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": 0x07_5057})
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, url, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert child.stdout is not None
        assert await child.stdout.readline() == b"asks\n"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(child.wait()), 0.5)
        await connection.execute(sa.text("UPDATE department SET name = 'changed meanwhile'"))
    out, err = await child.communicate()
    assert (child.returncode, out) == (0, b"done\n"), err
    async with database.reading() as connection:
        after = await connection.run_sync(_rows)
    assert {row["name"] for row in after["department"]} == {"changed meanwhile"}
    assert {name: len(after[name]) for name in before} == {name: 2 for name in before}


async def test_a_table_made_anew_takes_nothing_with_it_that_refers_to_it(tmp_path: Path) -> None:
    database = open_database(sqlite_url(tmp_path / "server.sqlite3"))
    async with database.writing() as connection:
        before = await connection.run_sync(_as_first_released)
    async with database.migrating() as connection:
        await connection.run_sync(_with_longer_names)
    async with database.reading() as connection:
        after = await connection.run_sync(_rows)
        enforced = (await connection.execute(sa.text("PRAGMA foreign_keys"))).scalar()
    await database.close()
    assert after == before and enforced == 1


async def test_a_migration_that_leaves_a_row_without_its_owner_is_undone(tmp_path: Path) -> None:
    database = open_database(sqlite_url(tmp_path / "server.sqlite3"))
    async with database.writing() as connection:
        before = await connection.run_sync(_as_first_released)
    with pytest.raises(RuntimeError, match="refers to one of account"):
        async with database.migrating() as connection:
            await connection.execute(sa.text("DELETE FROM account WHERE id = 1"))
    async with database.reading() as connection:
        assert await connection.run_sync(_rows) == before
    await database.close()


def _with_longer_names(connection: sa.Connection) -> None:
    with (
        Operations.context(MigrationContext.configure(connection)) as operations,
        operations.batch_alter_table("account", recreate="always") as batch,
    ):
        batch.alter_column("name", type_=sa.String(200))
