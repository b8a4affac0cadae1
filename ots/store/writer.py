"""Writes one run while it happens: first the head, then each step as it ends, at last the document."""

from __future__ import annotations

import shutil
import sqlite3
from types import TracebackType
from typing import Literal

from ots.model.report import Report, Step
from ots.store import artifacts, queue_note
from ots.store.document import pack_head, pack_step
from ots.store.folder import make_private
from ots.store.ledger import Ledger
from ots.store.liveness import FileLock
from ots.store.outbox import put_on_queue
from ots.store.rows import put_document


class RunWriter:
    """The one writer of a run in progress.

    Every method returns when its data is on the disk, and raises StoreError if it can't be put there. They
    wait for the disk: call them beside the event loop (`asyncio.to_thread`) while something is measured. If
    the process dies, the next start closes the run with what was written up to then.
    """

    def __init__(self, ledger: Ledger, lock: FileLock, row: int, report: Report) -> None:
        self._ledger = ledger
        self._lock = lock
        self._row = row
        self.report_id = report.report_id
        self.seq = report.seq
        self.workdir = ledger.files_of(report.run.run_id)
        """A folder for the run's own files; gone with the run."""

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def step(self, position: int, step: Step) -> None:
        """Stores a step that has ended; a step of the same position is replaced."""
        body = pack_step(step)
        with self._ledger.writing() as database:
            database.execute("INSERT OR REPLACE INTO step VALUES (?, ?, ?)", (self._row, position, body))

    def head(self, report: Report) -> None:
        """Stores everything but the steps anew: contexts, notes, state."""
        body = pack_head(report)
        with self._ledger.writing() as database:
            database.execute("INSERT OR REPLACE INTO head VALUES (?, ?)", (self._row, body))

    def artifact(self, name: str, data: bytes) -> str:
        """Keeps a file beside the report and returns its SHA-256 in hex."""
        return artifacts.add(self._ledger, self._row, name, data)

    def finish(self, report: Report) -> bytes:
        """Puts the final document in the place of head and steps, in one transaction, and ends the run.

        Returns the bytes that were stored: the canonical form of the report.
        """
        if report.run.state not in ("completed", "aborted"):
            raise ValueError(f"a run that is {report.run.state} has not finished")
        with self._ledger.writing() as database:
            document = put_document(database, self._row, report)
        self.release(remove=True)
        return document

    def release(self, *, remove: bool = False) -> None:
        """Gives the run up. One that was not finished is closed by the next start."""
        shutil.rmtree(self.workdir, ignore_errors=True)
        self._lock.release(remove=remove)


Queue = Literal["no", "by-hand", "schedule"]
"""Whether a report is to be sent, and whether a person or a schedule ran it."""


def begin(ledger: Ledger, report: Report, queue: Queue = "no") -> RunWriter:
    """Gives the report its number and stores its head; nothing may be measured before this returns.

    It is put on the queue here, in the same transaction: a kill at whatever moment can't lose it.
    """
    agent_id = str(report.agent.get("agent_id", ""))
    lock = FileLock.take(ledger.lock_of(report.run.run_id))
    if lock is None:
        raise ValueError(f"the run {report.run.run_id} is being written already")
    try:
        make_private(ledger.files_of(report.run.run_id))
        with ledger.writing() as database:
            report.seq = _next_seq(database, agent_id)
            report.run.state = "running"
            cursor = database.execute(
                "INSERT INTO report (report_id, revision, agent_id, seq, run_id, state, start, case_id, "
                "targets, job, bytes, stored_bytes) VALUES (?, ?, ?, ?, ?, 'running', ?, ?, '', ?, 0, 0)",
                (
                    report.report_id,
                    report.revision,
                    agent_id,
                    report.seq,
                    report.run.run_id,
                    report.run.start,
                    report.case.id,
                    report.job.id,
                ),
            )
            row = cursor.lastrowid or 0
            database.execute("INSERT INTO head VALUES (?, ?)", (row, pack_head(report)))
            if queue != "no":
                put_on_queue(database, row, by_hand=queue == "by-hand")
        if queue != "no":
            queue_note.write(ledger)
    except BaseException:
        shutil.rmtree(ledger.files_of(report.run.run_id), ignore_errors=True)
        lock.release(remove=True)
        raise
    return RunWriter(ledger, lock, row, report)


def _next_seq(database: sqlite3.Connection, agent_id: str) -> int:
    database.execute(
        "INSERT INTO counter VALUES (?, 1) ON CONFLICT (agent_id) DO UPDATE SET last = last + 1", (agent_id,)
    )
    (seq,) = database.execute("SELECT last FROM counter WHERE agent_id = ?", (agent_id,)).fetchone()
    return int(seq)
