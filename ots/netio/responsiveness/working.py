"""One direction under load: connections are added until goodput is stable, round trips timed until they are.

Working conditions are the last four intervals. What was timed before them is kept apart.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass

from ots.netio.responsiveness.load import Load
from ots.netio.responsiveness.params import Direction, ResponsivenessParams
from ots.netio.responsiveness.visit import Place, Trip, visit
from ots.probe import Context, Failed
from ots.stats.responsiveness import DISTANCE, Confidence, confidence, moving_averages, rpm, stable

_LOOK = 0.05
_START_LIMIT = 10.0
"""Seconds that the loading process may take to begin, beside its connection's time-outs."""

_PROBE_BITS = 8 * (5000 + 1000)
_PROBE_SHARE = 0.05
_PROBES_AN_INTERVAL = 100
_PROBES_AT_ONCE = 100
"""A probe costs about 6 kB; together they take at most 5 % of the goodput, and 100 an interval."""

_FASTEST, _SLOWEST = 0.02, 0.5
"""Seconds between two probes at least, and at most on however slow a link."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A foreign probe that failed, and why."""

    t: float
    failure: Failed


@dataclass(frozen=True, slots=True)
class Own:
    """A round trip on a connection that carries load."""

    t: float
    seconds: float


class Working:
    """The run of one direction, and what it knows so far; also after an early end."""

    def __init__(
        self,
        ctx: Context,
        direction: Direction,
        load: Load,
        place: Place,
        params: ResponsivenessParams,
        progress: tuple[float, float],
    ) -> None:
        self._ctx, self.direction, self.load, self._place, self._params = ctx, direction, load, place, params
        self._progress = progress
        self._booked = 0
        self._moved_at = 0.0
        self._start = 0.0
        self._closing = False
        self.ends: list[float] = []
        self.goodputs: list[float] = []
        self.rpms: list[float] = []
        self.trips: list[Trip] = []
        self.lost: list[Lost] = []
        self.own: list[Own] = []
        self.saturated = False
        self.stable = False
        self.stop_reason = "cut"

    @property
    def window(self) -> tuple[float, float] | None:
        """From when to when working conditions lasted; None before the first interval's end."""
        if not self.ends:
            return None
        first = len(self.ends) - DISTANCE
        return self._start if first <= 0 else self.ends[first - 1], self.ends[-1]

    @property
    def confidence(self) -> Confidence:
        whole = self.saturated and self.stable and not self.load.now.failures
        return confidence(len(self.ends), is_stable=whole)

    def within(self, start: float, end: float) -> tuple[list[Trip], list[float]]:
        """Foreign and own round trips that began in a span."""
        return (
            [trip for trip in self.trips if start <= trip.t < end],
            [own.seconds for own in self.own if start <= own.t < end],
        )

    async def run(self) -> None:
        """`Failed` if the load doesn't come about, stops, or loses all its connections."""
        self._add()
        await self._begin()
        probing = asyncio.create_task(self._probe())
        try:
            await self._intervals(probing)
            # A slow probe is as good a sample as a fast one: what began before the end is waited for.
            self._closing = True
            while not probing.done():
                await asyncio.wait({probing}, timeout=_LOOK)
                self._look(self._ctx.clock.monotonic())
            probing.result()
        finally:
            probing.cancel()
            await asyncio.gather(probing, return_exceptions=True)

    async def _begin(self) -> None:
        clock, params = self._ctx.clock, self._params
        until = clock.monotonic() + _START_LIMIT + 2 * params.timeout
        while not self.load.now.bytes:
            if self.load.failure is not None:
                raise self.load.failure
            if self.load.ended:
                raise Failed("internal", "transfer", "CHILD", "the loading process ended by itself")
            if clock.monotonic() > until:
                raise Failed("timeout", "first_byte", "TIMEOUT", "the load moved nothing in time")
            await asyncio.sleep(_LOOK / 5)
        self._start = self._moved_at = clock.monotonic()

    async def _intervals(self, probing: asyncio.Task[None]) -> None:
        params, start = self._params, self._start
        while True:
            end = start + (len(self.ends) + 1) * params.interval
            await self._until(end, probing)
            self._close_interval(end)
            if self.saturated and self.stable:
                self.stop_reason = "stable"
                return
            if end + params.interval > start + params.duration + _LOOK:
                self.stop_reason = "time"
                return

    async def _until(self, end: float, probing: asyncio.Task[None]) -> None:
        clock = self._ctx.clock
        while (now := clock.monotonic()) < end:
            await asyncio.sleep(min(_LOOK, end - now))
            if probing.done():
                probing.result()
            self._look(clock.monotonic())

    def _look(self, now: float) -> None:
        """Books what was moved; ends a load that no longer is one."""
        load, moved = self.load, self.load.now.bytes
        if moved > self._booked:
            fresh, self._booked, self._moved_at = moved - self._booked, moved, now
            if self.direction == "down":
                self._ctx.budget.spend(received=fresh)
            else:
                self._ctx.budget.spend(sent=fresh)
        if load.now.failures and not load.now.alive:
            raise load.failure or Failed("cutoff", "transfer", "EOF")
        if load.ended:
            raise Failed("internal", "transfer", "CHILD", "the loading process ended by itself")
        if now - self._moved_at > self._params.stall_limit:
            raise Failed(
                "stalled", "transfer", "STALL", f"the load moved nothing for {self._params.stall_limit:g} s"
            )
        begin, share = self._progress
        done = min(1.0, (now - self._start) / self._params.duration)
        rate = f"{self.goodputs[-1] / 1e6:.1f} Mbit/s" if self.goodputs else ""
        self._ctx.progress(begin + share * done, f"{'▼' if self.direction == 'down' else '▲'} {rate}")

    def _close_interval(self, end: float) -> None:
        begin = self.ends[-1] if self.ends else self._start
        self.goodputs.append(8 * (self.load.bytes_at(end) - self.load.bytes_at(begin)) / (end - begin))
        self.ends.append(end)
        value = self.responsiveness(begin, end)
        if value is not None:
            self.rpms.append(value)
        self.saturated = self.saturated or stable(self.goodputs)
        self.stable = self.saturated and stable(self.rpms)
        if not self.saturated and self.load.connections < self._params.max_connections:
            self._add()

    def _add(self) -> None:
        if self._ctx.net.guard is not None:
            self._ctx.net.guard.send(self._place.address)
        self.load.add()

    def responsiveness(self, start: float, end: float) -> float | None:
        """Round trips a minute of a span."""
        trips, own = self.within(start, end)
        tls = [trip.tls for trip in trips if trip.tls is not None]
        return rpm([trip.tcp for trip in trips], tls, [trip.http for trip in trips], own)

    @property
    def goodput(self) -> float | None:
        """The moving average at the end, bit/s."""
        averages: Sequence[float] = moving_averages(self.goodputs)
        return averages[-1] if averages else None

    async def _probe(self) -> None:
        """Times round trips for as long as it lives; a slow one holds up no other."""
        clock = self._ctx.clock
        running: set[asyncio.Task[None]] = set()
        due = clock.monotonic()
        try:
            while not self._closing:
                if len(running) < _PROBES_AT_ONCE:
                    task = asyncio.create_task(self._visit())
                    running.add(task)
                    task.add_done_callback(running.discard)
                if self.load.now.round_trips:
                    seconds = random.choice(self.load.now.round_trips)
                    self.own.append(Own(clock.monotonic(), seconds))
                due += self._spacing()
                await asyncio.sleep(max(0.0, due - clock.monotonic()))
            if running:
                await asyncio.wait(running, timeout=3 * self._params.timeout)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _visit(self) -> None:
        began = self._ctx.clock.monotonic()
        try:
            self.trips.append(await visit(self._ctx, self._place))
        except Failed as failure:
            self.lost.append(Lost(began, failure))

    def _spacing(self) -> float:
        elapsed = self._ctx.clock.monotonic() - self._start
        least = max(_FASTEST, self._params.interval / _PROBES_AN_INTERVAL)
        rate = 8 * self.load.now.bytes / elapsed if elapsed > 0 else 0.0
        affordable = _PROBE_BITS / (_PROBE_SHARE * rate) if rate else _SLOWEST
        return min(_SLOWEST, max(least, affordable))
