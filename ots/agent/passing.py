"""How time passed while this process waited: it slept with the machine, or somebody set the clock."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ots.schedule.state import Absence

_NOTABLE = 30.0
"""Seconds of sleep, or of a step of the clock, that count as such."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """Readings of the three clocks, in seconds: the label, what stands still in sleep, what does not."""

    wall: float
    monotonic: float
    boottime: float

    @classmethod
    def read(cls) -> Clocks:
        boottime = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
        return cls(time.time(), time.monotonic(), time.clock_gettime(boottime))


def absence(before: Clocks, now: Clocks) -> Absence:
    """Why moments between the two readings may have passed unseen."""
    elapsed = now.boottime - before.boottime
    if (now.wall - before.wall) - elapsed > _NOTABLE:
        return "clock"
    if elapsed - (now.monotonic - before.monotonic) > _NOTABLE:
        return "asleep"
    return "busy"
