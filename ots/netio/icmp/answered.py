"""The requests that were settled last: by them a second reply is told from a late one. Pure.

A ring of columns that is made once. (A dict from which one goes for each that comes is rebuilt again and
again, and each time asks for several megabytes.)
"""

from __future__ import annotations

from array import array
from typing import NamedTuple

REMEMBERED = 65_536


class Past(NamedTuple):
    """A request that has its answer or was given up: to whom, when it left, and whether it was answered."""

    destination: int
    left: float
    answered: bool


class Answered:
    """Remembers by number; a number takes the place of that which is `REMEMBERED` before it."""

    def __init__(self) -> None:
        self._numbers = array("q", [-1]) * REMEMBERED
        self._destinations = array("I", [0]) * REMEMBERED
        self._left = array("d", [0.0]) * REMEMBERED
        self._answered = bytearray(REMEMBERED)

    def remember(self, number: int, past: Past) -> None:
        at = number % REMEMBERED
        self._numbers[at] = number
        self._destinations[at], self._left[at], self._answered[at] = past

    def find(self, number: int) -> Past | None:
        at = number % REMEMBERED
        if self._numbers[at] != number:
            return None
        return Past(self._destinations[at], self._left[at], bool(self._answered[at]))
