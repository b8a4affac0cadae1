"""What a server has in its database, SQLite or PostgreSQL, looked at beside it or after it."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection

from ots.server.database.database import open_database

Result = TypeVar("Result")
Row = tuple[Any, ...]


def ask(url: str, statement: str, **values: Any) -> list[Row]:
    """The rows of a statement, in which `:name` stands for a value; what it changes is kept."""
    return _aside(_ask(url, statement, values))


def bodies(url: str) -> dict[tuple[str, int], bytes]:
    """The documents that a server keeps, by report and revision."""
    rows = ask(url, "SELECT report_id, revision, body FROM revision")
    found = {(report_id, revision): zlib.decompress(body) for report_id, revision, body in rows}
    assert len(found) == len(rows)
    return found


def everything(url: str) -> dict[str, bytes]:
    """All that stands in each table, texts and bytes as they are."""
    return _aside(_everything(url))


def _aside(work: Coroutine[Any, Any, Result]) -> Result:
    """In a thread of its own, for the test's may run a loop."""
    with ThreadPoolExecutor(1) as beside:
        return beside.submit(asyncio.run, work).result()


async def _ask(url: str, statement: str, values: dict[str, Any]) -> list[Row]:
    database = open_database(url)
    try:
        async with database.writing() as connection:
            result = await connection.execute(text(statement), values)
            return [tuple(row) for row in result] if result.returns_rows else []
    finally:
        await database.close()


async def _everything(url: str) -> dict[str, bytes]:
    database = open_database(url)
    try:
        async with database.one_state() as connection:
            return await connection.run_sync(_tables)
    finally:
        await database.close()


def _tables(connection: Connection) -> dict[str, bytes]:
    quoted = connection.dialect.identifier_preparer.quote
    return {
        name: b"\n".join(
            cell if isinstance(cell, bytes) else str(cell).encode()
            for row in connection.execute(text(f"SELECT * FROM {quoted(name)}"))
            for cell in row
        )
        for name in inspect(connection).get_table_names()
    }
