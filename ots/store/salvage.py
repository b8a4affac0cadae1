"""Saves what can still be read of a damaged database, row by row."""

from __future__ import annotations

import hashlib
import sqlite3
import zlib
from contextlib import suppress

import msgspec

from ots.model.report import Report
from ots.store.rows import put_document

_BODIES = ("document", "head", "step", "artifact", "outbox", "receipt")
_MOST_ROWS = 10_000_000
"""A row number beyond this in a damaged file is part of the damage."""


def salvage(source: sqlite3.Connection, fresh: sqlite3.Connection) -> int:
    """Copies from the damaged database into a new and empty one, inside its transaction; how many reports.

    Every row is asked for by its number, so that a damaged page costs only what it held. An index row that
    was lost is made anew from its document, and a row without a document, or with one that was changed, is
    left out.
    """
    _copy(source, fresh, "counter", "SELECT * FROM counter")
    _copy(source, fresh, "gap", "SELECT * FROM gap")
    for row in range(1, _last_row(source) + 1):
        _copy(source, fresh, "report", f"SELECT * FROM report WHERE id = {row:d}")
        if not _exists(fresh, "report", row):
            _rebuild(source, fresh, row)
        if _exists(fresh, "report", row):
            for table in _BODIES:
                _copy(source, fresh, table, f"SELECT * FROM {table} WHERE id = {row:d}")
            if not _whole(fresh, row) and not _exists(fresh, "head", row):
                fresh.execute("DELETE FROM report WHERE id = ?", (row,))
    fresh.execute(
        "INSERT INTO counter SELECT agent_id, max(seq) FROM report WHERE true GROUP BY agent_id "
        "ON CONFLICT (agent_id) DO UPDATE SET last = max(last, excluded.last)"
    )
    return int(fresh.execute("SELECT count(*) FROM report").fetchone()[0])


def _rebuild(source: sqlite3.Connection, fresh: sqlite3.Connection, row: int) -> None:
    """Makes a report's line in the index from its document."""
    with suppress(sqlite3.Error, zlib.error, msgspec.MsgspecError):
        found = source.execute("SELECT body FROM document WHERE id = ?", (row,)).fetchone()
        if found is None:
            return
        report = msgspec.json.decode(zlib.decompress(found[0]), type=Report)
        fresh.execute(
            "INSERT INTO report (id, report_id, revision, agent_id, seq, run_id, state, start, case_id, "
            "targets, bytes, stored_bytes) VALUES (?, ?, ?, ?, ?, ?, 'completed', '', '', '', 0, 0)",
            (
                row,
                report.report_id,
                report.revision,
                str(report.agent.get("agent_id", "")),
                report.seq,
                report.run.run_id,
            ),
        )
        put_document(fresh, row, report)


def _last_row(source: sqlite3.Connection) -> int:
    """The highest row that any table still knows of."""
    highest = 0
    for table in ("report", *_BODIES):
        with suppress(sqlite3.Error):
            highest = max(highest, source.execute(f"SELECT max(id) FROM {table}").fetchone()[0] or 0)
    return min(highest, _MOST_ROWS)


def _exists(database: sqlite3.Connection, table: str, row: int) -> bool:
    return database.execute(f"SELECT 1 FROM {table} WHERE id = ?", (row,)).fetchone() is not None


def _whole(database: sqlite3.Connection, row: int) -> bool:
    """Whether a report's document is there and is what was stored."""
    found = database.execute(
        "SELECT body, sha256 FROM document JOIN report USING (id) WHERE id = ?", (row,)
    ).fetchone()
    if found is None:
        return False
    try:
        return hashlib.sha256(zlib.decompress(found[0])).hexdigest() == str(found[1])
    except zlib.error:
        return False


def _copy(source: sqlite3.Connection, fresh: sqlite3.Connection, table: str, query: str) -> None:
    """Copies the rows of a query up to the first that can't be read, or doesn't fit."""
    with suppress(sqlite3.Error):
        rows = source.execute(query)
        # By name: the damaged file may be of an older format, whose tables have fewer columns.
        names = [column[0] for column in rows.description]
        insert = f"INSERT OR IGNORE INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
        for row in rows:
            fresh.execute(insert, row)
