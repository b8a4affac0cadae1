"""Deadlines of many jobs, the nearest first. Those of jobs that have ended are dropped as they come up."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from ots.netio.fanout.job import Job

_SLACK = 1024


class Deadlines:
    """A heap that holds not many more entries than there are open jobs."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Job]] = []
        self._number = 0

    @property
    def first(self) -> float:
        """The nearest deadline of a job that is still open; infinite if there is none."""
        heap = self._heap
        while heap and heap[0][2].sock is None:
            heapq.heappop(heap)
        return heap[0][0] if heap else float("inf")

    def add(self, deadline: float, job: Job, in_flight: int) -> None:
        """One more; `in_flight` is how many entries can still matter."""
        if len(self._heap) > 2 * in_flight + _SLACK:
            self._heap = [entry for entry in self._heap if entry[2].sock is not None]
            heapq.heapify(self._heap)
        self._number += 1
        heapq.heappush(self._heap, (deadline, self._number, job))

    def over(self, now: float) -> Iterator[Job]:
        """The open jobs whose deadline has passed, taken out."""
        while self.first <= now:
            yield heapq.heappop(self._heap)[2]
