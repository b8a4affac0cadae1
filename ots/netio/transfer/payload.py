"""What an upload sends: random bytes from memory, which nothing on the way can make smaller."""

from __future__ import annotations

import os
import random

PAGE = 4 << 20
SMALLEST = 16 << 10
LARGEST = 1 << 20

_FAST = 0.005
_SLOW = 0.05


class RandomPage:
    """One page of random bytes, handed out piece after piece, from a random place on.

    A byte comes back after at least PAGE - LARGEST others: too late for the window of what compresses on the
    way (32 KiB for deflate, RFC 1951 section 2; 2 MiB for zstd as it is usually set).
    """

    def __init__(self) -> None:
        self._page = memoryview(os.urandom(PAGE))
        self._next = random.randrange(PAGE)

    def piece(self, size: int) -> memoryview:
        """At most LARGEST bytes. No copy is made."""
        start = self._next if self._next + size <= PAGE else 0
        self._next = start + size
        return self._page[start : start + size]

    def at(self, offset: int, size: int) -> memoryview:
        """What stands at this place of an endless file made of the page: `size` bytes, or fewer."""
        start = offset % PAGE
        return self._page[start : start + min(size, LARGEST)]


class PieceSize:
    """How much to hand over at once: little on a slow path, so that an upload ends soon after it is cut."""

    def __init__(self) -> None:
        self.bytes = SMALLEST

    def adapt(self, seconds: float) -> None:
        """Learns how long the path took to swallow a piece."""
        if seconds < _FAST:
            self.bytes = min(LARGEST, self.bytes * 2)
        elif seconds > _SLOW:
            self.bytes = max(SMALLEST, self.bytes // 2)
