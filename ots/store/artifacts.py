"""Files beside the reports, each under the hash of its content, so that equal ones are kept once."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import tempfile
from collections.abc import Iterable
from pathlib import Path

from ots.store.error import explained
from ots.store.folder import make_private
from ots.store.ledger import Ledger


def add(ledger: Ledger, row: int, name: str, data: bytes) -> str:
    """Puts a file on the disk and its name into the run; returns the SHA-256 in hex."""
    digest = hashlib.sha256(data).hexdigest()
    place = path_of(ledger.folder, digest)
    with explained(place):
        make_private(place.parent.parent)
        make_private(place.parent)
        draft = _write_draft(place.parent, data)
        try:
            # Renamed inside the transaction: a deletion elsewhere can't remove the file in between.
            with ledger.writing() as database:
                draft.replace(place)
                database.execute(
                    "INSERT OR REPLACE INTO artifact VALUES (?, ?, ?, ?)", (row, name, digest, len(data))
                )
        finally:
            draft.unlink(missing_ok=True)
    return digest


def path_of(folder: Path, digest: str) -> Path:
    return folder / "artifacts" / digest[:2] / digest


def remove_unused(database: sqlite3.Connection, folder: Path, digests: Iterable[str]) -> None:
    """Inside a transaction: deletes those files that no report refers to any more."""
    for digest in digests:
        if not database.execute("SELECT 1 FROM artifact WHERE sha256 = ?", (digest,)).fetchone():
            path_of(folder, digest).unlink(missing_ok=True)


def _write_draft(folder: Path, data: bytes) -> Path:
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=".draft-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return Path(name)
