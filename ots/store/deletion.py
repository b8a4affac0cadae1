"""Takes a report out of the store, with what nobody else needs of it."""

from __future__ import annotations

from ots.store import artifacts, gaps
from ots.store.error import StoreError
from ots.store.gaps import UNSENT, GapReason
from ots.store.ledger import Ledger


def delete_row(ledger: Ledger, row: int, why: GapReason = "deleted") -> None:
    """Deletes the report in this row of the index, if it is still there. A run in progress is refused.

    One that should have been sent and never was leaves a gap record with the reason.
    """
    with ledger.writing() as database:
        found = database.execute(
            "SELECT state, seq, agent_id, upload FROM report WHERE id = ?", (row,)
        ).fetchone()
        if found is None:
            return
        state, seq, agent_id, upload = found
        if state == "running":
            raise StoreError(f"The run of report {seq} still goes on.", "Stop it first, or wait.")
        if upload in UNSENT:
            gaps.record(database, agent_id, [seq], why)
        digests = [
            digest for (digest,) in database.execute("SELECT sha256 FROM artifact WHERE id = ?", (row,))
        ]
        database.execute("DELETE FROM report WHERE id = ?", (row,))
        artifacts.remove_unused(database, ledger.folder, digests)
