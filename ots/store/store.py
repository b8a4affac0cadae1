"""The reports of one folder: one SQLite file, artifacts beside it, a lock for each run in progress."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ots.config import data_dir
from ots.i18n import _
from ots.store import recovery
from ots.store.entry import COLUMNS, Entry, entry_of, parse_reference
from ots.store.error import DamagedReport, StoreError, explained
from ots.store.ledger import Ledger

if TYPE_CHECKING:
    from ots.model.report import Report
    from ots.store.writer import Queue, RunWriter


class Store:
    """Reports by number and id. One object may be used from several threads."""

    def __init__(self, ledger: Ledger) -> None:
        self.folder = ledger.folder
        self.writable = ledger.writable
        self.locks = ledger.locks
        self._ledger = ledger

    @classmethod
    def open(cls, folder: Path | None = None) -> Store:
        """Opens, makes or upgrades the store of a folder (default: the settings' data folder) and closes the
        runs that died there. Raises StoreError if that can't be done.
        """
        store = cls(Ledger.open(folder or data_dir()))
        try:
            store.recover()
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    def open_read_only(cls, folder: Path) -> Store:
        """Opens a store that somebody else writes; raises StoreError if there is none or it can't be read."""
        return cls(Ledger.open_read_only(folder))

    def close(self) -> None:
        self._ledger.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Writing

    def begin(self, report: Report, *, queue: Queue = "no") -> RunWriter:
        """Gives the report its `seq`, stores its head, and returns the writer of the run.

        `queue` says whether it is to be sent once the run has ended, however that ends, and who ran it.
        """
        from ots.store import writer

        with explained(self.locks):
            return writer.begin(self._ledger, report, queue)

    def next_seq(self, agent_id: str) -> int:
        """The number that the agent's next report will get if nobody else begins one before."""
        found = self.select("SELECT last FROM counter WHERE agent_id = ?", agent_id)
        return int(found[0][0]) + 1 if found else 1

    def recover(self) -> Sequence[str]:
        """Closes the runs whose process died; returns their report ids."""
        return recovery.recover(self._ledger)

    def delete(self, entry: Entry) -> None:
        """Deletes a report and the artifacts that no other one refers to. A run in progress is refused."""
        from ots.store.deletion import delete_row

        delete_row(self._ledger, entry.id)

    def prune(self, *, max_bytes: float | None, max_age: float | None, now: float) -> int:
        """Deletes the oldest reports beyond the caps (bytes, seconds before the wall clock `now`)."""
        from ots.store.retention import prune

        return prune(self._ledger, max_bytes=max_bytes, max_age=max_age, now=now)

    def compact(self) -> None:
        """Gives the space of deleted reports back to the disk."""
        with self._ledger.reading() as connection:
            # `execute` would take one step, which frees one page; a script is run to its end.
            connection.executescript("PRAGMA incremental_vacuum")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    # Reading

    def list(
        self,
        *,
        since: str | None = None,
        verdict: str | None = None,
        job: str | None = None,
        limit: int | None = None,
    ) -> Sequence[Entry]:
        """The newest first. `since` is an RFC 3339 stamp in UTC, or the beginning of one."""
        wanted: list[tuple[str, object]] = [
            ("start >= ?", since),
            ("verdict = ?", verdict),
            ("job = ?", job),
        ]
        chosen = [(condition, value) for condition, value in wanted if value is not None]
        where = "WHERE " + " AND ".join(condition for condition, _value in chosen) if chosen else ""
        rows = self.select(
            f"SELECT {COLUMNS} FROM report {where} ORDER BY start DESC, id DESC LIMIT ?",
            *(value for _condition, value in chosen),
            -1 if limit is None else limit,
        )
        return [entry_of(row, self.folder) for row in rows]

    def find(self, reference: str) -> Sequence[Entry]:
        """The entries that `last`, `-2`, `412` or an id's start can mean; ValueError for anything else."""
        wanted = parse_reference(reference)
        select = f"SELECT {COLUMNS} FROM report"
        if wanted.back is not None:
            rows = self.select(f"{select} ORDER BY start DESC, id DESC LIMIT 1 OFFSET ?", wanted.back - 1)
        elif wanted.seq is not None:
            rows = self.select(f"{select} WHERE seq = ? ORDER BY start DESC", wanted.seq)
        else:
            rows = self.select(f"{select} WHERE report_id GLOB ? ORDER BY start DESC", f"{wanted.prefix}*")
        return [entry_of(row, self.folder) for row in rows]

    def get(self, reference: str) -> Entry:
        """The one entry that the reference means; StoreError if there is none or more than one."""
        return only(self.find(reference), reference)

    def document(self, entry: Entry) -> bytes:
        """The stored bytes of a finished report, checked against their hash; of a running one its present.

        Raises DamagedReport where they are gone or changed.
        """
        if entry.running:
            from ots.store.document import encode

            return encode(self.report(entry))
        found = self.select("SELECT body FROM document WHERE id = ?", entry.id)
        if not found:
            raise DamagedReport(
                f"The report {entry.report_id} is not in the store {self.folder} any more.",
                "`ots report list` shows what is there.",
            )
        import hashlib

        try:
            document = zlib.decompress(found[0][0])
        except zlib.error:
            document = b""
        if hashlib.sha256(document).hexdigest() != entry.sha256:
            raise DamagedReport(
                f"The report {entry.seq} ({entry.report_id}) was damaged on the disk: its hash differs.",
                "Take it from an export or from the server, if it was sent.",
            )
        return document

    def report(self, entry: Entry) -> Report:
        """The report as an object, of the present version whatever it was stored as."""
        if entry.running:
            from ots.store.rows import read_unfinished

            with self._ledger.reading() as connection:
                return read_unfinished(connection, entry.id)
        from ots.schema.report import ReportError, read_report

        try:
            return read_report(self.document(entry))
        except ReportError as error:
            raise StoreError(
                f"The report {entry.seq} can't be read: {error}.",
                "Upgrade OTS, or export it with --format json.",
            ) from None

    def artifact_digests(self, entry: Entry) -> Sequence[str]:
        """The SHA-256 of every file kept beside the report."""
        return [digest for (digest,) in self.select("SELECT sha256 FROM artifact WHERE id = ?", entry.id)]

    def artifact(self, digest: str) -> bytes:
        """The bytes of an artifact by its SHA-256 in hex."""
        from ots.store import artifacts

        place = artifacts.path_of(self.folder, digest)
        with explained(place):
            return place.read_bytes()

    def note_queue(self) -> None:
        """Writes down beside the store what waits to be sent."""
        from ots.store import queue_note

        queue_note.write(self._ledger)

    # The database itself

    def writing(self) -> AbstractContextManager[sqlite3.Connection]:
        """One transaction, one thread at a time; failures come out as StoreError."""
        return self._ledger.writing()

    def select(self, statement: str, *values: object) -> Sequence[Any]:
        """All rows of a query."""
        return self._ledger.select(statement, *values)


def only(entries: Sequence[Entry], reference: str) -> Entry:
    """The single entry of a search; StoreError, in words, otherwise."""
    if len(entries) == 1:
        return entries[0]
    if not entries:
        raise StoreError(
            _("There is no report {reference}.").format(reference=reference),
            _("`ots report list` shows what there is."),
        )
    choices = ", ".join(f"{entry.report_id} ({entry.start})" for entry in entries[:5])
    raise StoreError(f"{reference} can mean {len(entries)} reports: {choices}.", "Name it by its id.")
