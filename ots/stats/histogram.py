"""Counts in narrow bins in place of the observations: memory that doesn't grow with the run. Pure."""

from __future__ import annotations

import math

_STEP = 1e-6
_LINEAR = 500
"""Bins of one microsecond reach up to half a millisecond; above, each is `_GROWTH` times the one before."""
_GROWTH = 1.002
_BASE = _STEP * _LINEAR
_LOG_GROWTH = math.log(_GROWTH)


class Histogram:
    """Signed seconds, each known to 0.5 µs or 0.1 %, whichever is more; smallest and largest are exact.

    Round trips up to a minute fall into 6,400 bins at most, those of one host mostly into some hundred.
    """

    __slots__ = ("_bins", "_largest", "_smallest", "n")

    def __init__(self) -> None:
        self.n = 0
        self._bins: dict[int, int] = {}
        self._smallest = math.inf
        self._largest = -math.inf

    def add(self, seconds: float) -> None:
        self.n += 1
        self._smallest = min(self._smallest, seconds)
        self._largest = max(self._largest, seconds)
        place = _bin(abs(seconds))
        if seconds < 0:
            place = -place
        self._bins[place] = self._bins.get(place, 0) + 1

    def values(self) -> list[float]:
        """As many values as were added, ascending, each in the place of one that was."""
        ordered = [value for place in sorted(self._bins) for value in [_middle(place)] * self._bins[place]]
        if ordered:
            ordered[-1] = self._largest
            ordered[0] = self._smallest
        return [min(max(value, self._smallest), self._largest) for value in ordered]


def _bin(seconds: float) -> int:
    if seconds < _BASE:
        return round(seconds / _STEP)
    return _LINEAR + 1 + int(math.log(seconds / _BASE) / _LOG_GROWTH)


def _middle(place: int) -> float:
    size = abs(place)
    if size <= _LINEAR:
        return place * _STEP
    middle: float = _BASE * _GROWTH ** (size - _LINEAR - 0.5)
    return math.copysign(middle, place)
