"""Keeps the store within its caps: the oldest reports go first, those that were never sent go last."""

from __future__ import annotations

import logging

from ots.clock import rfc3339
from ots.store.deletion import delete_row
from ots.store.ledger import Ledger

log = logging.getLogger("ots.store")


def prune(ledger: Ledger, *, max_bytes: float | None, max_age: float | None, now: float) -> int:
    """Deletes what is beyond the caps (bytes; seconds before `now`, a wall clock) and says how many reports.

    Age alone never deletes what waits to be sent. A run in progress is never touched.
    """
    doomed: list[int] = []
    if max_age is not None:
        rows = ledger.select(
            "SELECT id FROM report WHERE start < ? AND state != 'running' "
            "AND upload NOT IN ('waiting', 'sending', 'parked')",
            rfc3339(now - max_age),
        )
        doomed += [row for (row,) in rows]
    if max_bytes is not None:
        doomed += _beyond_size(ledger, max_bytes, set(doomed))
    for row in doomed:
        delete_row(ledger, row, "size")
    if doomed:
        log.info("deleted %d old reports to keep within the limits", len(doomed))
    return len(doomed)


def _beyond_size(ledger: Ledger, max_bytes: float, gone: set[int]) -> list[int]:
    rows = [
        (row, size)
        for row, size in ledger.select(
            "SELECT id, stored_bytes FROM report WHERE state != 'running' "
            "ORDER BY upload IN ('waiting', 'sending', 'parked'), start, id"
        )
        if row not in gone
    ]
    excess = sum(size for _row, size in rows) - max_bytes
    doomed = []
    for row, size in rows:
        if excess <= 0:
            break
        doomed.append(row)
        excess -= size
    return doomed
