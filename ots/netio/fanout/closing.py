"""Closing connections beside the engine: the kernel takes leave of the peer within close(2), a good part of
the processor time that a light probe costs, and nobody waits for it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from queue import SimpleQueue

SHORTEST = 4
"""Descriptors side by side that are worth the other thread; fewer are closed at once."""


class Closing:
    """Closes descriptors in a thread of its own, whole ranges of them with one call, so that Python's lock is
    free meanwhile. At most `room` wait there; what is beyond is closed by the caller's own hand. While
    `tell` is set, `closed` is called after each batch, in that thread.
    """

    def __init__(self, room: int, closed: Callable[[], None]) -> None:
        self.tell = False
        self._room = room
        self._closed = closed
        self._batches: SimpleQueue[list[tuple[int, int]] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._given = self._done = 0

    @property
    def left(self) -> int:
        """Descriptors handed over that may still be open."""
        return self._given - self._done

    def take(self, descriptors: Iterable[int]) -> None:
        """Closes these, now or soon. They are nobody else's any more."""
        batch: list[tuple[int, int]] = []
        for low, high in ranges(descriptors):
            if high - low < SHORTEST or self.left + high - low > self._room or not self._started():
                os.closerange(low, high)
            else:
                self._given += high - low
                batch.append((low, high))
        if batch:
            self._batches.put(batch)

    def finish(self) -> None:
        """Returns when all are closed and the thread has ended."""
        if self._thread is not None:
            self._batches.put(None)
            self._thread.join()
            self._thread = None

    def _started(self) -> bool:
        """False where the system gives no thread."""
        if self._thread is None:
            thread = threading.Thread(target=self._close, name="ots-closing", daemon=True)
            with suppress(RuntimeError):
                thread.start()
                self._thread = thread
        return self._thread is not None

    def _close(self) -> None:
        while (batch := self._batches.get()) is not None:
            for low, high in batch:
                os.closerange(low, high)
                self._done += high - low
            if self.tell:
                self._closed()


def ranges(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Runs of numbers that follow each other, as (first, last + 1), in ascending order."""
    ordered = iter(sorted(numbers))
    first = next(ordered, None)
    if first is None:
        return
    end = first + 1
    for number in ordered:
        if number != end:
            yield first, end
            first = number
        end = number + 1
    yield first, end
