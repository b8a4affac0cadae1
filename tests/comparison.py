"""Foreign clients against the same targets, and how far our figures may lie from theirs.

Both are medians over many tries on loopback, taken in turn so that a busy machine disturbs both alike. What
differs there is the programs' own work: a process started for each try (dig, curl), where the clock is read,
whose poll loop wakes up when. These tolerances are what the documentation states.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from statistics import median

TRIES = 31

DNS_TOLERANCE_SECONDS = 0.0015
CONNECT_TOLERANCE_SECONDS = 0.0005
TLS_TOLERANCE_SECONDS = 0.003
TOLERANCE_RATIO = 0.5
"""On top of the seconds: half of the foreign median, for what takes milliseconds takes longer when busy."""


def agrees(ours: Sequence[float], theirs: Sequence[float], seconds: float) -> str:
    """Empty if the medians agree within the tolerance, else what they are."""
    mine, other = median(ours), median(theirs)
    if abs(mine - other) <= seconds + TOLERANCE_RATIO * other:
        return ""
    return f"ours {mine * 1000:.3f} ms, theirs {other * 1000:.3f} ms"


def dig_seconds(dig: str, port: int, name: str) -> float:
    """dig's own query time of one lookup."""
    argv = [dig, "-u", "@127.0.0.1", "-p", str(port), name, "A", "+tries=1", "+noall", "+stats"]
    output = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    line = next(line for line in output.splitlines() if "Query time" in line)
    return int(line.split()[3]) / 1e6


def curl_phases(curl: str, url: str, *options: str) -> tuple[float, float]:
    """curl's TCP connect and TLS handshake times of one request, in seconds."""
    argv = [curl, "-s", "-o", "/dev/null", "-w", "%{time_namelookup} %{time_connect} %{time_appconnect}"]
    output = subprocess.run([*argv, *options, url], capture_output=True, text=True, check=True).stdout
    lookup, connect, handshake = map(float, output.split())
    return connect - lookup, handshake - connect
