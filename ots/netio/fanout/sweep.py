"""From many targets to jobs, from jobs to records: the way a probe uses the fan-out.

Two threads work: the engine's decides what follows a job, the event loop's looks names up and records. An
`Asker` says what to do in each.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Protocol

from ots.model.metric import Value
from ots.netio.errors import classify
from ots.netio.fanout.engine import Fanout
from ots.netio.fanout.job import Job
from ots.netio.fanout.limits import window_of
from ots.netio.fanout.names import AT_ONCE, Names
from ots.netio.worker import Worker
from ots.probe import Address, Context, Failed, Route

POOL_ABOVE = 50
"""Up to so many targets have figures of their own; of more, the figures are of all together."""

_SLICE = 200
"""Jobs recorded in one go: the engine's thread waits meanwhile."""

_PILE = 1000
"""Jobs that may have ended and not be recorded yet."""


@dataclass(frozen=True, slots=True)
class Hop:
    """A job that first needs an address."""

    owner: int
    host: str
    job: Callable[[Address], Awaitable[Job]]


class Asker(Protocol):
    """What is asked of each target. `owner` counts targets from 0."""

    def host(self, owner: int) -> str:
        """The host to look up."""
        ...

    def due(self, owner: int) -> float:
        """When it starts at the earliest, in seconds since the sweep's start; grows with `owner`."""
        ...

    def first(self, owner: int, address: Address, due: float) -> Job:
        """Its first job."""
        ...

    def follow(self, job: Job) -> Job | Hop | None:
        """What comes after a job that has ended. Called in the engine's thread."""
        ...

    def record(self, job: Job) -> None:
        """Takes what a job came to. Called in the event loop."""
        ...

    def failed(self, owner: int, failure: Failed) -> None:
        """It ended without a job: no address. Called in the event loop."""
        ...


class Sweep:
    """Asks `count` targets, each of them `each` times as a rule. After `run`, however it ended,
    `facts` says how it went, and `late` has the timers' lateness in seconds, one for each that fired."""

    def __init__(
        self,
        ctx: Context,
        asker: Asker,
        count: int,
        *,
        route: Route,
        timeout: float,
        concurrency: int,
        each: int = 1,
    ) -> None:
        self.late: list[float] = []
        self._ctx = ctx
        self._asker = asker
        self._count = count
        self._planned = count * each
        self._names = Names(ctx.net, route, timeout)
        self._ended: deque[Job] = deque()
        self._by_engine = self._by_loop = self._recorded = 0
        self._start = ctx.clock.monotonic()
        self._loop = asyncio.get_running_loop()
        self._lookups: set[asyncio.Task[None]] = set()
        self._named: deque[int] = deque()
        self._spelled: deque[tuple[int, Address]] = deque()
        self._bug: BaseException | None = None
        try:
            window = window_of(concurrency)
            self._fanout = Fanout(
                self._literal(),
                self._job_ended,
                route=route,
                window=window,
                clock=ctx.clock,
                guard=ctx.net.guard,
            )
        except OSError as error:
            raise classify(error, "connect") from None

    def facts(self) -> dict[str, Value | None]:
        """For `method`: how many connections there may have been at a time, and how late timers fired."""
        late = sorted(self.late)
        return {
            "window": self._fanout.window,
            "timers": len(late),
            "timer_late_p99_seconds": late[math.ceil(0.99 * len(late)) - 1] if late else None,
        }

    async def run(self) -> None:
        """Returns when every target has been asked. What has ended is recorded also when it is cancelled."""
        try:
            self._sort_out()
            for _ in range(min(AT_ONCE, len(self._named))):
                self._spawn(self._look_up_named())
            self._finish_if_done()
            worker = Worker("ots-fanout")
            await worker.run(lambda: self._fanout.run(worker), self._look)
            while self._ended:
                self._record()
                await asyncio.sleep(0)
        except OSError as error:
            raise classify(error, "connect") from None
        finally:
            for task in self._lookups:
                task.cancel()
            if self._lookups:
                await asyncio.wait(self._lookups)
            self._fanout.close()
            while self._ended:
                self._record()

    def _sort_out(self) -> None:
        """Tells names from literals; those that are neither have failed."""
        for owner in range(self._count):
            try:
                address = self._names.literal(self._asker.host(owner))
            except Failed as failure:
                self._give_up(owner, failure)
                continue
            if address is None:
                self._named.append(owner)
            else:
                self._spelled.append((owner, address))

    def _literal(self) -> Iterator[Job]:
        """The first jobs of targets that need no lookup, in the order in which they are due."""
        while self._spelled:
            owner, address = self._spelled.popleft()
            yield self._asker.first(owner, address, self._start + self._asker.due(owner))

    async def _look_up_named(self) -> None:
        while self._named:
            owner = self._named.popleft()
            try:
                address = await self._names.find(self._asker.host(owner))
            except Failed as failure:
                self._give_up(owner, failure)
            else:
                self._fanout.post(self._asker.first(owner, address, self._start + self._asker.due(owner)))

    async def _go_on(self, hop: Hop) -> None:
        try:
            job = await hop.job(await self._names.find(hop.host))
        except Failed as failure:
            self._give_up(hop.owner, failure)
        else:
            self._fanout.post(job)

    def _give_up(self, owner: int, failure: Failed) -> None:
        self._asker.failed(owner, failure)
        self._by_loop += 1
        self._recorded += 1
        self._finish_if_done()

    def _job_ended(self, job: Job) -> None:
        """In the engine's thread."""
        following = self._asker.follow(job)
        if job.response is not None:
            job.response.forget()
        self._ended.append(job)
        if isinstance(following, Job):
            self._fanout.add(following)
        elif following is not None:
            hop = following
            self._loop.call_soon_threadsafe(lambda: self._spawn(self._go_on(hop)))
        else:
            self._by_engine += 1
            self._finish_if_done()

    def _finish_if_done(self) -> None:
        """Each counter belongs to one thread; whoever counts last sees both."""
        if self._by_engine + self._by_loop >= self._count:
            self._fanout.finish()

    def _spawn(self, lookup: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(lookup)
        self._lookups.add(task)
        task.add_done_callback(self._lookup_ended)

    def _lookup_ended(self, task: asyncio.Task[None]) -> None:
        self._lookups.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._bug = task.exception()

    def _look(self) -> None:
        """Shows how far it is. Recording takes the engine's time, so it waits until much has ended."""
        if self._bug is not None:
            raise self._bug
        if len(self._ended) > _PILE:
            self._record()
        self._ctx.progress(min(1.0, (self._recorded + len(self._ended)) / self._planned))

    def _record(self) -> None:
        for _ in range(min(_SLICE, len(self._ended))):
            job = self._ended.popleft()
            if job.late is not None:
                self.late.append(job.late)
            self._recorded += 1
            self._asker.record(job)
