"""The fan-out engine of `ots.netio.fanout`, running for as long as the server does: every HTTP probe's
connections go through it, so that a probe costs neither a thread nor a task of its own."""

from __future__ import annotations

import asyncio
from itertools import count

from ots.clock import Clock
from ots.netio.fanout.engine import Fanout
from ots.netio.fanout.job import Job
from ots.netio.fanout.limits import window_of
from ots.netio.worker import Worker
from ots.probe import Route


class Connections:
    """Use it as a context. `limit` connections are open at the same time, or fewer where the limit of open
    files is lower; OSError or `Failed` if it leaves none."""

    def __init__(self, clock: Clock, *, limit: int) -> None:
        self._clock = clock
        self._limit = limit
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[None]] = {}

    async def __aenter__(self) -> Connections:
        self._loop = asyncio.get_running_loop()
        self._fanout = Fanout(
            iter(()), self._ended, route=Route(), window=window_of(self._limit), clock=self._clock
        )
        self._task = asyncio.create_task(self._run(), name="probes' connections")
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})
        self._fanout.close()

    def number(self) -> int:
        """The owner of a new job."""
        return next(self._numbers)

    async def carry_out(self, job: Job) -> None:
        """Returns when the job has ended; what came of it stands in the job.

        Cancelled, the job goes on to its deadline and nobody hears of it. RuntimeError if the engine is gone.
        """
        if self._task.done():
            raise RuntimeError("the engine of the probes' connections has ended")
        done = self._waiting[job.owner] = self._loop.create_future()
        self._fanout.post(job)
        try:
            await done
        finally:
            del self._waiting[job.owner]

    async def _run(self) -> None:
        worker = Worker("ots-probes")
        try:
            await worker.run(lambda: self._fanout.run(worker), lambda: None)
        finally:
            for done in self._waiting.values():
                if not done.done():
                    done.set_exception(RuntimeError("the engine of the probes' connections has ended"))

    def _ended(self, job: Job) -> None:
        """In the engine's thread."""
        self._loop.call_soon_threadsafe(self._tell, job.owner)

    def _tell(self, owner: int) -> None:
        done = self._waiting.get(owner)
        if done is not None and not done.done():
            done.set_result(None)
