"""Gap records: the numbers of reports that should have been sent and never will be, and why."""

from __future__ import annotations

import sqlite3
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from ots.clock import rfc3339

GapReason = Literal["size", "age", "damaged", "deleted"]

UNSENT = ("waiting", "sending", "parked")
"""The states of a report that should be on the server and is not."""


@dataclass(frozen=True, slots=True)
class GapRow:
    """A record that waits to be sent; `first_seq` and `last_seq` are both part of it."""

    gap_id: str
    first_seq: int
    last_seq: int
    count: int
    reason: GapReason
    noticed: str


def record(database: sqlite3.Connection, agent_id: str, numbers: Iterable[int], reason: GapReason) -> None:
    """Inside a transaction: one record for each unbroken row of numbers."""
    noticed = rfc3339(time.time())
    for first, last in spans(numbers):
        database.execute(
            "INSERT INTO gap VALUES (?, ?, ?, ?, ?, ?, ?)",
            (str(uuid.uuid4()), agent_id, first, last, last - first + 1, reason, noticed),
        )


def spans(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """The numbers as unbroken rows, each with its first and last one."""
    first = last = None
    for number in sorted(set(numbers)):
        if first is None or last is None or number != last + 1:
            if first is not None and last is not None:
                yield first, last
            first = number
        last = number
    if first is not None and last is not None:
        yield first, last
