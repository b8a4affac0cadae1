"""ICMP echo: round-trip time, loss and delay variation of hosts, and who answers in a network."""

from __future__ import annotations

import asyncio
import ipaddress
import math
import shutil
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import ExitStack
from typing import Annotated, Literal

from pydantic import Field

from ots.i18n import N_, _
from ots.model.metric import Metric, Value
from ots.netio.binding import interface_index
from ots.netio.icmp import sockets as icmp_socket
from ots.netio.icmp.members import Members, count
from ots.netio.icmp.packet import HEADER_BYTES, IP_HEADER_BYTES, TOKEN_BYTES
from ots.netio.icmp.program import SystemPing
from ots.netio.icmp.session import EchoSession
from ots.netio.icmp.stream import Stream, schedule
from ots.netio.icmp.sweep import Sweep
from ots.netio.icmp.swept import Swept
from ots.probe import (
    Address,
    AttemptData,
    Context,
    Estimate,
    Failed,
    NetworkParams,
    Probe,
    Requirement,
    Target,
    Targets,
)
from ots.probes import _ping_metrics as published
from ots.probes._ping_record import EchoRecord, Progress
from ots.probes._sweep_record import SweepRecord
from ots.schema.quantity import Duration, Size

Family = Literal["4", "6"]

_LIMIT, _WIDE_LIMIT = 1 << 16, 1 << 20
"""Addresses that a network may have, without and with `allow_wide`: /16 and /12, in IPv6 /112 and /108."""

_KEPT = 50_000
"""Round trips that a step keeps one by one. A longer run is counted while it goes on."""


class PingParams(NetworkParams):
    """The parameters of ping; everything here but `socket` is part of what the figures mean."""

    count: Annotated[int, Field(ge=1, le=1_000_000, description=N_("Requests to each host."))] = 25
    interval: Annotated[
        Duration, Field(ge=0.001, le=3600, description=N_("Time between two requests to the same address."))
    ] = 0.2
    timeout: Annotated[
        Duration, Field(ge=0.001, le=60, description=N_("A reply that takes longer counts as lost."))
    ] = 2.0
    size: Annotated[
        Size, Field(ge=TOKEN_BYTES, le=65_507, description=N_("Bytes of payload behind the ICMP header."))
    ] = 56
    ttl: Annotated[int, Field(ge=1, le=255, description=N_("Time to live (hop limit) of the requests."))] = 64
    dscp: Annotated[int, Field(ge=0, le=63, description=N_("Differentiated services code point."))] = 0
    df: Annotated[bool, Field(description=N_("Forbid fragmentation on the way."))] = False
    warmup: Annotated[
        int, Field(ge=0, le=1000, description=N_("Requests sent before the counted ones and left out."))
    ] = 0
    segment: Annotated[
        int | None, Field(ge=2, description=N_("Also publish figures for each so many requests."))
    ] = None
    socket: Annotated[
        Literal["auto", "raw", "datagram", "system"],
        Field(description=N_("How to send; auto takes the first that this user may use.")),
    ] = "auto"
    sweep_count: Annotated[
        int, Field(ge=1, le=100, description=N_("Requests to each address of a network."))
    ] = 2
    sweep_rate: Annotated[
        int, Field(ge=1, le=1_000_000, description=N_("Packets a second to networks at most."))
    ] = 1000
    allow_wide: Annotated[
        bool, Field(description=N_("Also sweep networks wider than /16 (IPv4) or /112 (IPv6)."))
    ] = False
    resolve_timeout: Annotated[
        Duration, Field(ge=0.1, le=60, description=N_("How long a host name may take to resolve."))
    ] = 5.0

    @property
    def requests(self) -> int:
        """Requests to a host, warm-up included."""
        return self.warmup + self.count

    def packet_bytes(self, family: Family) -> int:
        """Bytes of a request with its headers, without IP options."""
        return self.size + HEADER_BYTES + IP_HEADER_BYTES[family]


