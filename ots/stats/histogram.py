"""Counts in narrow bins in place of the observations: memory that doesn't grow with the run. Pure."""

from __future__ import annotations

import math
from array import array

_STEP = 1e-6
_LINEAR = 500
"""Bins of one microsecond reach up to half a millisecond; above, each is `_GROWTH` times the one before."""
_GROWTH = 1.002
_BASE = _STEP * _LINEAR
_LOG_GROWTH = math.log(_GROWTH)
_PAGE = 64
"""Neighbouring bins that are allocated together: a dict of single ones would need ten times as much."""


class Histogram:
    """Signed seconds, each known to 0.5 µs or 0.1 %, whichever is more; smallest and largest are exact.

    Round trips up to a minute fall into 6,400 bins at most, those of one host mostly into some hundred.
    """

    __slots__ = ("_largest", "_pages", "_smallest", "n")

    def __init__(self) -> None:
        self.n = 0
        self._pages: dict[int, array[int]] = {}
        self._smallest = math.inf
        self._largest = -math.inf

    def add(self, seconds: float) -> None:
        self.n += 1
        self._smallest = min(self._smallest, seconds)
        self._largest = max(self._largest, seconds)
        place = _bin(abs(seconds))
        if seconds < 0:
            place = -place
        number, within = divmod(place, _PAGE)
        page = self._pages.get(number)
        if page is None:
            page = self._pages[number] = array("I", bytes(array("I").itemsize * _PAGE))
        page[within] += 1

    @property
    def allocated(self) -> int:
        """Bins that memory is held for."""
        return len(self._pages) * _PAGE

    def values(self) -> list[float]:
        """As many values as were added, ascending, each in the place of one that was."""
        ordered: list[float] = []
        for number in sorted(self._pages):
            for within, times in enumerate(self._pages[number]):
                if times:
                    ordered += [_middle(number * _PAGE + within)] * times
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
