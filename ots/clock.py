"""Time for measuring: monotonic for durations, wall clock for labels, and a way from one to the other."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What a probe may know of time."""

    def monotonic(self) -> float:
        """Seconds of CLOCK_MONOTONIC; only differences mean anything."""
        ...

    def wall(self) -> float:
        """Seconds since 1970 in UTC, as the machine believes; a label, never a duration."""
        ...


class SystemClock:
    """The machine's clocks."""

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()


def wall_offset(clock: Clock) -> float:
    """What to subtract from a wall-clock stamp (a kernel packet stamp) to place it on the monotonic clock.

    The two clocks are read around each other, the closest of five pairs counts: the error is below the time
    of one clock reading.
    """
    best_gap, best_offset = float("inf"), 0.0
    for _ in range(5):
        before = clock.monotonic()
        wall = clock.wall()
        after = clock.monotonic()
        if after - before < best_gap:
            best_gap, best_offset = after - before, wall - (before + after) / 2
    return best_offset


def rfc3339(wall: float) -> str:
    """`2025-03-01T08:15:30.123456Z`: RFC 3339, UTC, microseconds."""
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
