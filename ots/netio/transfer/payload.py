"""What an upload sends: random bytes from memory, which nothing on the way can make smaller."""

from __future__ import annotations

import contextlib
import os
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass

PAGE = 4 << 20
SMALLEST = 16 << 10
LARGEST = 1 << 20

_FAST = 0.005
_SLOW = 0.05


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of a page, and where in it they begin."""

    start: int
    view: memoryview

    def __len__(self) -> int:
        return len(self.view)

    def after(self, count: int) -> Piece:
        """What follows its first `count` bytes."""
        return Piece(self.start + count, self.view[count:])


class RandomPage:
    """One page of random bytes, handed out piece after piece, from a random place on.

    A byte comes back after at least PAGE - LARGEST others: too late for the window of what compresses on the
    way (32 KiB for deflate, RFC 1951 section 2; 2 MiB for zstd as it is usually set).
    """

    def __init__(self) -> None:
        self._page = memoryview(os.urandom(PAGE))
        # On a multiple, pieces begin where pages of memory do, and sendfile has fewer to send.
        self._next = random.randrange(PAGE // SMALLEST) * SMALLEST
        self._file = -1
        self._users = 0

    def piece(self, size: int) -> Piece:
        """At most LARGEST bytes. No copy is made."""
        start = self._next if self._next + size <= PAGE else 0
        self._next = start + size
        return Piece(start, self._page[start : start + size])

    @contextlib.contextmanager
    def file(self) -> Iterator[int | None]:
        """The page as a file in memory (memfd_create(2)), for os.sendfile; None where the system has none.

        There is one, from the first user to the last. OSError if the system refuses it.
        """
        if sys.platform != "linux":
            yield None
            return
        if not self._users:
            self._file = os.memfd_create("ots-payload")
            os.write(self._file, self._page)
        self._users += 1
        try:
            yield self._file
        finally:
            self._users -= 1
            if not self._users:
                os.close(self._file)

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
