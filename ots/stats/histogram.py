"""Counts in narrow bins in place of the observations: memory that doesn't grow with the run. Pure."""

from __future__ import annotations

import math
import sys
from array import array
from bisect import bisect_left

_STEP = 1e-6
_LINEAR = 500
"""Bins of one microsecond reach up to half a millisecond; above, each is `_GROWTH` times the one before."""
NARROWEST = 0.001
"""The relative error of a bin that starts above."""
_GROWTH = 1 + 2 * NARROWEST
_BASE = _STEP * _LINEAR
_LOG_GROWTH = math.log(_GROWTH)

MOST_BINS = 512
"""Bins that are counted apart. One more makes all of them twice as wide."""


class Histogram:
    """Signed seconds, each known to 0.5 µs or 0.1 %, whichever is more, times `width`; smallest and largest
    are exact.

    `width` is 1 as long as the values fall into `MOST_BINS` bins of that size, which those of one host mostly
    do, and doubles each time that they don't. Up to a minute either way there are 12,700 bins, so it never
    exceeds 32 there, and memory never exceeds `MOST_BINS` places and as many counters, four bytes each.
    """

    __slots__ = ("_counts", "_halvings", "_largest", "_places", "_smallest", "n")

    def __init__(self) -> None:
        self.n = 0
        self._places = array("i")
        """Of the bins that have something, ascending."""
        self._counts = array("I")
        self._halvings = 0
        self._smallest = math.inf
        self._largest = -math.inf

    def add(self, seconds: float) -> None:
        self.n += 1
        self._smallest = min(self._smallest, seconds)
        self._largest = max(self._largest, seconds)
        place = _bin(seconds) >> self._halvings
        at = bisect_left(self._places, place)
        if at < len(self._places) and self._places[at] == place:
            self._counts[at] += 1
            return
        self._places.insert(at, place)
        self._counts.insert(at, 1)
        while len(self._places) > MOST_BINS:
            self._widen()

    @property
    def width(self) -> int:
        """How many of the narrowest bins one bin spans."""
        return 1 << self._halvings

    @property
    def allocated(self) -> int:
        """Bytes that the bins take."""
        return sys.getsizeof(self._places) + sys.getsizeof(self._counts)

    def values(self) -> list[float]:
        """As many values as were added, ascending, each in the place of one that was."""
        ordered: list[float] = []
        for place, times in zip(self._places, self._counts, strict=True):
            ordered += [self._middle(place)] * times
        if ordered:
            ordered[-1] = self._largest
            ordered[0] = self._smallest
        return [min(max(value, self._smallest), self._largest) for value in ordered]

    def _widen(self) -> None:
        """Makes one bin of every two neighbours."""
        places, counts = array("i"), array("I")
        for place, times in zip(self._places, self._counts, strict=True):
            if places and places[-1] == place >> 1:
                counts[-1] += times
            else:
                places.append(place >> 1)
                counts.append(times)
        self._places, self._counts = places, counts
        self._halvings += 1

    def _middle(self, place: int) -> float:
        first = place << self._halvings
        return (_narrow_middle(first) + _narrow_middle(first + self.width - 1)) / 2


def _bin(seconds: float) -> int:
    size = abs(seconds)
    if size < _BASE:
        return round(seconds / _STEP)
    place = _LINEAR + 1 + int(math.log(size / _BASE) / _LOG_GROWTH)
    return place if seconds > 0 else -place


def _narrow_middle(place: int) -> float:
    size = abs(place)
    if size <= _LINEAR:
        return place * _STEP
    middle: float = _BASE * _GROWTH ** (size - _LINEAR - 0.5)
    return math.copysign(middle, place)
