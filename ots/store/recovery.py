"""Closes the runs whose process died, before anything else reads them."""

from __future__ import annotations

import logging
import shutil
import sqlite3
import zlib

from ots.store.ledger import Ledger
from ots.store.liveness import FileLock

log = logging.getLogger("ots.store")


def recover(ledger: Ledger) -> list[str]:
    """Closes dead runs as `aborted`, reason `killed`, and returns their report ids.

    Safe when several processes start at once: whoever gets the run's lock looks again whether it is still
    open, inside the transaction that closes it.
    """
    closed = []
    for row, report_id, run_id in ledger.select(
        "SELECT id, report_id, run_id FROM report WHERE state = 'running'"
    ):
        lock = FileLock.take(ledger.lock_of(run_id))
        if lock is None:
            continue  # its process lives
        try:
            with ledger.writing() as database:
                if _still_open(database, row):
                    _close(database, row)
                    closed.append(report_id)
            shutil.rmtree(ledger.files_of(run_id), ignore_errors=True)
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
    from ots.store.rows import put_document, read_unfinished

    try:
        report = close_killed(read_unfinished(database, row))
    except (zlib.error, msgspec.MsgspecError, LookupError) as error:
        log.warning("A run that was killed can't be read back: %s", error)
        database.execute(
            "UPDATE report SET state = 'aborted', reason = 'killed', verdict = 'error' WHERE id = ?", (row,)
        )
        return
    put_document(database, row, report)
