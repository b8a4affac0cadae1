"""Closes the runs whose process died, before anything else reads them."""

from __future__ import annotations

import logging
import sqlite3
import zlib
from typing import TYPE_CHECKING

from ots.store.liveness import FileLock

if TYPE_CHECKING:
    from ots.model.report import Report
    from ots.store.store import Store

log = logging.getLogger("ots.store")


def recover(store: Store) -> list[str]:
    """Closes dead runs as `aborted`, reason `killed`, and returns their report ids.

    Safe when several processes start at once: whoever gets the run's lock looks again whether it is still
    open, inside the transaction that closes it.
    """
    closed = []
    for row, report_id, run_id in store.select(
        "SELECT id, report_id, run_id FROM report WHERE state = 'running'"
    ):
        lock = FileLock.take(store.locks / f"{run_id}.lock")
        if lock is None:
            continue  # its process lives
        try:
            with store.writing() as database:
                if _still_open(database, row):
                    _close(database, row)
                    closed.append(report_id)
        finally:
            lock.release(remove=True)
    if closed:
        log.info("closed %d runs whose process had died: %s", len(closed), ", ".join(closed))
    return closed


def _still_open(database: sqlite3.Connection, row: int) -> bool:
    found = database.execute("SELECT state FROM report WHERE id = ?", (row,)).fetchone()
    return found is not None and found[0] == "running"


def _close(database: sqlite3.Connection, row: int) -> None:
    """Writes the document of a dead run. What can't be read of it stays as it is and is not tried again."""
    import msgspec

    from ots.store.document import close_killed
    from ots.store.writer import put_document

    try:
        report = close_killed(read_unfinished(database, row))
    except (zlib.error, msgspec.MsgspecError, LookupError) as error:
        log.warning("A run that was killed can't be read back: %s", error)
        database.execute(
            "UPDATE report SET state = 'aborted', reason = 'killed', verdict = 'error' WHERE id = ?", (row,)
        )
        return
    put_document(database, row, report)


def read_unfinished(database: sqlite3.Connection, row: int) -> Report:
    """The report of a run in progress, as far as it was written."""
    from ots.store.document import compose

    found = database.execute("SELECT body FROM head WHERE id = ?", (row,)).fetchone()
    if found is None:
        raise LookupError("its head is gone")
    steps = database.execute("SELECT body FROM step WHERE id = ? ORDER BY position", (row,)).fetchall()
    return compose(found[0], [body for (body,) in steps])
