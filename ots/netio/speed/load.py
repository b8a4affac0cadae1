"""One direction of a speed test: its connections, how many there are to be, and what they moved.

The transfer engine's meter and watch do the counting. What is here is the number of connections: it starts
with one, doubles as long as that brings a tenth more, and then stays.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, cast

from ots import units
from ots.netio.speed.params import Direction, SpeedParams
from ots.netio.transfer.intake import FASTEST
from ots.netio.transfer.meter import TICK, Flow, Meter
from ots.netio.transfer.watch import StopReason, Watch, together
from ots.probe import Context, Failed
from ots.stats.throughput import Curve, Span

GAIN = 1.1
"""More connections are worth having if the rate grows by this factor."""

STEP = 0.5
"""Seconds between two looks at the rate while connections are added."""

Connection = Callable[[Flow], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Told:
    """What a program that measures by itself says; there is no curve to look at."""

    bits_per_second: float
    bytes: int
    connections: int


class _Shown:
    """The part of a context that a watch uses, with progress of the whole test; slow lines in kbit/s."""

    def __init__(self, ctx: Context, load: Load) -> None:
        self.clock, self.budget, self.log = ctx.clock, ctx.budget, ctx.log
        self._ctx, self._load = ctx, load

    def progress(self, fraction: float | None, text: str = "") -> None:
        start, share = self._load.place
        done = None if fraction is None else start + share * max(0.0, fraction)
        meter = self._load.meter
        begins = [flow.begin for flow in meter.flows if flow.begin is not None]
        seconds = self.clock.monotonic() - min(begins) if begins else 0.0
        rate = 8 * meter.bytes / seconds if seconds > 0 else 0.0
        self._ctx.progress(done, f"{self._load.arrow} {units.display(rate, 'bit/s')}")


class Load:
    """One direction. `place` is where its progress begins in the whole, and how much of it it is."""

    def __init__(
        self, ctx: Context, direction: Direction, params: SpeedParams, place: tuple[float, float]
    ) -> None:
        self.ctx, self.direction, self.params, self.place = ctx, direction, params, place
        self.arrow = "▼" if direction == "down" else "▲"
        self.meter = Meter(0, sampled=direction == "up")
        shown = cast(Context, _Shown(ctx, self))
        self.watch = Watch(shown, self.meter, params.box, stall=params.stall_limit, sent=direction == "up")
        self.adaptive = params.connections == "auto"
        self.connections = 1 if params.connections == "auto" else params.connections
        """How many there are from the start on."""
        self.settled = not self.adaptive
        self.complete = False
        self.counted_at = "socket" if direction == "down" else "tcp_acked"
        self.told: Told | None = None
        self.delivered: tuple[Curve, list[Span]] | None = None
        """The peer's own count, on our clock, if it gave one."""
        self.stop_reason: str | None = None
        self.failure: Failed | None = None
        self.declined_connections = 0
        self.start = ctx.clock.monotonic()
        self.facts: dict[str, str | int | float | bool | None] = {}

    def fix(self, connections: int) -> None:
        """So many connections, and no more: for what is defined that way."""
        self.adaptive, self.settled, self.connections = False, True, connections

    @property
    def cut(self) -> bool:
        return self.watch.cut_at is not None

    async def run(self, connection: Connection, *, drain: bool) -> StopReason:
        """Runs as many connections as are worth having, until the time is over. `Failed` of the first."""
        self.start = self.ctx.clock.monotonic()
        self.meter.flows += [Flow(number) for number in range(self.connections)]
        return await together([self._connections(connection)], self.watch, drain=drain)

    async def _connections(self, connection: Connection) -> None:
        tasks: dict[asyncio.Task[None], Flow | None] = {}
        numbers = itertools.count(len(self.meter.flows))

        def start(flow: Flow) -> None:
            tasks[asyncio.create_task(connection(flow))] = flow

        def add() -> None:
            flow = Flow(next(numbers))
            self.meter.flows.append(flow)
            start(flow)

        for flow in self.meter.flows:
            start(flow)
        if self.adaptive:
            tasks[asyncio.create_task(self._grow(add))] = None
        try:
            while tasks:
                done, _pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    self._ended(task, tasks.pop(task))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None], flow: Flow | None) -> None:
        """A connection that was added and never came to anything only ends the adding."""
        failure = task.exception()
        if failure is None:
            return
        others = any(other.begin is not None for other in self.meter.flows if other is not flow)
        if not isinstance(failure, Failed) or flow is None or flow.begin is not None or not others:
            raise failure
        if not self.adaptive:
            raise failure
        self.meter.flows[:] = [other for other in self.meter.flows if other is not flow]
        self.declined_connections += 1
        self.settled = True

    async def _grow(self, add: Callable[[], None]) -> None:
        """Adds connections as long as that helps, and only while the time box is not nearly over.

        One that moves more than 10 Gigabit Ethernet carries keeps a processor busy at either end: such
        ones only up to half the processors.
        """
        clock, flows = self.ctx.clock, self.meter.flows
        step = min(STEP, self.params.duration / 10)
        before = 0.0
        while not self.settled and not self.cut and len(flows) < self.params.max_connections:
            while any(flow.begin is None for flow in flows) and not self.settled:
                if clock.monotonic() - self.start > self.params.growth_limit:
                    self.settled = True
                await asyncio.sleep(TICK)
            start, begun = clock.monotonic(), self.meter.bytes
            await asyncio.sleep(step)
            now = clock.monotonic()
            rate = (self.meter.bytes - begun) / (now - start)
            late = now - self.start + step > self.params.growth_limit
            if rate < GAIN * before or late or self.cut:
                break
            if rate > FASTEST * len(flows) and 2 * len(flows) >= (os.cpu_count() or 1):
                break
            before = rate
            for _ in range(min(len(flows), self.params.max_connections - len(flows))):
                add()
        self.settled = True
