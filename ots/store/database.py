"""The SQLite file behind the store: opening, versions, and what happens to a damaged one.

Write-ahead log with `synchronous=FULL`: a commit is on the disk when it returns, so a finished step survives
`kill -9` and a power cut. One commit for each step costs milliseconds where a step takes seconds.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from ots.store.error import Damaged, StoreError, explain, explained
from ots.store.liveness import exclusive

FILE = "store.sqlite3"
BUSY_SECONDS = 10.0
log = logging.getLogger("ots.store")

_FIRST = (
    """CREATE TABLE counter (agent_id TEXT PRIMARY KEY, last INTEGER NOT NULL)""",
    """CREATE TABLE report (
        id INTEGER PRIMARY KEY,
        report_id TEXT NOT NULL UNIQUE,
        revision INTEGER NOT NULL,
        agent_id TEXT NOT NULL,
        seq INTEGER NOT NULL,
        run_id TEXT NOT NULL,
        state TEXT NOT NULL,
        reason TEXT,
        start TEXT NOT NULL,
        duration REAL,
        case_id TEXT NOT NULL,
        targets TEXT NOT NULL,
        verdict TEXT,
        job TEXT,
        bytes INTEGER NOT NULL,
        stored_bytes INTEGER NOT NULL,
        sha256 TEXT,
        upload TEXT NOT NULL DEFAULT 'none')""",
    """CREATE INDEX report_by_start ON report (start)""",
    """CREATE INDEX report_by_seq ON report (seq)""",
    """CREATE INDEX report_running ON report (state) WHERE state = 'running'""",
    """CREATE TABLE document (
        id INTEGER PRIMARY KEY REFERENCES report ON DELETE CASCADE,
        body BLOB NOT NULL)""",
    """CREATE TABLE head (id INTEGER PRIMARY KEY REFERENCES report ON DELETE CASCADE, body BLOB NOT NULL)""",
    """CREATE TABLE step (
        id INTEGER NOT NULL REFERENCES report ON DELETE CASCADE,
        position INTEGER NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (id, position)) WITHOUT ROWID""",
    """CREATE TABLE artifact (
        id INTEGER NOT NULL REFERENCES report ON DELETE CASCADE,
        name TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        PRIMARY KEY (id, name)) WITHOUT ROWID""",
    """CREATE INDEX artifact_by_content ON artifact (sha256)""",
)

_OUTBOX = (
    """ALTER TABLE report ADD COLUMN upload_reason TEXT""",
    """UPDATE report SET upload = 'waiting' WHERE upload = 'pending'""",
    """CREATE INDEX report_unsent ON report (upload) WHERE upload IN ('waiting', 'sending', 'parked')""",
    """CREATE TABLE outbox (
        id INTEGER PRIMARY KEY REFERENCES report ON DELETE CASCADE,
        by_hand INTEGER NOT NULL,
        tries INTEGER NOT NULL DEFAULT 0,
        refusals INTEGER NOT NULL DEFAULT 0,
        next REAL NOT NULL DEFAULT 0,
        sha256 TEXT,
        body BLOB,
        signature TEXT,
        left_out TEXT)""",
    """INSERT INTO outbox (id, by_hand) SELECT id, 1 FROM report WHERE upload = 'waiting'""",
    """CREATE TABLE receipt (
        id INTEGER PRIMARY KEY REFERENCES report ON DELETE CASCADE,
        server_id TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        received_at TEXT NOT NULL,
        statement TEXT NOT NULL,
        signature TEXT NOT NULL,
        left_out TEXT NOT NULL)""",
    """CREATE TABLE gap (
        gap_id TEXT PRIMARY KEY,
        agent_id TEXT NOT NULL,
        first_seq INTEGER NOT NULL,
        last_seq INTEGER NOT NULL,
        count INTEGER NOT NULL,
        reason TEXT NOT NULL,
        noticed TEXT NOT NULL)""",
    """CREATE TABLE pause (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        failures INTEGER NOT NULL,
        until REAL NOT NULL,
        reason TEXT)""",
    """INSERT INTO pause VALUES (1, 0, 0, NULL)""",
)

_QUEUED = (
    """ALTER TABLE outbox ADD COLUMN queued TEXT""",
    """UPDATE outbox SET queued = (SELECT start FROM report WHERE report.id = outbox.id)""",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_FIRST, _OUTBOX, _QUEUED)
"""Statement lists; the n-th brings a database from version n to n + 1. Never edit one that was released."""

VERSION = len(MIGRATIONS)


def connect(folder: Path) -> sqlite3.Connection:
    """A connection that may write, to a database of the present version; makes or upgrades it if need be."""
    path = folder / FILE
    with explained(path):
        if _condemned(path).exists():
            _replace(path, "it was found damaged")
        try:
            connection = _open(path)
        except Damaged as error:
            _replace(path, str(error))
            connection = _open(path)
        try:
            _bring_up_to_date(connection, path)
        except BaseException:
            connection.close()
            raise
        return connection


def connect_read_only(folder: Path) -> sqlite3.Connection:
    """A connection that never writes, for somebody else's store."""
    path = folder / FILE
    with explained(path):
        try:
            connection = _open(path, "mode=ro")
        except StoreError:
            # Without the right to make the -shm file a log can't be read; without a log nothing needs it.
            if path.with_name(FILE + "-wal").exists():
                raise
            connection = _open(path, "mode=ro&immutable=1")
        if _version(connection) != VERSION:
            found = _version(connection)
            connection.close()
            _refuse_newer(found, path)
            raise StoreError(
                f"The report store {path} has the old format {found} and is not yours to upgrade.",
                "Let its owner run any `ots` command once.",
            )
        return connection


