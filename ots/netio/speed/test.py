"""A whole speed test: choose a server, greet it, time round trips, load it down and up, take leave."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from ots.model.outcome import outcome_of
from ots.netio.http.params import way_to
from ots.netio.speed.choice import nearest
from ots.netio.speed.cli import CLIService
from ots.netio.speed.detect import detect
from ots.netio.speed.files import LibreSpeedService, MiniService
from ots.netio.speed.load import Load
from ots.netio.speed.ndt7 import NDT7Service
from ots.netio.speed.ots_protocol import OTSService
from ots.netio.speed.params import SpeedParams
from ots.netio.speed.record import record
from ots.netio.speed.server import ProtocolName, Server
from ots.netio.speed.service import Service, ServiceMaker, Visit
from ots.probe import Context, Failed, Target

SERVICES: Mapping[ProtocolName, ServiceMaker] = {
    "ots": OTSService,
    "librespeed": LibreSpeedService,
    "ndt7": NDT7Service,
    "mini": MiniService,
    "speedtest_cli": CLIService,
}

_LIKE_HTTP_TRANSFERS: tuple[ProtocolName, ...] = ("ots", "librespeed", "mini")
"""Those whose bytes the transfer engine moves itself: the ceilings of the HTTP probes are theirs, too."""

_LATENCY_SHARE = 0.1


class SpeedTest:
    """One attempt."""

    def __init__(self, ctx: Context, target: Target, params: SpeedParams) -> None:
        self._ctx, self._target, self._params = ctx, target, params
        self._moved = False

    async def run(self) -> None:
        """`Failed` of the last server where none could be measured."""
        self._ctx.method(speed_method="steady_mean")
        tried: list[str] = []
        servers = await self._candidates()
        for number, server in enumerate(servers):
            try:
                await self._measure(server)
                return
            except Failed as failure:
                ours = outcome_of(failure.error.class_) == "invalid"
                if self._moved or ours or number + 1 == len(servers):
                    raise
                tried.append(f"{server.name}: {failure.error.class_} {failure.error.code}")
                self._ctx.log.info(f"{server.name} can't be measured ({failure}); the next one is tried")
                self._ctx.method(tried="; ".join(tried)[:500])

    async def _candidates(self) -> list[Server]:
        target, params = self._target, self._params
        listed = [server for server in params.servers if server.url == target.text]
        if listed:
            return listed
        if target.scheme is not None:
            return [Server(name=target.authority, url=target.text, protocol=params.protocol)]
        if not params.servers:
            raise Failed("config", "config", "NO_SERVERS", f"no server is known as {target.text!r}")
        servers = list(params.servers)
        if len(servers) > 1 and params.proxy == "none":
            self._ctx.progress(None, "choosing a server")
            servers = await nearest(self._ctx, servers, params.route, params.timeout)
        return servers[: params.candidates]

    async def _measure(self, server: Server) -> None:
        ctx = self._ctx
        target = _plain(server.target)
        visit = Visit(ctx, server.target, self._params, way_to(ctx, target, self._params))
        await visit.way.address(target.host if visit.way.proxy is None else visit.way.proxy.host)
        protocol = server.protocol if server.protocol != "auto" else self._params.protocol
        if protocol == "auto":
            protocol = await detect(visit)
        service = SERVICES[protocol](visit)
        ctx.method(
            protocol=protocol,
            server=server.url,
            server_name=server.name,
            operator=server.operator,
            place=server.place,
            rtt_method=service.round_trip_method,
        )
        try:
            ctx.progress(0.0, server.name)
            await service.open()
            await self._stages(server, service)
        finally:
            await service.close()

    async def _stages(self, server: Server, service: Service) -> None:
        await self._round_trips(service)
        self._ctx.record("speed_server_id", server.name)
        wanted = self._params.wanted
        share = (1.0 - _LATENCY_SHARE) / len(wanted)
        for number, direction in enumerate(wanted):
            load = Load(self._ctx, direction, self._params, (_LATENCY_SHARE + number * share, share))
            await self._loaded(service, load)
        self._ctx.mark("completed")

    async def _round_trips(self, service: Service) -> None:
        ctx, params = self._ctx, self._params
        before: float | None = None
        differences: list[float] = []
        async for seconds in service.round_trips(params.count, params.interval):
            ctx.record("speed_idle_rtt_seconds", seconds)
            if before is not None:
                differences.append(abs(seconds - before))
            before = seconds
        if differences:
            ctx.record("speed_idle_jitter_seconds", sum(differences) / len(differences))

    async def _loaded(self, service: Service, load: Load) -> None:
        failure, cancelled = None, False
        try:
            await (service.download(load) if load.direction == "down" else service.upload(load))
        except Failed as error:
            failure = error
            raise
        except asyncio.CancelledError:
            cancelled = True
            raise
        finally:
            load.watch.finish()
            self._moved = self._moved or load.meter.moved > 0
            begins = [flow.begin for flow in load.meter.flows if flow.begin is not None]
            if begins:
                self._ctx.mark("first_content", t=min(begins), source="socket")
            self._moved = self._moved or load.told is not None
            if self._moved or load.complete or cancelled:
                calibrated = service.protocol in _LIKE_HTTP_TRANSFERS
                record(load, failure, cancelled=cancelled, calibrated=calibrated)


def _plain(target: Target) -> Target:
    """The target as HTTP reaches it: a WebSocket begins as a request."""
    return replace(target, scheme={"ws": "http", "wss": "https"}.get(target.scheme or "", target.scheme))
