"""Foreign clients against the same targets, and how far our figures may lie from theirs.

Tries are taken in turn, so that a busy machine disturbs both alike, and compared by their lower quartile:
what is measured when nothing else has the processor. What then differs on loopback is the programs' own work:
where the clock is read, whose poll loop wakes up when, what is set up inside the time taken (curl's handshake
holds the making of its TLS context, some 5 ms). The tolerances are what the documentation states.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from ots.stats.distribution import percentile

TRIES = 31

DNS_TOLERANCE_SECONDS = 0.001
CONNECT_TOLERANCE_SECONDS = 0.001
TLS_TOLERANCE_SECONDS = 0.015
PAGE_TOLERANCE_SECONDS = {
    "dns": 0.002,
    "connect": 0.001,
    "tls": 0.015,
    "wait": 0.005,
    "first byte": 0.010,
    "total": 0.010,
}
"""Phases of a page's document, as curl names them; `wait` is from request to first byte."""
TOLERANCE_RATIO = 0.1
"""Beside the seconds, a share of the foreign figure: the larger of the two counts."""


def disagreement(ours: Sequence[float], theirs: Sequence[float], seconds: float) -> str:
    """Empty if the lower quartiles agree within the tolerance, else what they are."""
    mine, other = (percentile(sorted(values), 0.25) for values in (ours, theirs))
    if abs(mine - other) <= max(seconds, TOLERANCE_RATIO * other):
        return ""
    return f"ours {mine * 1000:.3f} ms, theirs {other * 1000:.3f} ms"


def dig_seconds(dig: str, port: int, name: str) -> float:
    """dig's own query time of one lookup."""
    argv = [dig, "-u", "@127.0.0.1", "-p", str(port), name, "A", "+tries=1", "+noall", "+stats"]
    output = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    line = next(line for line in output.splitlines() if "Query time" in line)
    return int(line.split()[3]) / 1e6


def curl_phases(curl: str, url: str, *options: str) -> tuple[float, float]:
    """curl's TCP connect and TLS handshake times of one request, in seconds, whatever became of it."""
    argv = [curl, "-s", "-o", "/dev/null", "-w", "%{time_namelookup} %{time_connect} %{time_appconnect}"]
    output = subprocess.run([*argv, *options, url], capture_output=True, text=True, check=False).stdout
    lookup, connect, handshake = map(float, output.split())
    return connect - lookup, handshake - connect