def condemn(path: Path) -> None:
    """Remembers that reading the file found damage, so that the next start replaces it."""
    with suppress(OSError):
        _condemned(path).touch(mode=0o600)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """All or nothing; holds the write lock from the start, so that what was read stays true."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _open(path: Path, options: str = "") -> sqlite3.Connection:
    if not options:
        # SQLite gives its side files the rights of the main one, so that one is made first and private.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    location = f"{path.absolute().as_uri()}?{options}"
    try:
        connection = sqlite3.connect(
            location, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")
            # Distributions build SQLite so that a deletion overwrites what it frees. On a full disk that is
            # one write too many: deleting must work there.
            connection.execute("PRAGMA secure_delete=FAST")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise explain(error, path) from error
    return connection


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _refuse_newer(found: int, path: Path) -> None:
    if found > VERSION:
        raise StoreError(
            f"The report store {path} has format {found}; this version of OTS knows formats up to {VERSION}.",
            "Upgrade OTS (`pip install --upgrade ots-toolkit`), or set OTS_DATA_DIR to another folder.",
        )


def _bring_up_to_date(connection: sqlite3.Connection, path: Path, *, replaces: bool = False) -> None:
    """Makes or upgrades the tables. A new store that `replaces` another learns of its queue only once what
    could be saved is in it.
    """
    found = _version(connection)
    _refuse_newer(found, path)
    if found == VERSION:
        return
    with exclusive(path.with_name("store.lock")):
        if _version(connection) == 0:
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
            connection.execute("PRAGMA journal_mode=WAL")
        with transaction(connection):
            found = _version(connection)
            _refuse_newer(found, path)
            for statements in MIGRATIONS[found:]:
                for statement in statements:
                    connection.execute(statement)
            if found == 0 and not replaces:
                from ots.store import queue_note

                queue_note.heal(connection, path.parent)  # of a store that is gone, if there was one
            connection.execute(f"PRAGMA user_version={VERSION:d}")


def _condemned(path: Path) -> Path:
    return path.with_name("store.damaged")


def _replace(path: Path, why: str) -> None:
    """Moves a damaged database aside and saves what can still be read of it into a new one."""
    with exclusive(path.with_name("store.lock")):
        if not _condemned(path).exists() and _readable(path):
            return  # another process was faster
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        aside = path.with_name(f"store.damaged-{stamp}-{os.getpid()}.sqlite3")
        for suffix in ("-wal", "-shm", ""):
            side = path.with_name(path.name + suffix)
            if side.exists():
                side.rename(aside.with_name(aside.name + suffix))
        _condemned(path).unlink(missing_ok=True)
    with closing(_open(path)) as fresh:
        _bring_up_to_date(fresh, path, replaces=True)
        saved = _salvage(aside, fresh)
    log.warning(
        "The report store %s was replaced: %s The damaged file is kept as %s; %d reports could be read and "
        "are in the new store.",
        path,
        why,
        aside,
        saved,
    )


def _readable(path: Path) -> bool:
    try:
        _open(path).close()
    except StoreError:
        return False
    return True


def _salvage(aside: Path, fresh: sqlite3.Connection) -> int:
    from ots.store import queue_note
    from ots.store.salvage import salvage

    saved = 0
    with suppress(StoreError), closing(_open(aside, "mode=ro")) as source, transaction(fresh):
        saved = salvage(source, fresh)
    with transaction(fresh):
        queue_note.heal(fresh, aside.parent)
    return saved
