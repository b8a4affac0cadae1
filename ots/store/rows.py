"""Between a report and its rows in the database, within a transaction of the caller.

Reaches the model's codec through `document`, so it is imported where a report is really written or read.
"""

from __future__ import annotations

import hashlib
import sqlite3

from ots.model.report import Report
from ots.store.document import compose, encode, pack, targets_of


def put_document(database: sqlite3.Connection, row: int, report: Report) -> bytes:
    """The document replaces head and steps, and the index follows it."""
    document = encode(report)
    body = pack(document)
    database.execute("INSERT OR REPLACE INTO document VALUES (?, ?)", (row, body))
    database.execute("DELETE FROM step WHERE id = ?", (row,))
    database.execute("DELETE FROM head WHERE id = ?", (row,))
    (artifact_bytes,) = database.execute(
        "SELECT coalesce(sum(bytes), 0) FROM artifact WHERE id = ?", (row,)
    ).fetchone()
    database.execute(
        "UPDATE report SET revision = ?, state = ?, reason = ?, start = ?, duration = ?, case_id = ?, "
        "targets = ?, verdict = ?, job = ?, bytes = ?, stored_bytes = ?, sha256 = ? WHERE id = ?",
        (
            report.revision,
            report.run.state,
            report.run.reason,
            report.run.start,
            report.run.duration,
            report.case.id,
            targets_of(report),
            report.verdict,
            report.job.id,
            len(document),
            len(body) + artifact_bytes,
            hashlib.sha256(document).hexdigest(),
            row,
        ),
    )
    return document


def read_unfinished(database: sqlite3.Connection, row: int) -> Report:
    """The report of a run in progress, as far as it was written."""
    found = database.execute("SELECT body FROM head WHERE id = ?", (row,)).fetchone()
    if found is None:
        raise LookupError("its head is gone")
    steps = database.execute("SELECT body FROM step WHERE id = ? ORDER BY position", (row,)).fetchall()
    return compose(found[0], [body for (body,) in steps])
