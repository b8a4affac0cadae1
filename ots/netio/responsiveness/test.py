"""A whole measurement: round trips without load, then under load each way."""

from __future__ import annotations

import asyncio
import math

from ots.model.metric import Value
from ots.model.outcome import outcome_of
from ots.netio.responsiveness.load import loading
from ots.netio.responsiveness.order import Order
from ots.netio.responsiveness.params import Direction, ResponsivenessParams
from ots.netio.responsiveness.visit import Place, visit
from ots.netio.responsiveness.working import Working
from ots.netio.tls import client_context
from ots.probe import Context, Failed, Target
from ots.stats import distribution
from ots.stats.responsiveness import DRAFT

_SPACING = 0.05
_CALM = 3.0
"""Seconds that the queues may take to empty between two loads."""

_CALM_AGAIN, _CALM_SLACK = 1.5, 0.002
"""They are empty when a round trip takes no more than this times the idle median, and 2 ms."""

_BUSY = 0.85
"""Share of one processor from which the loading process itself may have been the limit."""

_IDLE_SHARE = 0.05

RAMP = {"phase": "ramp"}
"""The label of samples from before working conditions."""


class ResponsivenessTest:
    """One attempt."""

    def __init__(self, ctx: Context, target: Target, params: ResponsivenessParams) -> None:
        self._ctx, self._target, self._params = ctx, target, params
        self._idle_trips: list[float] = []

    async def run(self) -> None:
        ctx, params, target = self._ctx, self._params, self._target
        address = await ctx.net.resolve(target.host, params.route, timeout=params.timeout)
        secure = target.scheme == "https"
        context = None
        if secure:
            context = client_context(verify=params.verify, ca_file=params.ca_file, alpn=("http/1.1",))
        place = Place(
            address,
            target.port or (443 if secure else 80),
            target.authority,
            target.host,
            self._below(params.small),
            params.route,
            context,
            params.timeout,
        )
        ctx.method(
            rpm_draft=DRAFT,
            address=address.ip,
            family=address.family,
            interface=params.interface,
            source=params.source,
            tls=secure,
            http_version="1.1",
            interval=params.interval,
            max_connections=params.max_connections,
            self_probe="tcp_round_trip",
        )
        await self._idle(place)
        share = (1 - _IDLE_SHARE) / len(params.wanted)
        for number, direction in enumerate(params.wanted):
            if number:
                await self._calm(place)
            await self._loaded(direction, place, (_IDLE_SHARE + number * share, share))
        ctx.mark("completed")

    async def _idle(self, place: Place) -> None:
        """Round trips without load; the first may wake a radio or look up a neighbour: it isn't counted."""
        ctx, count = self._ctx, self._params.count
        await visit(ctx, place)
        for number in range(count):
            await asyncio.sleep(_SPACING)
            trip = await visit(ctx, place)
            self._idle_trips.append(trip.tcp)
            ctx.record("load_idle_rtt_seconds", trip.tcp, t=trip.t)
            ctx.record("load_idle_http_seconds", trip.http, t=trip.t)
            ctx.progress(_IDLE_SHARE * (number + 1) / count)

    async def _calm(self, place: Place) -> None:
        """Waits until the load before has left the queues."""
        clock = self._ctx.clock
        until = clock.monotonic() + _CALM
        usual = distribution.median(sorted(self._idle_trips))
        while clock.monotonic() < until:
            await asyncio.sleep(_SPACING)
            if (await visit(self._ctx, place)).tcp <= _CALM_AGAIN * usual + _CALM_SLACK:
                return
        self._ctx.log.info(f"the queues had not emptied within {_CALM:g} s of the load's end")

    async def _loaded(self, direction: Direction, place: Place, progress: tuple[float, float]) -> None:
        params = self._params
        if self._ctx.net.guard is not None:
            self._ctx.net.guard.permit(place.address, place.port)
        order = Order(
            direction=direction,
            ip=place.address.ip,
            family=place.address.family,
            scope=place.address.scope,
            port=place.port,
            host=place.host,
            server_name=place.server_name,
            path=self._below(params.download if direction == "down" else params.upload),
            tls=place.context is not None,
            verify=params.verify,
            ca_file=params.ca_file,
            interface=params.interface,
            source=params.source,
            timeout=max(params.timeout, params.stall_limit + 1),
        )
        async with loading(order) as load:
            working = Working(self._ctx, direction, load, place, params, progress)
            sound = True
            try:
                await working.run()
            except Failed as failure:
                # A load that broke made no working conditions; one that was cut short had some.
                sound = outcome_of(failure.error.class_) == "invalid"
                raise
            finally:
                self._record(working, working.window if sound else None)

    def _record(self, working: Working, window: tuple[float, float] | None) -> None:
        """What was seen, that of working conditions (`window`) apart from what came before."""
        ctx, way = self._ctx, working.direction
        standing, first = working.load.now, next(iter(working.load.history), None)
        seconds = 0.0 if first is None else standing.t - first.t
        cpu = (standing.cpu - first.cpu) / seconds if first is not None and seconds > 0 else None
        facts: dict[str, Value | None] = {
            f"{way}_stop_reason": working.stop_reason,
            f"{way}_connections": working.load.connections,
            f"{way}_connection_errors": len(standing.failures),
            f"{way}_intervals": len(working.ends),
            f"{way}_goodput_stable": working.saturated,
            f"{way}_bytes": standing.bytes,
            f"{way}_probes_failed": len(working.lost),
            f"{way}_load_cpu_ratio": None if cpu is None else round(cpu, 3),
        }
        for name, fact in facts.items():
            ctx.method(target=None, **{name: fact})
        if cpu is not None and cpu > _BUSY:
            ctx.flag("probe_limited")
        begin, end = window or (math.inf, math.inf)
        for trip in working.trips:
            labels = {"direction": way} if begin <= trip.t < end else {"direction": way, **RAMP}
            ctx.record("load_foreign_tcp_seconds", trip.tcp, t=trip.t, **labels)
            ctx.record("load_foreign_http_seconds", trip.http, t=trip.t, **labels)
            if trip.tls is not None:
                ctx.record("load_foreign_tls_seconds", trip.tls, t=trip.t, **labels)
        for lost in working.lost:
            labels = {"direction": way} if begin <= lost.t < end else {"direction": way, **RAMP}
            ctx.record("load_foreign_tcp_seconds", None, t=lost.t, reason=lost.failure.error.class_, **labels)
        for own in working.own:
            labels = {"direction": way} if begin <= own.t < end else {"direction": way, **RAMP}
            ctx.record("load_self_http_seconds", own.seconds, t=own.t, **labels)
        if window is None:
            return
        ctx.record("load_goodput_bits_per_second", working.goodput, t=end, direction=way)
        value = working.responsiveness(begin, end)
        reason = None if value is not None else "no_samples"
        ctx.record("load_responsiveness_rpm", value, t=end, reason=reason, direction=way)
        ctx.record("load_confidence", working.confidence, t=end, direction=way)

    def _below(self, path: str) -> str:
        """A path below the target's, whether or not that ends with a slash."""
        base = self._target.path.partition("?")[0].rstrip("/")
        return path if path.startswith("/") else f"{base}/{path}"
