"""The data path of every throughput measurement, and the watch over it.

Bytes are counted in one place, a `Meter`: a download adds them as they arrive, an upload samples what the
peer has acknowledged. A `Watch` looks at all connections together: it closes the time or size box for all of
them at one instant, ends what stalls, books the data budget, and samples the round trip. How the bytes get to
the meter (`receive`) can be replaced by something faster without touching anything else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ots.netio.http.client import Answer
from ots.netio.tcpinfo import Connection, TCPInfo, tcp_info
from ots.probe import Context, Failed
from ots.stats.throughput import Curve, Span

BUCKET = 0.01
"""Seconds of a bucket of arrivals."""

POINTS = 60_000
"""Points after which a curve is thinned to half: memory stays constant however long the transfer."""

TICK = 0.02
SAMPLE = 0.1

StopReason = Literal["duration", "size", "end_of_file"]


@dataclass(slots=True)
class Flow:
    """One connection's share: instants of the request, the first and the last content, and its bytes."""

    number: int
    connect_start: float | None = None
    connected: float | None = None
    requested: float | None = None
    begin: float | None = None
    end: float | None = None
    bytes: int = 0
    moved: int = 0
    """Content bytes that came or went, also those that don't count: what the data budget is charged with."""
    overhead: int = 0
    """Bytes of headers and framing around the content."""
    requests: int = 0
    dials: int = 0
    finished: bool = False
    """It ended by itself and is not to be watched any longer."""
    connection: Connection | None = field(default=None, repr=False)
    info: TCPInfo | None = None
    """The last look at the connection, which survives its end."""

    def look(self) -> TCPInfo | None:
        """What the kernel says of the connection now; None if it is gone."""
        if self.connection is None or self.connection.fileno() < 0:
            return None
        self.info = tcp_info(self.connection) or self.info
        return self.info

    @property
    def span(self) -> Span | None:
        return None if self.begin is None or self.end is None else Span(self.begin, self.end)


class Meter:
    """Counts content where it arrives. Constant in memory; after `close` nothing counts any more."""

    def __init__(self, connections: int, *, size: int | None = None, sampled: bool = False) -> None:
        """`size` sets `full` once so many bytes have arrived, and nothing counts beyond it.

        `sampled`: bytes come through `delivered`.
        """
        self.flows = [Flow(number) for number in range(connections)]
        self._bucket = 0.0 if sampled else BUCKET
        # Between two samples the bytes are taken to have come evenly.
        self.curve = Curve(SAMPLE if sampled else BUCKET)
        self.full = asyncio.Event()
        self._size = size
        self._closed_at: float | None = None
        self._bucket_end = 0.0

    @property
    def bytes(self) -> int:
        return sum(flow.bytes for flow in self.flows)

    @property
    def moved(self) -> int:
        return sum(flow.moved for flow in self.flows)

    def arrived(self, flow: Flow, t: float, count: int) -> None:
        """Books content of one connection that arrived at `t`."""
        flow.moved += count
        total = self.curve.total[-1] if self.curve.total else 0
        if self._size is not None:
            count = min(count, self._size - total)
        if self._closed_at is not None or not count:
            return
        if flow.begin is None:
            flow.begin = t
        flow.bytes += count
        flow.end = t
        self._point(t, total + count)
        if total + count == self._size:
            self.full.set()

    def delivered(self, t: float, counts: Sequence[int]) -> None:
        """Books what had been delivered on each connection by `t`; it never shrinks."""
        if self._closed_at is not None:
            return
        for flow, count in zip(self.flows, counts, strict=True):
            if count > flow.bytes:
                flow.bytes, flow.moved, flow.end = count, count, t
        self._point(t, self.bytes)

    def close(self, t: float) -> None:
        """The instant at which all connections are cut."""
        if self._closed_at is None:
            self._closed_at = t

    @property
    def closed(self) -> bool:
        return self._closed_at is not None

    def _point(self, t: float, total: int) -> None:
        curve = self.curve
        # Arrivals of two connections may be read in another order than they were stamped.
        t = max(t, curve.t[-1]) if curve.t else t
        if curve.t and t < self._bucket_end:
            curve.t[-1], curve.total[-1] = t, total
            return
        if len(curve.t) >= POINTS:
            curve.t, curve.total = curve.t[1::2], curve.total[1::2]
            self._bucket = max(2 * self._bucket, 2 * TICK)
            curve.grain = max(curve.grain, self._bucket)
        curve.t.append(t)
        curve.total.append(total)
        self._bucket_end = t + self._bucket