class Ping(Probe):
    """One echo session over all hosts and networks of a step."""

    kind = "ping"
    example = "127.0.0.1"
    version = 1
    summary = N_("Round-trip time, loss and jitter by ICMP echo; which addresses of a network answer.")
    targets = Targets(forms=("host", "network"), many=True)
    Params = PingParams
    metrics = published.METRICS
    round_trip = published.RTT.key
    requires = (Requirement("program", "ICMP", icmp_socket.missing, icmp_socket.REMEDY),)

    def estimate(self, targets: Sequence[Target], params: PingParams) -> Estimate:
        duration, sent = 0.0, 0
        for target, stream in zip(targets, _streams(targets, params), strict=True):
            family: Family = "6" if ":" in target.host else "4"
            duration = max(duration, stream.duration)
            sent += stream.rounds * stream.size * params.packet_bytes(family)
        return Estimate(duration, sent, sent, params.resolve_timeout + duration + params.timeout)

    def warnings(self, targets: Sequence[Target], params: PingParams) -> list[str]:
        found = []
        if params.timeout > params.count * params.interval:
            found.append(
                _(
                    "timeout is longer than count × interval: if a reply is missing, "
                    "the step waits the whole timeout"
                )
            )
        for target in targets:
            widest = _widest(target, params)
            if widest is not None:
                found.append(
                    _("{target} is wider than /{prefix}: it will not be swept").format(
                        target=target.text, prefix=widest
                    )
                )
        return found

    def samples_planned(self, metric: str, targets: Sequence[Target], params: PingParams) -> int | None:
        if metric == published.REACHABILITY.key:
            return sum(target.network is None for target in targets)
        if metric in (published.SWEEP_RTT.key, published.SWEEP_RATIO.key):
            return min((_members_of(target) for target in targets if target.network), default=0)
        if metric in (published.IPDV.key, published.JITTER.key, published.JITTER_RFC3550.key):
            return params.count - 1
        if metric in (published.RTT.key, published.LOSS.key, published.PDV.key, published.TTL.key):
            return params.count
        return None if metric in (published.BURST.key, published.REORDERED.key) else 1

    async def run(self, ctx: Context, targets: Sequence[Target], params: PingParams) -> None:
        found = await asyncio.gather(*(_find(ctx, target, params) for target in targets))
        hosts = [
            (target, got) for target, got in zip(targets, found, strict=True) if isinstance(got, Address)
        ]
        networks = [
            (target, got) for target, got in zip(targets, found, strict=True) if isinstance(got, Members)
        ]
        progress = Progress(ctx, _planned(hosts, networks, params))
        runs = [_ask(ctx, hosts, params, progress)] if hosts else []
        runs += [_sweep(ctx, networks, params, progress)] if networks else []
        await _side_by_side(runs)

    def summarise(self, attempts: Sequence[AttemptData], params: PingParams) -> list[Metric]:
        return published.summarise(attempts, params.segment)


Sockets = dict[Family, icmp_socket.ICMPSocket]
Hosts = Sequence[tuple[Target, Address]]
Networks = Sequence[tuple[Target, Members]]


def _members_of(target: Target) -> int:
    """How many addresses a target stands for."""
    return 1 if target.network is None else count(target.network)


def _streams(targets: Sequence[Target], params: PingParams) -> list[Stream]:
    """One periodic stream for each target. Hosts are spread over the interval; networks follow one another,
    so that all together keep to the rate."""
    hosts = sum(target.network is None for target in targets)
    swept = sum(_members_of(target) for target in targets if target.network is not None)
    period, spacing = max(params.interval, swept / params.sweep_rate), 1 / params.sweep_rate
    streams: list[Stream] = []
    place = asked = 0
    for target in targets:
        if target.network is None:
            start = place * params.interval / hosts
            late = params.interval / 10
            streams.append(Stream(place, params.requests, params.interval, start=start, tolerance=late))
            place += 1
        else:
            size = _members_of(target)
            streams.append(Stream(0, params.sweep_count, period, size, spacing, start=asked * spacing))
            asked += size
    return streams


def _widest(target: Target, params: PingParams) -> int | None:
    """The shortest prefix that would be swept, where the target's is shorter still; None if it is swept."""
    limit = _WIDE_LIMIT if params.allow_wide else _LIMIT
    if target.network is None or target.network.num_addresses <= limit:
        return None
    return target.network.max_prefixlen - limit.bit_length() + 1


