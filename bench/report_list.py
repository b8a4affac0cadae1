"""How long `ots report list` takes over 10,000 reports, beside a Python that only imports click and sqlite3.

    python bench/report_list.py [--reports N] [--rounds N]

Both are whole processes, started in turn in the same run, so that the ratio means something on any machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ots.store import Store

_TIME_LIMIT = 60.0
_SQL = (
    "INSERT INTO report (report_id, revision, agent_id, seq, run_id, state, start, duration, case_id, "
    "targets, verdict, job, bytes, stored_bytes, sha256) "
    "VALUES (?, 1, 'agent', ?, ?, 'completed', ?, 112.0, 'office-broadband', '192.0.2.1 192.0.2.2', ?, "
    "'HZ-117', 40000, 9000, 'f')"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reports", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=15)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        fill(Path(name), asked.reports)
        listed, floor, lines = measure(Path(name), asked.rounds)
    if lines != asked.reports:
        raise SystemExit(f"{lines} lines for {asked.reports} reports")
    print(  # noqa: T201
        f"ots report list, {asked.reports} reports: median {statistics.median(listed) * 1e3:.0f} ms "
        f"[{min(listed) * 1e3:.0f}-{max(listed) * 1e3:.0f}], "
        f"{statistics.median(listed) / statistics.median(floor):.2f} x importing click and sqlite3 "
        f"({statistics.median(floor) * 1e3:.0f} ms)"
    )


def measure(folder: Path, rounds: int) -> tuple[list[float], list[float], int]:
    """Seconds of each listing, seconds of each bare import, and the lines that a listing printed."""
    environment = {**os.environ, "OTS_DATA_DIR": str(folder)}
    listed, floor, lines = [], [], 0
    for _ in range(rounds):
        floor.append(_run([sys.executable, "-c", "import click, sqlite3"], environment)[0])
        seconds, lines = _run([sys.executable, "-m", "ots", "report", "list"], environment)
        listed.append(seconds)
    return listed, floor, lines


def fill(folder: Path, count: int) -> None:
    """A store with so many finished reports; their documents are of no interest here and are left out."""
    verdicts = ("pass", "fail", "warn", "measured")
    rows = [
        (f"{n:036d}", n, f"{n:036d}", f"2026-01-{1 + n % 28:02d}T08:00:00.{n:06d}Z", verdicts[n % 4])
        for n in range(1, count + 1)
    ]
    with Store.open(folder) as store, store.writing() as database:
        database.executemany(_SQL, rows)


def _run(command: list[str], environment: dict[str, str]) -> tuple[float, int]:
    start = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, check=True, timeout=_TIME_LIMIT)
    return time.perf_counter() - start, done.stdout.count(b"\n")


if __name__ == "__main__":
    main()