@dataclass(frozen=True, slots=True)
class Box:
    """When a transfer is over: after so many seconds with all connections running, or so many bytes.

    With neither it is over when every connection has come to its end; `limit` is the longest it may take.
    """

    duration: float | None = None
    size: int | None = None
    limit: float | None = None


class Watch:
    """Looks at all connections of a transfer, fifty times a second."""

    def __init__(self, ctx: Context, meter: Meter, box: Box, *, stall: float, sent: bool) -> None:
        self._ctx = ctx
        self._meter = meter
        self._box = box
        self._stall = stall
        self._sent = sent
        self._booked = 0
        self._sampled = 0.0
        self._cpu_start = time.process_time()
        self._cpu_since = ctx.clock.monotonic()
        self.look: Callable[[float], None] = lambda now: None
        """Called at each tick before anything is judged; an upload samples here."""
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
            self.look(now)
            self._sample(now)
            reason = self._over(now)
            if reason is not None:
                self.cut_at, self.stop_reason = now, reason
                # What was sent before the cut still arrives; what is received after it doesn't count.
                if not self._sent:
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
            self.book()
            self._judge_stall(now)
            await asyncio.sleep(TICK)

    def finish(self) -> None:
        """The last look, whatever happened: books the rest and closes the meter."""
        now = self._ctx.clock.monotonic()
        self.look(now)
        self._meter.close(now)
        infos = [flow.info for flow in self._meter.flows if flow.info is not None]
        if infos and not self.rtts:
            self.rtts.append((now, sum(info.rtt for info in infos) / len(infos)))
        try:
            self._charge()
        except Failed:
            # What has been moved has been moved: the next step will be told that nothing is left.
            self._ctx.log.info("the data budget ended with this transfer")

    @property
    def cpu_ratio(self) -> float:
        """CPU seconds of this process for each second since the watch began; 1 is a whole core."""
        elapsed = self._ctx.clock.monotonic() - self._cpu_since
        return (time.process_time() - self._cpu_start) / elapsed if elapsed > 0 else 0.0

    def _over(self, now: float) -> StopReason | None:
        if self._meter.full.is_set():
            return "size"
        ends = self._ends_at()
        return "duration" if ends is not None and now >= ends else None

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
        rtts = [info.rtt for flow in self._meter.flows if (info := flow.look()) is not None]
        if rtts and any(flow.begin is not None for flow in self._meter.flows):
            self.rtts.append((now, sum(rtts) / len(rtts)))

    def book(self) -> None:
        """Charges the data budget as long as a connection moves data; `Failed` where nothing is left of it.

        A download calls this at every read, so that it oversteps by a read of each connection at most; an
        upload by what is acknowledged within a tick.
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
            raise

    def _charge(self) -> None:
        moved = self._meter.moved - self._booked
        self._booked += moved
        if self._sent:
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
                await self._meter.full.wait()
        except TimeoutError:
            return


async def receive(
    answer: Answer,
    flow: Flow,
    meter: Meter,
    digest: Callable[[bytes], object] | None,
    book: Callable[[], None],
) -> int:
    """Reads one body to its end into the meter; returns its bytes.

    `book` is called after each read that others may follow; it may raise `Failed`. Bytes are stamped with the
    instant at which the protocol got them, not with that at which this task ran.
    """
    count = 0
    arrivals = answer.arrivals
    flow.look()
    stamp = arrivals.first if answer.content_waits else None
    async for piece in answer.pieces():
        count += len(piece)
        meter.arrived(flow, arrivals.last if stamp is None else stamp, len(piece))
        stamp = None
        if digest is not None:
            digest(piece)
        if not (answer.ended or meter.full.is_set()):
            book()
    return count


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
            if watcher in done:
                watcher.result()
                if not drain:
                    break
                watcher = asyncio.create_task(watch.drain())
                tasks.add(watcher)
            for task in done & pending:
                task.result()
            pending -= done
        return watch.stop_reason or "end_of_file"
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
