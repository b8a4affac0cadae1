"""The ledger: every order and command is written here before anybody hears that it was taken.

It is what makes a run happen at most once: `record` says whether an order is new, and `start` lets exactly
one caller through, whatever was killed in between. One SQLite file of its own, `synchronous=FULL`. A file
that can't be read is set aside; the fresh one refuses whatever was issued before it was made, since it can't
know what the old one had seen.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import msgspec

from ots.agent.order import Order

State = Literal[
    "recorded", "started", "finished", "interrupted", "expired", "refused", "missed", "tombstoned"
]
STATES: tuple[State, ...] = get_args(State)
MOVES: dict[State, frozenset[State]] = {
    "recorded": frozenset({"started", "expired", "refused", "missed", "tombstoned"}),
    "started": frozenset({"finished", "interrupted", "refused"}),
}
"""The only moves; every state that is not named here is final."""

FILE = Path("agent") / "ledger.db"
KEPT = 48 * 3600.0
"""Seconds that an entry stays beyond its `not_after`: a repetition meets either it or its own expiry."""

_FORM = 1
_TABLES = """
CREATE TABLE entry (
    order_id TEXT PRIMARY KEY, kind TEXT NOT NULL, state TEXT NOT NULL, seq INTEGER, document BLOB,
    issued REAL NOT NULL, not_after REAL NOT NULL, recorded REAL NOT NULL, changed REAL NOT NULL,
    reason TEXT, report_id TEXT, verdict TEXT, answer BLOB, told INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX entry_state ON entry (state);
CREATE INDEX entry_untold ON entry (told, kind);
CREATE TABLE fact (name TEXT PRIMARY KEY, value REAL NOT NULL) STRICT;
"""


class LedgerError(Exception):
    """The ledger can't be written or read now; nothing may be taken on. `remedy` says what would help."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


class Recorded(NamedTuple):
    """What `record` found: whether the order is new here, and its state."""

    what: Literal["new", "known"]
    state: State


@dataclass(frozen=True, slots=True)
class Entry:
    """One order or command. `kind` is `run` or another kind of command; `order` only for runs.

    `answer` is what a command gave back, `told` whether the server has said that it knows how it ended.
    """

    order_id: str
    kind: str
    state: State
    seq: int | None
    not_after: float
    changed: float
    order: Order | None
    reason: str | None
    report_id: str | None
    verdict: str | None
    answer: Any
    told: bool


@dataclass(frozen=True, slots=True)
class Reopened:
    """What a start finds: runs that were cut off, and orders that may still start once."""

    interrupted: Sequence[Entry]
    waiting: Sequence[Order]


class Ledger:
    """The ledger of one data folder. May be used from several threads; every call is one transaction."""

    def __init__(self, path: Path, wall: Callable[[], float] = time.time) -> None:
        """Opens it, makes it where there is none, sets it aside where it is damaged. Raises LedgerError."""
        self.path = path
        self._wall = wall
        self._turn = threading.Lock()
        self._connection = self._open()

    @classmethod
    def of(cls, data_dir: Path, wall: Callable[[], float] = time.time) -> Ledger:
        """The ledger in a data folder. Raises LedgerError."""
        return cls(data_dir / FILE, wall)

    def close(self) -> None:
        self._connection.close()

    def record(self, order: Order, *, issued: float | None = None, seq: int | None = None) -> Recorded:
        """Writes an order down, durably, before anything is promised. Raises LedgerError.

        A known id keeps its state, be it the tombstone of a stop that came first. `issued` (seconds since
        1970) is when it was ordered, if not at its planned moment.
        """
        moment = issued if issued is not None else order.planned_at or order.not_before
        return self._record(
            order.order_id, "run", moment, order.not_after, seq=seq, document=msgspec.json.encode(order)
        )

    def record_command(
        self, command_id: str, kind: str, *, issued: float, not_after: float, seq: int
    ) -> Recorded:
        """Writes another command than a run down. Raises LedgerError."""
        return self._record(command_id, kind, issued, not_after, seq=seq, document=None)

    def start(self, order_id: str) -> bool:
        """True for the one caller who may start it now; False if it was started, has ended or is unknown."""
        return self._move(order_id, "started")

    def end(
        self,
        order_id: str,
        state: State,
        *,
        reason: str | None = None,
        report_id: str | None = None,
        verdict: str | None = None,
        answer: Any = None,
    ) -> bool:
        """Moves it to a final state; False where its present state does not allow that."""
        return self._move(
            order_id,
            state,
            reason=reason,
            report_id=report_id,
            verdict=verdict,
            answer=None if answer is None else msgspec.json.encode(answer),
        )

    def tombstone(self, order_id: str, *, not_after: float | None = None) -> bool:
        """It shall never start, though it may not have come yet; False if it has started or ended already."""
        now = self._wall()
        until = now + KEPT if not_after is None else not_after
        with self._writing() as connection:
            done = connection.execute(
                "INSERT INTO entry (order_id, kind, state, issued, not_after, recorded, changed)"
                " VALUES (?, 'run', 'tombstoned', ?, ?, ?, ?) ON CONFLICT (order_id) DO UPDATE"
                " SET state = 'tombstoned', changed = excluded.changed WHERE state = 'recorded'",
                (order_id, now, until, now, now),
            )
            return bool(done.rowcount)

    def close_interrupted(self) -> Reopened:
        """To be called once at the start: what was running is `interrupted` and never runs again by itself;
        what was only recorded may start once, unless it has expired.
        """
        now = self._wall()
        with self._writing() as connection:
            cut = self._rows(connection, "state = 'started'")
            connection.execute(
                "UPDATE entry SET state = 'interrupted', changed = ? WHERE state = 'started'", (now,)
            )
            connection.execute(
                "UPDATE entry SET state = 'missed', changed = ? WHERE state = 'recorded' AND kind != 'run'",
                (now,),
            )
            connection.execute(
                "UPDATE entry SET state = 'expired', changed = ? WHERE state = 'recorded' AND not_after <= ?",
                (now, now),
            )
            left = self._rows(connection, "state = 'recorded' AND kind = 'run' ORDER BY recorded")
        return Reopened(
            [replace(entry, state="interrupted") for entry in cut],
            [entry.order for entry in left if entry.order is not None],
        )

    def get(self, order_id: str) -> Entry | None:
        """What is known of an order or command."""
        with self._reading() as connection:
            return next(iter(self._rows(connection, "order_id = ?", order_id)), None)

    def waiting(self) -> list[str]:
        """The ids of orders by command that have not started."""
        with self._reading() as connection:
            rows = self._rows(connection, "state = 'recorded' AND kind = 'run' AND seq IS NOT NULL")
        return [entry.order_id for entry in rows]

    def untold(self, most: int = 200) -> list[Entry]:
        """Commands of which the server has not confirmed how they stand, the oldest first."""
        with self._reading() as connection:
            return self._rows(connection, "told = 0 AND seq IS NOT NULL ORDER BY recorded LIMIT ?", most)

    def tell(self, order_id: str) -> None:
        """The server knows how it ended."""
        with self._writing() as connection:
            connection.execute(
                "UPDATE entry SET told = 1 WHERE order_id = ? AND state NOT IN ('recorded', 'started')",
                (order_id,),
            )

    def last_seq(self) -> int:
        """The highest number of a command that was written down; 0 for none."""
        with self._reading() as connection:
            found = connection.execute("SELECT value FROM fact WHERE name = 'last_seq'").fetchone()
            return 0 if found is None else int(found[0])

    def prune(self) -> int:
        """Forgets entries whose repetition would be refused as expired anyway; returns how many."""
        before = self._wall() - KEPT
        with self._writing() as connection:
            done = connection.execute(
                "DELETE FROM entry WHERE not_after < ? AND recorded < ?"
                " AND state NOT IN ('recorded', 'started')",
                (before, before),
            )
            return done.rowcount

    def _record(
        self, order_id: str, kind: str, issued: float, not_after: float, *, seq: int | None, document: Any
    ) -> Recorded:
        now = self._wall()
        with self._writing() as connection:
            found = connection.execute("SELECT state FROM entry WHERE order_id = ?", (order_id,)).fetchone()
            if found is not None:
                if seq is not None:
                    connection.execute("UPDATE entry SET seq = ? WHERE order_id = ?", (seq, order_id))
                return Recorded("known", found[0])
            blind = connection.execute("SELECT value FROM fact WHERE name = 'blind_before'").fetchone()
            refused = blind is not None and issued < blind[0]
            state: State = "refused" if refused else "recorded"
            connection.execute(
                "INSERT INTO entry (order_id, kind, state, seq, document, issued, not_after, recorded,"
                " changed, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (order_id, kind, state, seq, document, issued, not_after, now, now,
                 "ledger-lost" if refused else None),
            )  # fmt: skip
            if seq is not None:
                connection.execute(
                    "INSERT INTO fact VALUES ('last_seq', ?) ON CONFLICT (name) DO UPDATE"
                    " SET value = max(value, excluded.value)",
                    (float(seq),),
                )
            return Recorded("new", state)

    def _move(self, order_id: str, state: State, **facts: Any) -> bool:
        before = [one for one, after in MOVES.items() if state in after]
        known = {name: value for name, value in facts.items() if value is not None}
        columns = "".join(f", {name} = ?" for name in known)
        marks = ", ".join("?" for _ in before)
        with self._writing() as connection:
            done = connection.execute(
                f"UPDATE entry SET state = ?, changed = ?{columns} WHERE order_id = ? AND state IN ({marks})",
                (state, self._wall(), *known.values(), order_id, *before),
            )
            return bool(done.rowcount)

    def _rows(self, connection: sqlite3.Connection, where: str, *values: Any) -> list[Entry]:
        return [
            _entry(row)
            for row in connection.execute(
                "SELECT order_id, kind, state, seq, not_after, changed, document, reason, report_id, verdict,"
                f" answer, told FROM entry WHERE {where}",
                values,
            )
        ]

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._turn, _explained(self.path):
            yield self._connection

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._turn, _explained(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def _open(self) -> sqlite3.Connection:
        with _explained(self.path):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                return self._connect()
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError) and "malformed" not in str(error):
                    raise
            self._set_aside()
            connection = self._connect()
            connection.execute("INSERT INTO fact VALUES ('blind_before', ?)", (self._wall(),))
            return connection

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=10, check_same_thread=False)
        try:
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "busy_timeout = 10000"):
                connection.execute(f"PRAGMA {pragma}").fetchall()
            connection.execute("BEGIN IMMEDIATE")
            form = connection.execute("PRAGMA user_version").fetchone()[0]
            if form == 0:
                for statement in filter(None, map(str.strip, _TABLES.split(";"))):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {_FORM}")
            connection.execute("COMMIT")
            if form > _FORM:
                raise LedgerError(f"{self.path} has form {form}; this OTS reads {_FORM}", "Update OTS.")
            if connection.execute("PRAGMA quick_check").fetchone()[0] != "ok":
                raise sqlite3.DatabaseError("malformed")
            connection.execute("SELECT count(*) FROM entry WHERE state = 'recorded'").fetchone()
        except BaseException:
            connection.close()
            raise
        self.path.chmod(0o600)
        return connection

    def _set_aside(self) -> None:
        mark = f".damaged-{int(self._wall())}"
        for suffix in ("", "-wal", "-shm"):
            path = self.path.with_name(self.path.name + suffix)
            with contextlib.suppress(FileNotFoundError):
                path.rename(path.with_name(path.name + mark))


def _entry(row: Any) -> Entry:
    order_id, kind, state, seq, not_after, changed, document, reason, report_id, verdict, answer, told = row
    return Entry(
        order_id=order_id,
        kind=kind,
        state=state,
        seq=seq,
        not_after=not_after,
        changed=changed,
        order=None if document is None else msgspec.json.decode(document, type=Order),
        reason=reason,
        report_id=report_id,
        verdict=verdict,
        answer=None if answer is None else msgspec.json.decode(answer),
        told=bool(told),
    )


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """What SQLite and the disk say, as a LedgerError."""
    try:
        yield
    except (sqlite3.Error, OSError, msgspec.MsgspecError) as error:
        raise LedgerError(
            f"{path} can't be used: {error}", "Free some space, or give yourself the right to write there."
        ) from error
