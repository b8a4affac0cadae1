"""Whether a long ping of many hosts stays as large as it is: prints memory over time, ends 1 if it grows.

What may grow is bounded: the round trips that a step keeps (50,000) and the bins of its histograms. So the
figure is compared between the time when everything that grows by itself has grown and the end.
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

INTERVAL = 0.2
_EVERY = 2.0
_FULL = 65_536
"""Settled requests that the engine remembers, in a ring made at the start; when it has gone round once."""
_START = 40.0
"""Seconds after which Python, its modules and the bins of usual round trips are there."""
_ALLOWED = 6e6


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m bench.monitor_memory", description=__doc__)
    options.add_argument("--targets", type=int, default=500)
    options.add_argument("--minutes", type=float, default=2.0)
    asked = options.parse_args()
    settled = _START + _FULL * INTERVAL / asked.targets
    if settled + 10 * _EVERY > asked.minutes * 60:
        options.error(f"too short: with {asked.targets} targets nothing is settled before {settled:.0f} s")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.json"
        curve = watch(folder, file, asked.targets, round(asked.minutes * 60 / INTERVAL))
        size = file.stat().st_size
    during = [size for t, size in curve if settled <= t < asked.minutes * 60]
    tenth = max(3, len(during) // 10)
    growth = statistics.median(during[-tenth:]) - statistics.median(during[:tenth])
    print(
        f"grown by {growth / 1e6:+.1f} MB from {settled:.0f} s on, allowed {_ALLOWED / 1e6:g} MB; "
        f"report {size / 1e6:.1f} MB"
    )
    return 1 if growth > _ALLOWED else 0


def watch(folder: str, file: Path, targets: int, count: int) -> list[tuple[float, int]]:
    """Seconds and resident bytes of one `ots ping` from start to exit."""
    hosts = [f"127.1.{place // 250}.{place % 250 + 1}" for place in range(targets)]
    command = [sys.executable, "-m", "ots", "ping", *hosts, "--count", str(count)]
    command += ["--interval", f"{INTERVAL} s", "--format", "json", "--output", str(file)]
    curve: list[tuple[float, int]] = []
    with subprocess.Popen(
        command,
        env={**os.environ, "OTS_DATA_DIR": folder},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        start = time.monotonic()
        try:
            while process.poll() is None:
                curve.append((time.monotonic() - start, _resident(process.pid)))
                print(f"{curve[-1][0]:6.0f} s {curve[-1][1] / 1e6:7.1f} MB", flush=True)
                time.sleep(_EVERY)
        finally:
            process.terminate()
    if process.returncode not in (0, 1, 2):
        raise RuntimeError(f"ots ended with {process.returncode}")
    return curve


def _resident(pid: int) -> int:
    """RSS in bytes; 0 of a process that has just ended."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    sys.exit(main())
