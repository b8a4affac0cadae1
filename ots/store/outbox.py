"""The outbox: which reports wait to be sent, what was offered of each, and the receipts.

    waiting → sending → sent        only with a receipt
              sending → waiting     a later try may help
              sending → parked      the server won't have it; a person may send it again
    waiting → none                  dropped by a cap, told in a gap record

What was offered is kept until its fate is known: a second try sends the same bytes as the first.
"""

from __future__ import annotations

import json
import sqlite3
import time
import zlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

from ots.clock import rfc3339
from ots.store import gaps
from ots.store.entry import Entry
from ots.store.gaps import GapReason, GapRow
from ots.store.store import Store

LONGEST_WAIT = 86_400.0
"""Seconds; a next try later than this was computed by a clock that was wrong, and is due now."""

_COLUMNS = (
    "report.id, report_id, revision, agent_id, seq, start, stored_bytes, by_hand, tries, refusals, "
    "outbox.sha256, body, signature, left_out"
)
_DUE = (
    "SELECT {columns} FROM report JOIN outbox USING (id) WHERE upload IN ('waiting', 'sending') "
    "AND state != 'running' AND agent_id = ?"
)


class Offer(NamedTuple):
    """The exact bytes that are offered, the agent's signature on them, and what of the report is not in them.

    `left_out` are JSON pointers into the stored report.
    """

    document: bytes
    sha256: str
    signature: str
    left_out: tuple[str, ...]


class Item(NamedTuple):
    """A report that waits. `offer` is what an earlier try may have brought to the server."""

    id: int
    report_id: str
    revision: int
    agent_id: str
    seq: int
    start: str
    stored_bytes: int
    by_hand: bool
    tries: int
    refusals: int
    offer: Offer | None


class KeptReceipt(NamedTuple):
    """The server's word that it keeps a report, and the agent's signature on what was sent."""

    server_id: str
    sha256: str
    received_at: str
    statement: str
    signature: str
    left_out: tuple[str, ...]


class Acknowledged(NamedTuple):
    """A report that was sent, as its receipt has it."""

    id: int
    report_id: str
    revision: int
    sha256: str


class Pause(NamedTuple):
    """Until when (wall clock) nothing is sent by itself, after how many failures in a row, and why."""

    failures: int
    until: float
    reason: str | None


def put_on_queue(database: sqlite3.Connection, row: int, *, by_hand: bool) -> None:
    """Inside a transaction: the report waits, as if it had never been tried. An offer that was made stays."""
    database.execute("UPDATE report SET upload = 'waiting', upload_reason = NULL WHERE id = ?", (row,))
    database.execute(
        "INSERT INTO outbox (id, by_hand, queued) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET tries = 0, "
        "refusals = 0, next = 0, by_hand = max(by_hand, excluded.by_hand), queued = excluded.queued",
        (row, int(by_hand), rfc3339(time.time())),
    )


