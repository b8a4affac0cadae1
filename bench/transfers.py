"""How contenders of the transfer benches are run, and what of each is timed.

Everybody runs as a whole process of its own, and only the *transfer phase* is timed, as each says it itself:
from the first content byte to the last one (downloads), from the first content byte handed over to the
server's final answer (uploads). Start-up, name, connection and header are in nobody's figure. CPU is the
transfer phase's for Python programs, whose start-up would drown it, and the whole process's for C programs.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.child import Done, run
from bench.contest import Reading

GIB = 1 << 30


def reading(count: int, seconds: float, cpu: float) -> Reading:
    """Gbit/s, and CPU seconds for each 10^9 bytes."""
    return Reading(8 * count / seconds / 1e9, cpu / (count / 1e9))


def ots(kind: str, target: str, expected: int, folder: Path, *options: str) -> Reading:
    """One step of OTS through the whole product; RuntimeError unless it moved what was expected."""
    done = run(
        [sys.executable, "-m", "ots", kind, target, *options, "--json"],
        env={"OTS_DATA_DIR": str(folder)},
        ok=(0, 1),
    )
    step = json.loads(done.output)["steps"][0]
    if step["error"] is not None:
        raise RuntimeError(f"ots {kind}: {step['error']}")
    prefix = kind.replace("-", "_")
    metrics = {metric["key"].removeprefix(f"{prefix}_"): metric for metric in step["metrics"]}
    moved = metrics["bytes_transferred"]["stats"]["value"]
    if moved != expected:
        raise RuntimeError(f"ots {kind} moved {moved} of {expected} bytes")
    seconds = metrics["transfer_seconds"]["stats"]["median"]
    return reading(moved, seconds, metrics["bytes_transferred"]["method"]["process_cpu_seconds"])


_CURL = "%{size_download} %{size_upload} %{time_pretransfer} %{time_starttransfer} %{time_total}\\n"


def curl_down(url: str, expected: int, *options: str, connections: int = 1) -> Reading:
    """curl; with more than one connection in parallel (-Z)."""
    places = [word for _ in range(connections) for word in ("-o", os.devnull, url)]
    parallel = ["-Z", "--parallel-immediate"] if connections > 1 else []
    done = run(["curl", "-q", "-sS", *parallel, *options, "-w", _CURL, *places])
    rows = _rows(done)
    return _read(done, sum(row[0] for row in rows), expected, min(row[3] for row in rows), rows)


def curl_up(url: str, files: Sequence[Path], expected: int, *options: str) -> Reading:
    """curl -T, in parallel if there are several files."""
    places = [word for file in files for word in ("-o", os.devnull, "-T", str(file), url)]
    parallel = ["-Z", "--parallel-immediate"] if len(files) > 1 else []
    # Without `Expect:` it would wait a second for leave to send.
    done = run(["curl", "-q", "-sS", *parallel, *options, "-H", "Expect:", "-w", _CURL, *places])
    rows = _rows(done)
    return _read(done, sum(row[1] for row in rows), expected, min(row[2] for row in rows), rows)


def script(code: str, *words: str, expected: int) -> Reading:
    """A Python program that prints bytes, seconds and CPU seconds of its transfer."""
    done = run([sys.executable, "-c", code, *words])
    count, seconds, cpu = (float(word) for word in done.output.split())
    if count != expected:
        raise RuntimeError(f"{count} of {expected} bytes")
    return reading(int(count), seconds, cpu)


def _rows(done: Done) -> list[list[float]]:
    return [[float(word) for word in line.split()] for line in done.output.splitlines()]


def _read(done: Done, count: float, expected: int, start: float, rows: list[list[float]]) -> Reading:
    if count != expected:
        raise RuntimeError(f"curl moved {count} of {expected} bytes")
    return reading(int(count), max(row[4] for row in rows) - start, done.cpu)
