"""How long `ots --help` takes, beside what anything made with click must take: `python -c "import click"`.

The two run in turn, so that the machine's other work falls on both alike; the ratio of the medians counts.
`python bench/help_start.py [ROUNDS]` prints a table and, as its last line, JSON. It ends 1 above the limit.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

LIMIT = 1.6
COMMANDS = {
    "import click": [sys.executable, "-c", "import click"],
    "ots --help": [sys.executable, "-m", "ots", "--help"],
}


def seconds(command: list[str]) -> float:
    """Wall time of one call that succeeds."""
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def compare(rounds: int) -> dict[str, list[float]]:
    """Times of each command, taken in turn, after one call each that fills the caches."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for turn in range(rounds + 1):
        for name, command in COMMANDS.items():
            taken = seconds(command)
            if turn:
                times[name].append(taken)
    return times


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 21
    times = compare(rounds)
    medians = {name: statistics.median(values) for name, values in times.items()}
    ratio = medians["ots --help"] / medians["import click"]
    print(f"{'':14}{'median ms':>10}{'min':>8}{'max':>8}   n = {rounds}")
    for name, values in times.items():
        print(f"{name:14}{medians[name] * 1e3:10.1f}{min(values) * 1e3:8.1f}{max(values) * 1e3:8.1f}")
    print(f"ratio {ratio:.2f} (at most {LIMIT})")
    print(
        json.dumps(
            {"bench": "help_start", "median_seconds": medians, "ratio": round(ratio, 3), "limit": LIMIT}
        )
    )
    return 0 if ratio <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
