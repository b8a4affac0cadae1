"""A small file beside the store that knows which numbers wait to be sent.

If the store is damaged beyond reading, what waited there is lost, and without this note nobody would know.
From it the new store takes the last number given out, so that none is given twice, and a gap record for each
report that could not be saved.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from pathlib import Path
from typing import Any

from ots.config.whole_file import write_whole
from ots.store import gaps
from ots.store.error import StoreError
from ots.store.ledger import Ledger

FILE = "queue.json"
_MOST = 100_000
log = logging.getLogger("ots.store")


def write(ledger: Ledger) -> None:
    """Notes the present queue. That it can't is no reason to fail: the note is a second copy."""
    try:
        write_whole(ledger.folder / FILE, json.dumps(_present(ledger)).encode())
    except (OSError, StoreError) as error:
        log.warning("The note of what waits to be sent can't be written: %s", error)


def _present(ledger: Ledger) -> dict[str, Any]:
    """For each agent the last number given out, and the numbers that wait."""
    agents: dict[str, Any] = {
        agent_id: {"last": last, "waiting": []}
        for agent_id, last in ledger.select("SELECT agent_id, last FROM counter")
    }
    waiting: dict[str, list[int]] = {}
    for agent_id, seq in ledger.select(
        "SELECT agent_id, seq FROM report WHERE upload IN ('waiting', 'sending', 'parked')"
    ):
        waiting.setdefault(agent_id, []).append(seq)
    for agent_id, numbers in waiting.items():
        agents.setdefault(agent_id, {"last": max(numbers)})["waiting"] = list(gaps.spans(numbers))
    return agents


def heal(fresh: sqlite3.Connection, folder: Path) -> None:
    """Inside a transaction of a store that replaces a damaged one: holds the note against what was saved."""
    for agent_id, last, spans in _read(folder / FILE):
        fresh.execute(
            "INSERT INTO counter VALUES (?, ?) ON CONFLICT (agent_id) DO UPDATE SET "
            "last = max(last, excluded.last)",
            (agent_id, last),
        )
        wanted = {number for first, final in spans for number in range(first, final + 1)}
        saved = {
            seq: row
            for row, seq in fresh.execute("SELECT id, seq FROM report WHERE agent_id = ?", (agent_id,))
            if seq in wanted
        }
        known = {
            number
            for first, final in fresh.execute(
                "SELECT first_seq, last_seq FROM gap WHERE agent_id = ?", (agent_id,)
            )
            for number in wanted.intersection(range(first, final + 1))
        }
        gaps.record(fresh, agent_id, wanted - saved.keys() - known, "damaged")
        for row in saved.values():
            fresh.execute("UPDATE report SET upload = 'waiting' WHERE id = ? AND upload = 'none'", (row,))
    # Rows of the queue that were lost: whatever waits has one.
    fresh.execute(
        "INSERT OR IGNORE INTO outbox (id, by_hand) "
        "SELECT id, 1 FROM report WHERE upload IN ('waiting', 'sending', 'parked')"
    )


def _read(path: Path) -> list[tuple[str, int, list[tuple[int, int]]]]:
    """Nothing where there is no note, or none that can be trusted."""
    try:
        found = json.loads(path.read_bytes())
        agents = [
            (str(agent_id), int(said["last"]), [(int(first), int(last)) for first, last in said["waiting"]])
            for agent_id, said in found.items()
        ]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        log.warning("The note of what waited to be sent can't be read: %s", error)
        return []
    return [
        (agent_id, last, spans)
        for agent_id, last, spans in agents
        if sum(max(0, final - first) + 1 for first, final in spans) <= _MOST
    ]