class Outbox:
    """The queue of one store. Raises StoreError as the store does."""

    def __init__(self, store: Store) -> None:
        self._store = store

    # What waits

    def add(self, entries: Iterable[Entry], *, by_hand: bool = True) -> None:
        """Puts reports on the queue, parked ones too."""
        with self._store.writing() as database:
            for entry in entries:
                put_on_queue(database, entry.id, by_hand=by_hand)
        self._store.note_queue()

    def due(self, agent_id: str, now: float) -> Sequence[int]:
        """The rows whose next try may be made, the newest report first."""
        found = self._store.select(
            _DUE.format(columns="report.id") + " AND (next <= ? OR next > ?) ORDER BY start DESC, id DESC",
            agent_id,
            now,
            now + LONGEST_WAIT,
        )
        return [row for (row,) in found]

    def item(self, row: int) -> Item | None:
        """A report that waits; None if it does no more."""
        found = self._store.select(
            f"SELECT {_COLUMNS} FROM report JOIN outbox USING (id) WHERE id = ? "
            "AND upload IN ('waiting', 'sending') AND state != 'running'",
            row,
        )
        return _item(found[0]) if found else None

    def waiting(self, agent_id: str) -> int:
        """How many reports wait or are being sent."""
        found = self._store.select(f"SELECT count(*) FROM ({_DUE.format(columns='1')})", agent_id)
        return int(found[0][0])

    def parked(self, agent_id: str) -> int:
        """How many reports the server would not have."""
        found = self._store.select(
            "SELECT count(*) FROM report WHERE upload = 'parked' AND agent_id = ?", agent_id
        )
        return int(found[0][0])

    # A try

    def begin_try(self, item: Item, offer: Offer) -> None:
        """Keeps what is about to be offered, before its first byte leaves."""
        with self._store.writing() as database:
            database.execute("UPDATE report SET upload = 'sending' WHERE id = ?", (item.id,))
            database.execute(
                "UPDATE outbox SET sha256 = ?, body = ?, signature = ?, left_out = ? WHERE id = ?",
                (
                    offer.sha256,
                    zlib.compress(offer.document, 6),
                    offer.signature,
                    json.dumps(offer.left_out),
                    item.id,
                ),
            )

    def postpone(self, item: Item, *, until: float, reason: str, arrived: bool, refused: bool) -> None:
        """A later try may help. `arrived`: the server may have the offer, so that it must not change."""
        with self._store.writing() as database:
            database.execute(
                "UPDATE report SET upload = 'waiting', upload_reason = ? WHERE id = ?", (reason, item.id)
            )
            database.execute(
                "UPDATE outbox SET tries = tries + 1, refusals = refusals + ?, next = ? WHERE id = ?",
                (int(refused), until, item.id),
            )
            if not arrived:
                _forget_offer(database, item.id)

    def park(self, item: Item, reason: str) -> None:
        """The server won't have it. It stays here with the reason until a person sends it again."""
        with self._store.writing() as database:
            database.execute(
                "UPDATE report SET upload = 'parked', upload_reason = ? WHERE id = ?", (reason, item.id)
            )
            _forget_offer(database, item.id)
        self._store.note_queue()

    def sent(self, item: Item, receipt: KeptReceipt, *, remark: str | None = None) -> None:
        """The report leaves the queue; only a receipt that was verified may be given here.

        The note beside the store is left for the end of the pass: to write it costs what waits.
        """
        with self._store.writing() as database:
            database.execute(
                "INSERT OR REPLACE INTO receipt VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    item.id,
                    receipt.server_id,
                    receipt.sha256,
                    receipt.received_at,
                    receipt.statement,
                    receipt.signature,
                    json.dumps(receipt.left_out),
                ),
            )
            database.execute(
                "UPDATE report SET upload = 'sent', upload_reason = ? WHERE id = ?", (remark, item.id)
            )
            database.execute("DELETE FROM outbox WHERE id = ?", (item.id,))
            database.execute("UPDATE pause SET failures = 0, until = 0, reason = NULL")

    def still_sent(self, item: Item, server_id: str) -> bool:
        """Takes a report that was offered again off the queue if this server's receipt for it is here."""
        with self._store.writing() as database:
            found = database.execute(
                "UPDATE report SET upload = 'sent', upload_reason = NULL WHERE id IN "
                "(SELECT id FROM receipt WHERE id = ? AND server_id = ?) RETURNING id",
                (item.id, server_id),
            ).fetchone()
            if found is not None:
                database.execute("DELETE FROM outbox WHERE id = ?", (item.id,))
        return found is not None

    def receipt(self, entry: Entry) -> KeptReceipt | None:
        """The receipt of a report that was sent."""
        found = self._store.select(
            "SELECT server_id, sha256, received_at, statement, signature, left_out FROM receipt WHERE id = ?",
            entry.id,
        )
        if not found:
            return None
        *facts, left_out = found[0]
        return KeptReceipt._make([*facts, tuple(json.loads(left_out))])

    def acknowledged(self, agent_id: str, server_id: str, since: str) -> Sequence[Acknowledged]:
        """What this server gave receipts for since then (RFC 3339 UTC, by its clock), the oldest first."""
        rows = self._store.select(
            "SELECT report.id, report_id, revision, receipt.sha256 FROM report JOIN receipt USING (id) "
            "WHERE upload = 'sent' AND agent_id = ? AND server_id = ? AND received_at >= ? "
            "ORDER BY report.id",
            agent_id,
            server_id,
            since,
        )
        return [Acknowledged(*row) for row in rows]

    def send_again(self, rows: Iterable[int]) -> int:
        """Puts reports that were sent on the queue once more; how many."""
        count = 0
        with self._store.writing() as database:
            for row in rows:
                put_on_queue(database, row, by_hand=False)
                count += 1
        self._store.note_queue()
        return count

    # The pause

    def pause(self) -> Pause:
        """The present one; it is over where `until` has passed."""
        return Pause(*self._store.select("SELECT failures, until, reason FROM pause")[0])

    def set_pause(self, failures: int, until: float, reason: str | None) -> None:
        with self._store.writing() as database:
            database.execute(
                "UPDATE pause SET failures = ?, until = ?, reason = ?", (failures, until, reason)
            )

    # What will never be sent

    def trim(self, agent_id: str, *, max_bytes: float | None, max_age: float | None, now: float) -> int:
        """Takes from the queue what is beyond its caps, and says how many; the reports themselves stay.

        Age counts from when it was put there. Schedules' reports go before those that a person ran, and of
        each the oldest first.
        """
        rows = self._store.select(
            _DUE.format(columns="report.id, coalesce(queued, start), stored_bytes")
            + " ORDER BY by_hand, start, report.id",
            agent_id,
        )
        too_old = set()
        if max_age is not None:
            limit = rfc3339(now - max_age)
            too_old = {row for row, queued, _size in rows if queued < limit}
        too_much = set()
        if max_bytes is not None:
            excess = sum(size for row, _queued, size in rows if row not in too_old) - max_bytes
            for row, _queued, size in rows:
                if row not in too_old and excess > 0:
                    too_much.add(row)
                    excess -= size
        self._drop(agent_id, too_old, "age")
        self._drop(agent_id, too_much, "size")
        return len(too_old) + len(too_much)

    def lose(self, item: Item) -> None:
        """The report was damaged on the disk: it can't be sent as what it was."""
        self._drop(item.agent_id, {item.id}, "damaged")

    def withdraw_all(self, agent_id: str) -> int:
        """Nothing waits any more, because the agent leaves its server; how many did."""
        with self._store.writing() as database:
            changed = database.execute(
                "UPDATE report SET upload = 'none', upload_reason = NULL "
                "WHERE agent_id = ? AND upload IN ('waiting', 'sending', 'parked')",
                (agent_id,),
            ).rowcount
            database.execute("DELETE FROM outbox")
            database.execute("DELETE FROM gap")
            database.execute("UPDATE pause SET failures = 0, until = 0, reason = NULL")
        self._store.note_queue()
        return changed

    def gaps(self, agent_id: str) -> Sequence[GapRow]:
        """The records that wait to be sent."""
        rows = self._store.select(
            "SELECT gap_id, first_seq, last_seq, count, reason, noticed FROM gap WHERE agent_id = ? "
            "ORDER BY first_seq",
            agent_id,
        )
        return [GapRow(*row) for row in rows]

    def gap_sent(self, gap_id: str) -> None:
        with self._store.writing() as database:
            database.execute("DELETE FROM gap WHERE gap_id = ?", (gap_id,))

    def _drop(self, agent_id: str, rows: set[int], reason: GapReason) -> None:
        if not rows:
            return
        with self._store.writing() as database:
            numbers = []
            for row in rows:
                found = database.execute(
                    "UPDATE report SET upload = 'none', upload_reason = ? "
                    "WHERE id = ? AND upload IN ('waiting', 'sending') RETURNING seq",
                    (f"dropped:{reason}", row),
                ).fetchone()
                if found is not None:
                    numbers.append(found[0])
                    database.execute("DELETE FROM outbox WHERE id = ?", (row,))
            gaps.record(database, agent_id, numbers, reason)
        self._store.note_queue()


def _forget_offer(database: sqlite3.Connection, row: int) -> None:
    database.execute(
        "UPDATE outbox SET sha256 = NULL, body = NULL, signature = NULL, left_out = NULL WHERE id = ?", (row,)
    )


def _item(row: tuple[object, ...]) -> Item:
    *facts, sha256, body, signature, left_out = row
    offer = None
    if isinstance(body, bytes):
        with suppress(zlib.error, ValueError):  # damaged on the disk: it is made anew
            offer = Offer(
                zlib.decompress(body), str(sha256), str(signature), tuple(json.loads(str(left_out)))
            )
    facts[7] = bool(facts[7])
    return Item._make([*facts, offer])
