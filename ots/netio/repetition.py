"""Several samples of one target in one attempt: when each is taken, and what they come to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from ots.model.outcome import outcome_of
from ots.probe import Context, Failed

_TOLERANCE = 0.010


def is_late(due: float, start: float, interval: float) -> bool:
    """Whether a sample started so long after its time that the schedule begins anew with it."""
    return start - due > max(_TOLERANCE, interval / 2)


async def paced(ctx: Context, count: int, interval: float) -> AsyncIterator[int]:
    """Counts from 0 to `count` - 1, one step every `interval` seconds on an absolute schedule.

    A sample that outlasts its interval delays the next, and the schedule starts anew from there: no bursts.
    A start more than half an interval (and more than 10 ms) after its time flags `schedule_slip`.
    """
    due = ctx.clock.monotonic()
    for number in range(count):
        await asyncio.sleep(max(0.0, due - ctx.clock.monotonic()))
        now = ctx.clock.monotonic()
        late = is_late(due, now, interval)
        if late:
            ctx.flag("schedule_slip")
        yield number
        due = (now if late else due) + interval
        ctx.progress((number + 1) / count)


class Samples:
    """Counts what became of the samples, and says in the end whether the attempt failed.

    A failure of ours (no right, no memory, a wrong parameter) ends the attempt at once: no further sample
    could do better. One of the network's is noted, for the next sample may succeed; the attempt fails if none
    did, or if one was answered wrongly (`content`).
    """

    def __init__(self) -> None:
        self.succeeded = 0
        self._first: Failed | None = None
        self._wrong: Failed | None = None

    def success(self) -> None:
        self.succeeded += 1

    def failure(self, failure: Failed) -> None:
        """Notes a sample that failed, or raises it again."""
        if outcome_of(failure.error.class_) != "failure":
            raise failure
        self._first = self._first or failure
        if failure.error.class_ == "content":
            self._wrong = self._wrong or failure

    def conclude(self) -> None:
        """Raises the failure that the attempt ends with, if it does."""
        if self._wrong is not None:
            raise self._wrong
        if self._first is not None and not self.succeeded:
            raise self._first
