"""The open database of one folder, and the only way to it for all that reads or writes reports."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ots.store import database
from ots.store.error import Damaged, explained
from ots.store.folder import make_private


class Ledger:
    """One connection, used by one thread at a time; failures come out as StoreError.

    `locks` is the folder of what runs in progress have: a file held locked, a folder for files of their own.
    """

    def __init__(self, folder: Path, connection: sqlite3.Connection, *, writable: bool) -> None:
        self.folder = folder
        self.writable = writable
        self.locks = _locks(folder)
        self._connection = connection
        self._one_at_a_time = threading.RLock()

    @classmethod
    def open(cls, folder: Path) -> Ledger:
        """Opens, makes, upgrades or replaces the database; raises StoreError if that can't be done."""
        with explained(folder):
            make_private(folder)
            make_private(_locks(folder))
        return cls(folder, database.connect(folder), writable=True)

    @classmethod
    def open_read_only(cls, folder: Path) -> Ledger:
        """Opens the database of somebody else; raises StoreError if there is none or it can't be read."""
        return cls(folder, database.connect_read_only(folder), writable=False)

    def lock_of(self, run_id: str) -> Path:
        """The file that the writer of a run holds locked."""
        return self.locks / f"{run_id}.lock"

    def files_of(self, run_id: str) -> Path:
        """The folder of a run's own files while it lasts; the next start sweeps it if the run was killed."""
        return self.locks / f"{run_id}.files"

    def close(self) -> None:
        with self._one_at_a_time:
            self._connection.close()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection for this thread alone. Damage that is found is remembered for the next start."""
        place = self.folder / database.FILE
        with self._one_at_a_time:
            try:
                with explained(place):
                    yield self._connection
            except Damaged:
                database.condemn(place)
                raise

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it is on the disk at the end, or nothing."""
        with self.reading() as connection, database.transaction(connection):
            yield connection

    def select(self, statement: str, *values: object) -> Sequence[Any]:
        """All rows of a query."""
        with self.reading() as connection:
            return connection.execute(statement, values).fetchall()


def _locks(folder: Path) -> Path:
    return folder / "runs"
