"""The PostgreSQL of the tests: two forms of address, a database for each test, and nothing left behind."""

from __future__ import annotations

import asyncpg  # type: ignore[import-untyped]
import psutil
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from tests.peers.dovecot import open_folder
from tests.peers.postgres import Postgres, postgres_server


async def scalar(url: str, statement: str) -> object:
    """The first figure of what a statement returns; None if it returns nothing."""
    engine = create_async_engine(url)
    try:
        async with engine.begin() as connection:
            result = await connection.execute(text(statement))
            return result.scalar() if result.returns_rows else None
    finally:
        await engine.dispose()


async def test_both_forms_of_its_address_reach_the_same_database(postgres: Postgres) -> None:
    name = postgres.create()
    try:
        for url, over_socket in ((postgres.url(name), False), (postgres.socket_url(name), True)):
            assert await scalar(url, "SELECT current_database()") == name
            assert await scalar(url, "SELECT inet_server_addr() IS NULL") is over_socket
        with pytest.raises(Exception, match="password authentication failed"):
            await scalar(postgres.url(name).replace(postgres.password, "guessed"), "SELECT 1")
    finally:
        postgres.drop(name)


@pytest.mark.parametrize("turn", ["one", "the next"])
async def test_each_test_finds_its_database_empty(postgres_url: str, turn: str) -> None:
    assert await scalar(postgres_url, "SELECT to_regclass('left_behind')") is None
    await scalar(postgres_url, f"CREATE TABLE left_behind AS SELECT '{turn}' AS turn")
    assert await scalar(postgres_url, "SELECT turn FROM left_behind") == turn


async def test_a_template_gives_its_tables_to_copies_that_then_part(postgres: Postgres) -> None:
    model = postgres.create()
    try:
        postgres.sql("CREATE TABLE kept AS SELECT 7 AS figure", model)
        with postgres.database(model) as one, postgres.database(model) as other:
            await scalar(one, "UPDATE kept SET figure = 8 RETURNING figure")
            assert await scalar(other, "SELECT figure FROM kept") == 7
    finally:
        postgres.drop(model)


async def test_it_ends_with_a_client_still_connected_is_never_root_and_leaves_nothing() -> None:
    with open_folder("pg") as folder:
        with postgres_server(folder) as server:
            client = await asyncpg.connect(
                host="127.0.0.1", port=server.port, user="ots", password=server.password, database="postgres"
            )
            assert await client.fetchval("SELECT 1") == 1
            master = psutil.Process(int((server.folder / "data/postmaster.pid").read_text().split()[0]))
            family = [master, *master.children(recursive=True)]
            assert all(process.uids().effective != 0 for process in family)
        client.terminate()
        assert not [process for process in family if process.is_running()]
    assert not folder.exists()
