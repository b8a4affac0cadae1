"""How long `ots report list` takes over 10,000 reports, beside what a bare Python and its imports take."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.child import run
from bench.contest import OURS, Contender, Contest, Goal, Reading
from ots.store import Store

REPORTS = 10_000
_BARE = "import click, sqlite3"
_SQL = (
    "INSERT INTO report (report_id, revision, agent_id, seq, run_id, state, start, duration, case_id, "
    "targets, verdict, job, bytes, stored_bytes, sha256) "
    "VALUES (?, 1, 'agent', ?, ?, 'completed', ?, 112.0, 'office-broadband', '192.0.2.1 192.0.2.2', ?, "
    "'HZ-117', 40000, 9000, 'f')"
)


@contextmanager
def contests() -> Iterator[Sequence[Contest]]:
    with tempfile.TemporaryDirectory() as name:
        fill(Path(name), REPORTS)
        yield [
            Contest(
                area="List of 10,000 reports",
                work="One whole process lists 10,000 reports.",
                unit="ms",
                contenders=[
                    Contender(_BARE, bare),
                    Contender(OURS, lambda: listing(Path(name), REPORTS)),
                ],
                goals=[Goal(4.5, "at most", _BARE)],
                rounds=15,
            )
        ]


def listing(folder: Path, expected: int) -> Reading:
    """One listing; RuntimeError if it doesn't show every report."""
    done = run([sys.executable, "-m", "ots", "report", "list"], env={"OTS_DATA_DIR": str(folder)})
    shown = done.output.count("\n")
    if shown != expected:
        raise RuntimeError(f"{shown} lines for {expected} reports")
    return Reading(done.seconds * 1e3, done.cpu)


def fill(folder: Path, count: int) -> None:
    """A store with so many finished reports; their documents are of no interest here and are left out."""
    verdicts = ("pass", "fail", "warn", "measured")
    rows = [
        (f"{n:036d}", n, f"{n:036d}", f"2026-01-{1 + n % 28:02d}T08:00:00.{n:06d}Z", verdicts[n % 4])
        for n in range(1, count + 1)
    ]
    with Store.open(folder) as store, store.writing() as database:
        database.executemany(_SQL, rows)


def bare() -> Reading:
    """A Python that imports what any listing needs."""
    done = run([sys.executable, "-c", _BARE])
    return Reading(done.seconds * 1e3, done.cpu)
