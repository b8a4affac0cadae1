"""What every run of a data folder has moved over each link, whoever started it, and what runs may still move.

One small database, shared by all runs at once: bytes by interface, network and UTC day; and what is set aside
for a run that goes on. Of a run that ends without a word all that was set aside counts as moved.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from ots.session.shared_database import SharedDatabase

if TYPE_CHECKING:
    from ots.schedule.state import Budget

FILE = "link-use.db"

_DAY = 86_400.0
_KEPT = 62
"""Days: two months, since a month begins where its budget says."""

_TABLES = """
CREATE TABLE IF NOT EXISTS moved (
    link TEXT, network TEXT, day INTEGER, bytes INTEGER NOT NULL, PRIMARY KEY (link, network, day)
);
CREATE TABLE IF NOT EXISTS aside (
    run TEXT, link TEXT, bytes INTEGER NOT NULL, until REAL NOT NULL, PRIMARY KEY (run, link)
);
"""
_ADD = """
INSERT INTO moved VALUES (?, ?, ?, ?)
ON CONFLICT (link, network, day) DO UPDATE SET bytes = bytes + excluded.bytes
"""


class LinkRecordError(Exception):
    """The record can't be read or written; the message says why."""


class BeyondBudget(Exception):
    """A run does not fit into what is left of a link's month; the message says by how much."""


@dataclass(frozen=True, slots=True)
class Use:
    """Bytes of a link's month: moved, by network, and set aside for runs that go on, by run."""

    networks: Mapping[str, int] = field(default_factory=dict)
    aside: Mapping[str, int] = field(default_factory=dict)

    @property
    def moved(self) -> int:
        return sum(self.networks.values())


class LinkRecord:
    """The record of one data folder; for one thread at a time. Times are seconds since 1970."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        try:
            self._database = SharedDatabase(self._path, _TABLES)
        except (sqlite3.Error, OSError) as error:
            raise LinkRecordError(f"{self._path}: {error}") from None

    def close(self) -> None:
        self._database.close()

    def book(self, moment: float, moved: Mapping[tuple[str, str], int], run: str | None = None) -> None:
        """Adds bytes by link and network; what was set aside for `run` becomes less by them."""
        with self._writing(moment) as database:
            for (link, network), count in moved.items():
                database.execute(_ADD, (link, network, int(moment // _DAY), count))
                database.execute(
                    "UPDATE aside SET bytes = max(0, bytes - ?) WHERE run = ? AND link = ?",
                    (count, run, link),
                )

    def set_aside(
        self,
        run: str,
        wanted: Mapping[str, int | None],
        budgets: Mapping[str, Budget],
        moment: float,
        until: float,
    ) -> int | None:
        """Sets aside what a run moves over each link at most (None: nobody can say), until then.

        Returns the most that it may move in all; None where none of its links has a budget. Raises
        BeyondBudget; then nothing was set aside.
        """
        with self._writing(moment) as database:
            database.execute("DELETE FROM aside WHERE run = ?", (run,))
            limit = _left(database, wanted, budgets, moment)
            rows = [(run, link, wanted[link], until) for link in sorted(wanted.keys() & budgets.keys())]
            database.executemany("INSERT INTO aside VALUES (?, ?, ?, ?)", rows)
        return limit

    def check(self, wanted: Mapping[str, int | None], budgets: Mapping[str, Budget], moment: float) -> None:
        """Raises BeyondBudget for a run that could not set this aside now."""
        with self._writing(moment) as database:
            _left(database, wanted, budgets, moment)

    def let_go(self, run: str, moment: float) -> None:
        """A run has ended, and all that it moved is booked."""
        with self._writing(moment) as database:
            database.execute("DELETE FROM aside WHERE run = ?", (run,))

    def use(self, link: str, since: date, moment: float) -> Use:
        """What a link has moved from this day (UTC) on."""
        with self._writing(moment) as database:
            return _use(database, link, since)

    @contextmanager
    def _writing(self, moment: float) -> Iterator[sqlite3.Connection]:
        try:
            with self._database.writing() as connection:
                _settle(connection, moment)
                yield connection
        except sqlite3.Error as error:
            raise LinkRecordError(f"{self._path}: {error}") from None


def _settle(database: sqlite3.Connection, moment: float) -> None:
    """What was set aside for runs of which nobody heard any more counts as moved."""
    for link, until, count in database.execute(
        "SELECT link, until, bytes FROM aside WHERE until < ?", (moment,)
    ).fetchall():
        database.execute(_ADD, (link, "", int(until // _DAY), count))
    database.execute("DELETE FROM aside WHERE until < ?", (moment,))
    database.execute("DELETE FROM moved WHERE day < ?", (int(moment // _DAY) - _KEPT,))


def _left(
    database: sqlite3.Connection,
    wanted: Mapping[str, int | None],
    budgets: Mapping[str, Budget],
    moment: float,
) -> int | None:
    """What is left of the tightest of the budgets; None where no link has one. Raises BeyondBudget."""
    limit: int | None = None
    for link in sorted(wanted.keys() & budgets.keys()):
        budget = budgets[link]
        use = _use(database, link, budget.month(moment))
        taken = use.moved + sum(use.aside.values())
        beyond = budget.beyond(link, taken, wanted[link])
        if beyond is not None:
            raise BeyondBudget(beyond)
        left = max(0, budget.bytes - taken)
        limit = left if limit is None else min(limit, left)
    return limit


def _use(database: sqlite3.Connection, link: str, since: date) -> Use:
    first = (since - date(1970, 1, 1)).days
    networks = database.execute(
        "SELECT network, sum(bytes) FROM moved WHERE link = ? AND day >= ? GROUP BY network", (link, first)
    )
    aside = database.execute("SELECT run, bytes FROM aside WHERE link = ?", (link,))
    return Use(dict(networks.fetchall()), dict(aside.fetchall()))
