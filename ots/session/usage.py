"""What runs that nobody here started have used: bytes of each UTC day, when they last sent to a stranger, and
which hosts have said that they agree. One small database in the data folder, shared by all runs at once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ots.policy.issuer import IssuerKind
from ots.policy.planned import Used
from ots.policy.rule import MINUTE
from ots.session.shared_database import SharedDatabase

FILE = "policy-usage.db"

_DAY = 86_400.0
_TABLES = """
CREATE TABLE IF NOT EXISTS asked (ip TEXT PRIMARY KEY, run TEXT NOT NULL, at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS moved (kind TEXT, day INTEGER, bytes INTEGER NOT NULL, PRIMARY KEY (kind, day));
CREATE TABLE IF NOT EXISTS consent (place TEXT PRIMARY KEY, given INTEGER NOT NULL, until REAL NOT NULL);
"""


class UsageError(Exception):
    """The record can't be kept, so nothing that depends on it may run; the message says why."""


class Usage:
    """The record of one data folder; for one thread at a time. Times are seconds since 1970."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        try:
            try:
                self._database = SharedDatabase(self._path, _TABLES)
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):
                    raise
                # What it held counts for a minute and a day; a damaged record is no reason to stop for ever.
                self._path.replace(self._path.with_suffix(".damaged"))
                self._database = SharedDatabase(self._path, _TABLES)
        except (sqlite3.Error, OSError) as error:
            raise UsageError(f"{self._path}: {error}") from None

    def close(self) -> None:
        self._database.close()

    def used(self, kind: IssuerKind, moment: float) -> Used:
        """What a kind of issuer has used by this moment."""
        with self._writing() as database:
            found = database.execute(
                "SELECT bytes FROM moved WHERE kind = ? AND day = ?", (kind, int(moment // _DAY))
            ).fetchone()
            asked = dict(database.execute("SELECT ip, at FROM asked WHERE at > ?", (moment - MINUTE,)))
        return Used(found[0] if found else 0, asked)

    def meet(self, ip: str, run: str, moment: float) -> bool:
        """Notes that a run sends to a stranger; False, and nothing noted, if another did within a minute."""
        with self._writing() as database:
            row = database.execute("SELECT run, at FROM asked WHERE ip = ?", (ip,)).fetchone()
            if row is not None and row[0] != run and 0 <= moment - row[1] < MINUTE:
                return False
            database.execute("DELETE FROM asked WHERE at < ?", (moment - MINUTE,))
            database.execute("INSERT OR REPLACE INTO asked VALUES (?, ?, ?)", (ip, run, moment))
        return True

    def moved(self, kind: IssuerKind, moment: float, count: int) -> None:
        """Adds bytes to a day."""
        day = int(moment // _DAY)
        with self._writing() as database:
            database.execute("DELETE FROM moved WHERE day < ?", (day - 7,))
            database.execute(
                "INSERT INTO moved VALUES (?, ?, ?) "
                "ON CONFLICT (kind, day) DO UPDATE SET bytes = bytes + excluded.bytes",
                (kind, day, count),
            )

    def consent(self, place: str, moment: float) -> bool | None:
        """What a place has said of late; None if it was not asked."""
        with self._writing() as database:
            row = database.execute("SELECT given, until FROM consent WHERE place = ?", (place,)).fetchone()
        return bool(row[0]) if row is not None and moment < row[1] <= moment + _DAY else None

    def keep_consent(self, place: str, given: bool, moment: float, lasts: float) -> None:
        with self._writing() as database:
            database.execute("DELETE FROM consent WHERE until < ?", (moment,))
            database.execute(
                "INSERT OR REPLACE INTO consent VALUES (?, ?, ?)", (place, given, moment + lasts)
            )

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._database.writing() as connection:
                yield connection
        except sqlite3.Error as error:
            raise UsageError(f"{self._path}: {error}") from None
