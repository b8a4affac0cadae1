"""The watch over all connections of a transfer.

It closes the time or size box for all of them at one instant, ends what stalls, books the data budget, and
samples the round trip. How the bytes get to the meter is the protocol's business.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ots.netio.transfer.holdups import Holdups
from ots.netio.transfer.meter import SAMPLE, TICK, Meter
from ots.probe import Context, Failed

StopReason = Literal["duration", "size", "end_of_file", "stable", "data_budget"]

_LOOKS_STABLE = 0.1
"""Seconds between two looks at whether the rate has settled."""


@dataclass(frozen=True, slots=True)
class Box:
    """When a transfer is over: after so many seconds with all connections running, or so many bytes.

    With neither it is over when every connection has come to its end; `limit` is the longest it may take.
    With `stable` it is over earlier, when the rate has settled within that band (`stats.throughput.settled`).
    With `budget` the end of the data budget is an end like others, and no failure.
    """

    duration: float | None = None
    size: int | None = None
    limit: float | None = None
    stable: float | None = None
    budget: bool = False


class Watch:
    """Looks at all connections of a transfer, fifty times a second."""

    def __init__(self, ctx: Context, meter: Meter, box: Box, *, stall: float, sent: bool) -> None:
        self._ctx = ctx
        self._meter = meter
        self._box = box
        self._stall = stall
        self.sent = sent
        self._booked = 0
        self._booking = threading.Lock()
        self._sampled = 0.0
        self._settled_at = 0.0
        self._cpu_start = time.process_time()
        self._cpu_since = ctx.clock.monotonic()
        self.look: Callable[[float], None] = lambda now: None
        """Called at each tick before anything is judged; an upload samples here."""
        self.holdups = Holdups(sent=sent)
        self.rtts: list[tuple[float, float]] = []
        self.stop_reason: StopReason | None = None
        self.cut_at: float | None = None
        self.out_of_budget = False
        """The data budget ended the transfer: what was measured until then is as good as at any other cut."""

    async def run(self) -> None:
        """Returns at the cut. `Failed` when a connection stalls, time runs out or the budget is gone."""
        start = self._ctx.clock.monotonic()
        while True:
            now = self._ctx.clock.monotonic()
            self._meter.collect_all()
            self.look(now)
            self._sample(now)
            reason = self._over(now) or self._stable(now)
            if reason is not None:
                self.cut_at, self.stop_reason = now, reason
                # What was sent before the cut still arrives; what is received after it doesn't count.
                if not self.sent:
                    self._meter.close(now)
                return
            if self._box.limit is not None and now - start > self._box.limit:
                raise Failed(
                    "timeout", "transfer", "TIME_LIMIT", f"not complete within {self._box.limit:g} s"
                )
            self.book()
            self._judge_stall(now)
            self._show(now)
            await self._pause(now)

    async def drain(self) -> None:
        """Watches what is still on its way after the cut of an upload, until cancelled."""
        while True:
            now = self._ctx.clock.monotonic()
            self.look(now)
            if not self.ended_by_budget:
                self.book()
            self._judge_stall(now)
            await asyncio.sleep(TICK)

    def finish(self) -> None:
        """The last look, whatever happened: books the rest and closes the meter."""
        now = self._ctx.clock.monotonic()
        self.look(now)
        self._meter.close(now)
        self._meter.collect_all()
        infos = [flow.info for flow in self._meter.flows if flow.info is not None]
        if infos and not self.rtts:
            self.rtts.append((now, sum(info.rtt for info in infos) / len(infos)))
        try:
            self._charge()
        except Failed:
            # What has been moved has been moved: the next step will be told that nothing is left.
            self._ctx.log.info("the data budget ended with this transfer")

    @property
    def cpu_seconds(self) -> float:
        """CPU that this process has used since the watch began, all its threads."""
        return time.process_time() - self._cpu_start

    @property
    def cpu_ratio(self) -> float:
        """CPU seconds of this process for each second since the watch began; 1 is a whole core."""
        elapsed = self._ctx.clock.monotonic() - self._cpu_since
        return self.cpu_seconds / elapsed if elapsed > 0 else 0.0

    @property
    def busy_ratio(self) -> float:
        """The same without the looking for more that a thread did for want of anything else to do."""
        elapsed = self._ctx.clock.monotonic() - self._cpu_since
        polled = sum(flow.polled for flow in self._meter.flows)
        return max(0.0, self.cpu_ratio - polled / elapsed) if elapsed > 0 else 0.0

    def _over(self, now: float) -> StopReason | None:
        if self._meter.full:
            return "size"
        ends = self._ends_at()
        return "duration" if ends is not None and now >= ends else None

    def _stable(self, now: float) -> StopReason | None:
        if self._box.stable is None or now - self._settled_at < _LOOKS_STABLE:
            return None
        self._settled_at = now
        return "stable" if self._meter.settled(now, self._box.stable) else None

    @property
    def ended_by_budget(self) -> bool:
        """The data budget ended the transfer, and was to end it."""
        return self.out_of_budget and self._box.budget

    def _ends_at(self) -> float | None:
        """The time box opens when the last connection has its first content: all of it is under full load."""
        begins = [flow.begin for flow in self._meter.flows]
        if self._box.duration is None or any(begin is None for begin in begins):
            return None
        return max(begin for begin in begins if begin is not None) + self._box.duration

    def _judge_stall(self, now: float) -> None:
        for flow in self._meter.flows:
            if flow.begin is None or flow.finished:
                continue
            idle = now - max(flow.end or 0.0, flow.begin)
            if idle > self._stall:
                raise Failed(
                    "stalled",
                    "transfer",
                    "STALLED",
                    f"no byte for {self._stall:g} s on connection {flow.number + 1}",
                    retryable=True,
                )

    def _sample(self, now: float) -> None:
        if now - self._sampled < SAMPLE:
            return
        self._sampled = now
        for flow in self._meter.flows:
            self.holdups.look(now, flow)
        rtts = [info.rtt for flow in self._meter.flows if (info := flow.look()) is not None]
        if rtts and any(flow.begin is not None for flow in self._meter.flows):
            self.rtts.append((now, sum(rtts) / len(rtts)))

    def book(self) -> None:
        """Charges the data budget as long as a connection moves data; `Failed` where nothing is left of it.

        Called on the loop and by the threads that read. A download calls this at every mebibyte, so
        that it oversteps by two of each connection at most; an upload by what is acknowledged within a tick.
        """
        if all(flow.finished for flow in self._meter.flows):
            # A budget that fits exactly ends nothing.
            return
        try:
            self._charge()
        except Failed:
            self.out_of_budget = True
            if self.cut_at is None:
                self.cut_at = self._ctx.clock.monotonic()
                if self._box.budget:
                    self.stop_reason = "data_budget"
            raise

    def _charge(self) -> None:
        with self._booking:
            moved = self._meter.moved - self._booked
            self._booked += moved
            if self.sent:
                self._ctx.budget.spend(sent=moved)
            else:
                self._ctx.budget.spend(received=moved)

    def _show(self, now: float) -> None:
        done = self._meter.bytes
        ends = self._ends_at()
        shares = []
        if ends is not None and self._box.duration:
            shares.append(1 - (ends - now) / self._box.duration)
        if self._box.size:
            shares.append(done / self._box.size)
        since = min((flow.begin for flow in self._meter.flows if flow.begin is not None), default=now)
        rate = 8 * done / (now - since) if now > since else 0.0
        self._ctx.progress(min(1.0, max(shares)) if shares else None, f"{rate / 1e6:.3g} Mbit/s")

    async def _pause(self, now: float) -> None:
        ends = self._ends_at()
        pause = TICK if ends is None else max(0.0, min(TICK, ends - now))
        if self._box.size is None:
            await asyncio.sleep(pause)
            return
        try:
            async with asyncio.timeout(pause):
                await self._meter.filled.wait()
        except TimeoutError:
            return


async def together(
    connections: Sequence[Coroutine[Any, Any, None]], watch: Watch, *, drain: bool
) -> StopReason:
    """Runs all connections under the watch until the cut, the end of all, or the first failure.

    With `drain` the connections come to their own end after the cut, else they are cancelled there. Whatever
    happens, every task has ended when this returns.
    """
    watcher = asyncio.create_task(watch.run())
    pending = {asyncio.create_task(connection) for connection in connections}
    tasks = {watcher, *pending}
    try:
        while pending:
            done, _ = await asyncio.wait({watcher, *pending}, return_when=asyncio.FIRST_COMPLETED)
            for task in sorted(done, key=lambda each: each is not watcher):
                _succeeded(task, watch)
            if not drain and (watcher in done or watch.ended_by_budget):
                break
            if watcher in done:
                watcher = asyncio.create_task(watch.drain())
                tasks.add(watcher)
            pending -= done
        return watch.stop_reason or "end_of_file"
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _succeeded(task: asyncio.Task[None], watch: Watch) -> None:
    """Raises what the task raised, unless it is the end of a budget that was to end the transfer."""
    try:
        task.result()
    except Failed as failure:
        if not (watch.ended_by_budget and failure.error.class_ == "resource"):
            raise