async def _find(ctx: Context, target: Target, params: PingParams) -> Address | Members | None:
    """A host's address or a network's members; None, with its attempt ended, if they can't be had."""
    try:
        if target.network is not None:
            return _sweepable(target, params)
        address = await ctx.net.resolve(target.host, params.route, timeout=params.resolve_timeout)
        _refuse_groups(address)
    except Failed as failure:
        ctx.failed(target.text, failure)
        return None
    return address


def _sweepable(target: Target, params: PingParams) -> Members:
    widest = _widest(target, params)
    if widest is not None:
        remedy = None if params.allow_wide else N_("Say allow_wide: true, or give a part of the network.")
        raise Failed("config", "config", "TOO_WIDE", f"{target.text} is wider than /{widest}", remedy=remedy)
    assert target.network is not None
    family: Family = "4" if target.network.version == 4 else "6"
    if params.family not in ("auto", family):
        raise Failed("config", "config", "FAMILY", f"{target.text} is IPv{family}, asked is {params.family}")
    scope = interface_index(params.interface) if params.interface and target.network.is_link_local else 0
    return Members(target.network, scope)


def _refuse_groups(address: Address) -> None:
    ip = ipaddress.ip_address(address.ip)
    if ip.is_multicast or ip.is_unspecified or address.ip == "255.255.255.255":
        raise Failed("config", "config", "NO_HOST", f"{address.ip} is no address of a single host")


def _open(
    stack: ExitStack,
    ctx: Context,
    reached: Sequence[tuple[Target, Address | Members]],
    params: PingParams,
    *,
    send_stamps: bool,
) -> Sockets | None:
    """A bound and configured socket for each family; None if the ping program is to be used instead.

    A family that this machine hasn't got ends the attempts of its targets and is left out.
    """
    if params.socket == "system":
        return None
    options = icmp_socket.Options(params.ttl, params.dscp, params.df)
    sockets: Sockets = {}
    for family in sorted({found.family for target, found in reached}):
        try:
            opened = stack.enter_context(
                icmp_socket.open_socket(family, params.socket, options, send_stamps=send_stamps)
            )
        except Failed as failure:
            if failure.error.class_ == "permission":
                if params.socket == "auto" and shutil.which("ping"):
                    return None
                raise
            for target in (target for target, found in reached if found.family == family):
                ctx.failed(target.text, failure)
            continue
        ctx.net.bind(opened.socket, params.route)
        sockets[family] = opened
    return sockets


async def _ask(ctx: Context, hosts: Hosts, params: PingParams, progress: Progress) -> None:
    """Pings the hosts over a socket, or with the system's program where none is allowed."""
    with ExitStack() as stack:
        sockets = _open(stack, ctx, hosts, params, send_stamps=True)
        if sockets is None:
            await _by_program(ctx, hosts, params, progress)
        else:
            usable = [entry for entry in hosts if entry[1].family in sockets]
            await _by_socket(ctx, usable, sockets, params, progress)


async def _by_socket(
    ctx: Context, hosts: Hosts, sockets: Sockets, params: PingParams, progress: Progress
) -> None:
    streams = _streams([target for target, address in hosts], params)
    kinds = {family: opened.kind for family, opened in sockets.items()}
    record = _recorder(ctx, hosts, params, kinds, progress)
    session = EchoSession(
        record.destinations,
        schedule(streams),
        sockets,
        size=params.size,
        timeout=params.timeout,
        clock=ctx.clock,
    )
    try:
        await session.run(record.deliver)
    finally:
        record.close(timestamp_source=session.timestamp_source)
        if session.clock_stepped:
            ctx.flag("clock_step")
    record.judge()


async def _by_program(ctx: Context, hosts: Hosts, params: PingParams, progress: Progress) -> None:
    record = _recorder(ctx, hosts, params, {"4": "system", "6": "system"}, progress)
    run = SystemPing(
        record.destinations,
        count=params.requests,
        interval=params.interval,
        timeout=params.timeout,
        size=params.size,
        options=icmp_socket.Options(params.ttl, params.dscp, params.df),
        route=params.route,
        clock=ctx.clock,
    )
    try:
        await run.run(record.deliver)
    finally:
        record.close(timestamp_source="program")
    record.judge()


