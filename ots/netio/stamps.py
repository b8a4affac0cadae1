"""Kernel packet stamps on the monotonic clock."""

from __future__ import annotations

from ots.clock import Clock, wall_offset

TOLERANCE = 50e-6
"""Seconds by which a stamp may seem to break the order of events: the error of comparing two clocks."""

_STEP = 1e-3
_SLEW = 1e-3
"""A jump of the wall clock is what exceeds 1 ms plus 1 ms a second (NTP slews 0.5 ms a second)."""


class Placement:
    """Places wall-clock stamps on the monotonic clock, as long as the wall clock runs evenly."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset = wall_offset(clock)
        self._at = clock.monotonic()
        self.trusted = True
        self.stepped = False

    def renew(self) -> float:
        """Measures the offset again and returns the time. A jump since the last measurement spoils the stamps
        made in between; `trusted` says so until the next measurement."""
        offset, now = wall_offset(self._clock), self._clock.monotonic()
        self.trusted = abs(offset - self._offset) <= _STEP + _SLEW * (now - self._at)
        self.stepped |= not self.trusted
        self._offset, self._at = offset, now
        return now

    @property
    def offset(self) -> float:
        """Seconds to take off a stamp to place it, as last measured; for who places thousands at once."""
        return self._offset

    def place(self, stamp: float | None, earliest: float, latest: float) -> float | None:
        """The stamp on the monotonic clock, or None if it is missing or cannot be true."""
        if stamp is None or not self.trusted:
            return None
        placed = stamp - self._offset
        if placed < earliest - TOLERANCE or placed > latest + TOLERANCE:
            return None
        return placed
