"""Takes a report out of the store, with what nobody else needs of it."""

from __future__ import annotations

from ots.store import artifacts
from ots.store.error import StoreError
from ots.store.ledger import Ledger


def delete_row(ledger: Ledger, row: int) -> None:
    """Deletes the report in this row of the index, if it is still there. A run in progress is refused."""
    with ledger.writing() as database:
        found = database.execute("SELECT state, seq FROM report WHERE id = ?", (row,)).fetchone()
        if found is None:
            return
        if found[0] == "running":
            raise StoreError(f"The run of report {found[1]} still goes on.", "Stop it first, or wait.")
        digests = [
            digest for (digest,) in database.execute("SELECT sha256 FROM artifact WHERE id = ?", (row,))
        ]
        database.execute("DELETE FROM report WHERE id = ?", (row,))
        artifacts.remove_unused(database, ledger.folder, digests)