def _recorder(
    ctx: Context, hosts: Hosts, params: PingParams, kinds: Mapping[Family, str], progress: Progress
) -> EchoRecord:
    """The recorder, after saying how each host is measured."""
    for target, address in hosts:
        ctx.method(
            target=target.text,
            address=address.ip,
            socket=kinds[address.family],
            count=params.requests,
            warmup=params.warmup,
            interval=params.interval,
            **_packet(params, address.family),
        )
    return EchoRecord(
        ctx,
        hosts,
        warmup=params.warmup,
        packet_bytes=_packet_bytes(params),
        progress=progress,
        every=_kept_every(len(hosts), params),
    )


def _kept_every(hosts: int, params: PingParams) -> int:
    """1 where every round trip is kept; else which ones: every so many. Segments need each."""
    return 1 if params.segment else max(1, math.ceil(hosts * params.requests / _KEPT))


async def _sweep(ctx: Context, networks: Networks, params: PingParams, progress: Progress) -> None:
    """Asks all addresses of the networks. Never with the system's program: a process for each of thousands
    of addresses would measure the machine."""
    with ExitStack() as stack:
        sockets = _open(stack, ctx, networks, params, send_stamps=False)
        if sockets is None:
            what = "a network can't be swept with the system's ping program"
            failure = Failed("permission", "connect", "EPERM", what, remedy=icmp_socket.REMEDY)
            for target, _members in networks:
                ctx.failed(target.text, failure)
            return
        usable = [entry for entry in networks if entry[1].family in sockets]
        streams = _streams([target for target, members in usable], params)
        swept = [
            (target, Swept(members, stream))
            for (target, members), stream in zip(usable, streams, strict=True)
        ]
        for target, one in swept:
            ctx.method(
                target=target.text,
                socket=sockets[one.members.family].kind,
                count=one.stream.rounds,
                interval=one.stream.period,
                rate=params.sweep_rate,
                **_packet(params, one.members.family),
            )
        await _swept(ctx, swept, sockets, params, progress)


async def _swept(
    ctx: Context,
    networks: Sequence[tuple[Target, Swept]],
    sockets: Sockets,
    params: PingParams,
    progress: Progress,
) -> None:
    if not networks:
        return
    record = SweepRecord(ctx, networks, packet_bytes=_packet_bytes(params), progress=progress)
    sweep = Sweep(
        [one for target, one in networks], sockets, size=params.size, timeout=params.timeout, clock=ctx.clock
    )
    try:
        await sweep.run(record.tick)
    finally:
        record.close(
            params.timeout,
            timestamp_source=sweep.timestamp_source,
            largest_batch=sweep.largest_batch,
            send_time_error_seconds=sweep.spread,
        )
        if sweep.clock_stepped:
            ctx.flag("clock_step")
    record.judge()


def _packet(params: PingParams, family: Family) -> dict[str, Value | None]:
    """What the method says of every packet."""
    return {
        "family": family,
        "interface": params.interface,
        "source": params.source,
        "size": params.size,
        "ip_bytes": params.packet_bytes(family),
        "ttl": params.ttl,
        "dscp": params.dscp,
        "df": params.df,
        "timeout": params.timeout,
        "schedule": "periodic",
    }


def _packet_bytes(params: PingParams) -> dict[str, int]:
    return {"4": params.packet_bytes("4"), "6": params.packet_bytes("6")}


def _planned(hosts: Hosts, networks: Networks, params: PingParams) -> int:
    asked = sum(len(members) for target, members in networks)
    return len(hosts) * params.requests + asked * params.sweep_count


async def _side_by_side(runs: Sequence[Coroutine[None, None, None]]) -> None:
    """Runs all; when one fails, the others are cancelled and tidied up before its failure is raised."""
    tasks = [asyncio.ensure_future(run) for run in runs]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
