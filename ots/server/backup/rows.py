"""The rows of a database as files of JSON lines, and back: the same for SQLite and PostgreSQL.

The first line of a table's file is the list of its columns, every other one a row's values in that order;
bytes are base64. Tables are read as the database has them, so that neither side needs this version's form.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, LargeBinary, MetaData, Table, func, insert, inspect, select, text

from ots.server.backup.archive import BackupError

SUFFIX = ".jsonl"
_VERSION = "alembic_version"
_FETCHED = 200
_BATCH_ROWS, _BATCH_BYTES = 500, 4 << 20


def write_rows(connection: Connection, folder: Path) -> None:
    """Writes a file for each table, from one state of the data if the transaction sees one."""
    for table in _tables(connection):
        with (folder / f"{table.name}{SUFFIX}").open("x", encoding="ascii") as file:
            file.write(json.dumps([column.name for column in table.columns]) + "\n")
            found = connection.execution_options(yield_per=_FETCHED).execute(select(table))
            for row in found:
                file.write(json.dumps([_plain(value) for value in row], allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())


def read_rows(connection: Connection, folder: Path) -> None:
    """Fills the empty tables of a database from their files. Raises BackupError."""
    tables = _tables(connection)
    unknown = {path.name.removesuffix(SUFFIX) for path in folder.iterdir()} - {table.name for table in tables}
    if unknown:
        raise BackupError(f"the backup has a table {min(unknown)!r}, which its form of the database has not")
    for table in tables:
        path = folder / f"{table.name}{SUFFIX}"
        if path.exists():
            for batch in _batches(table, path):
                connection.execute(insert(table), batch)
            _count_on(connection, table)


def is_empty(connection: Connection) -> bool:
    """Whether there is no table at all."""
    return not inspect(connection).get_table_names()


def _tables(connection: Connection) -> list[Table]:
    found = MetaData()
    found.reflect(connection)
    return [table for table in found.sorted_tables if table.name != _VERSION]


def _batches(table: Table, path: Path) -> Iterator[list[dict[str, Any]]]:
    with path.open(encoding="ascii") as file:
        try:
            columns = [table.columns[name] for name in json.loads(file.readline())]
        except (KeyError, ValueError, TypeError):
            raise BackupError(f"the backup's columns of {table.name} are not those of its form") from None
        batch: list[dict[str, Any]] = []
        size = 0
        for line in file:
            values = json.loads(line)
            batch.append(
                {column.name: _typed(column, value) for column, value in zip(columns, values, strict=True)}
            )
            size += len(line)
            if len(batch) >= _BATCH_ROWS or size >= _BATCH_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch


def _plain(value: Any) -> Any:
    return base64.b64encode(value).decode("ascii") if isinstance(value, bytes | memoryview) else value


def _typed(column: Any, value: Any) -> Any:
    is_bytes = value is not None and isinstance(column.type, LargeBinary)
    return base64.b64decode(value) if is_bytes else value


def _count_on(connection: Connection, table: Table) -> None:
    """PostgreSQL numbers new rows by a counter, which has seen none of these."""
    if connection.dialect.name != "postgresql" or "id" not in table.columns:
        return
    counter = connection.execute(
        text("SELECT pg_get_serial_sequence(:name, 'id')"), {"name": f'"{table.name}"'}
    ).scalar()
    highest = connection.execute(select(func.max(table.c.id))).scalar() if counter else None
    if highest is not None:
        connection.execute(
            text("SELECT setval(:counter, :highest)"), {"counter": counter, "highest": highest}
        )
