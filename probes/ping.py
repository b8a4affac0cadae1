"""ICMP echo: round-trip time, loss and delay variation of hosts, and who answers in a network."""

from __future__ import annotations

import asyncio
import ipaddress
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Annotated, Literal

from pydantic import Field

from ots.i18n import N_, _
from ots.model.metric import Metric
from ots.netio.binding import interface_index
from ots.netio.icmp import sockets as icmp_socket
from ots.netio.icmp.packet import HEADER_BYTES, IP_HEADER_BYTES, TOKEN_BYTES
from ots.netio.icmp.program import SystemPing
from ots.netio.icmp.session import EchoSession
from ots.netio.icmp.stream import Stream, schedule
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
from ots.probes._ping_record import EchoRecord
from ots.schema.quantity import Duration, Size

Family = Literal["4", "6"]

_LIMIT, _WIDE_LIMIT = 1 << 16, 1 << 20
"""Addresses that a network may have, without and with `allow_wide`: /16 and /12, in IPv6 /112 and /108."""


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
        int, Field(ge=1, le=100_000, description=N_("Packets a second to networks at most."))
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
        reached = [(target, addresses) for target, addresses in zip(targets, found, strict=True) if addresses]
        if not reached:
            return
        with ExitStack() as stack:
            sockets = _open(stack, ctx, reached, params)
            if sockets is None:
                await _by_program(ctx, reached, params)
            else:
                usable = [entry for entry in reached if entry[1][0].family in sockets]
                await _by_socket(ctx, usable, sockets, params)

    def summarise(self, attempts: Sequence[AttemptData], params: PingParams) -> list[Metric]:
        return published.summarise(attempts, params.segment)


Sockets = dict[Family, icmp_socket.ICMPSocket]
Reached = list[tuple[Target, Sequence[Address]]]


def _members_of(target: Target) -> int:
    """How many addresses a target stands for: network and broadcast address are none (RFC 3021: of /31)."""
    if target.network is None:
        return 1
    total = target.network.num_addresses
    return total if total <= 2 else total - (2 if target.network.version == 4 else 1)


def _streams(targets: Sequence[Target], params: PingParams) -> list[Stream]:
    """One periodic stream for each target. Hosts are spread over the interval; networks share the rate."""
    hosts = [target for target in targets if target.network is None]
    rate = params.sweep_rate / max(1, len(targets) - len(hosts))
    late = params.interval / 10
    streams: list[Stream] = []
    first = place = 0
    for target in targets:
        size = _members_of(target)
        if target.network is None:
            start = place * params.interval / len(hosts)
            streams.append(Stream(first, params.requests, params.interval, start=start, tolerance=late))
            place += 1
        else:
            period = max(params.interval, size / rate)
            streams.append(Stream(first, params.sweep_count, period, size, 1 / rate, tolerance=late))
        first += size
    return streams


def _widest(target: Target, params: PingParams) -> int | None:
    """The shortest prefix that would be swept, where the target's is shorter still; None if it is swept."""
    limit = _WIDE_LIMIT if params.allow_wide else _LIMIT
    if target.network is None or target.network.num_addresses <= limit:
        return None
    return target.network.max_prefixlen - limit.bit_length() + 1


async def _find(ctx: Context, target: Target, params: PingParams) -> Sequence[Address]:
    """The addresses of a target; none, with its attempt ended, if they can't be had."""
    try:
        if target.network is not None:
            return _sweepable(target, params)
        address = await ctx.net.resolve(target.host, params.route, timeout=params.resolve_timeout)
        _refuse_groups(address)
    except Failed as failure:
        ctx.failed(target.text, failure)
        return []
    return [address]


def _sweepable(target: Target, params: PingParams) -> list[Address]:
    widest = _widest(target, params)
    if widest is not None:
        remedy = None if params.allow_wide else N_("Say allow_wide: true, or give a part of the network.")
        raise Failed("config", "config", "TOO_WIDE", f"{target.text} is wider than /{widest}", remedy=remedy)
    assert target.network is not None
    family: Family = "4" if target.network.version == 4 else "6"
    if params.family not in ("auto", family):
        raise Failed("config", "config", "FAMILY", f"{target.text} is IPv{family}, asked is {params.family}")
    scope = interface_index(params.interface) if params.interface and target.network.is_link_local else 0
    return [Address(str(ip), family, str(ip), 0.0, scope) for ip in target.network.hosts()]


def _refuse_groups(address: Address) -> None:
    ip = ipaddress.ip_address(address.ip)
    if ip.is_multicast or ip.is_unspecified or address.ip == "255.255.255.255":
        raise Failed("config", "config", "NO_HOST", f"{address.ip} is no address of a single host")


def _open(stack: ExitStack, ctx: Context, reached: Reached, params: PingParams) -> Sockets | None:
    """A bound and configured socket for each family; None if the ping program is to be used instead.

    A family that this machine hasn't got ends the attempts of its targets and is left out.
    """
    if params.socket == "system":
        return None
    options = icmp_socket.Options(params.ttl, params.dscp, params.df)
    sockets: Sockets = {}
    for family in sorted({addresses[0].family for target, addresses in reached}):
        try:
            opened = stack.enter_context(icmp_socket.open_socket(family, params.socket, options))
        except Failed as failure:
            if failure.error.class_ == "permission":
                if params.socket == "auto" and shutil.which("ping"):
                    return None
                raise
            for target in (target for target, addresses in reached if addresses[0].family == family):
                ctx.failed(target.text, failure)
            continue
        ctx.net.bind(opened.socket, params.route)
        sockets[family] = opened
    return sockets


async def _by_socket(ctx: Context, reached: Reached, sockets: Sockets, params: PingParams) -> None:
    streams = _streams([target for target, addresses in reached], params)
    kinds = {family: opened.kind for family, opened in sockets.items()}
    record = _recorder(ctx, reached, streams, params, kinds)
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
        record.close(params.timeout, timestamp_source=session.timestamp_source)
        if session.clock_stepped:
            ctx.flag("clock_step")
    record.judge()


async def _by_program(ctx: Context, reached: Reached, params: PingParams) -> None:
    """Hosts only: one program for each of thousands of addresses would measure the machine."""
    for target in (target for target, addresses in reached if target.network is not None):
        ctx.failed(
            target.text,
            Failed(
                "permission",
                "connect",
                "EPERM",
                "a network can't be swept with the system's ping program",
                remedy=icmp_socket.REMEDY,
            ),
        )
    hosts = [(target, addresses) for target, addresses in reached if target.network is None]
    streams = _streams([target for target, addresses in hosts], params)
    record = _recorder(ctx, hosts, streams, params, {"4": "system", "6": "system"})
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
        record.close(params.timeout, timestamp_source="program")
    record.judge()


def _recorder(
    ctx: Context,
    reached: Reached,
    streams: Sequence[Stream],
    params: PingParams,
    kinds: Mapping[Family, str],
) -> EchoRecord:
    """The recorder, after saying how each target is measured."""
    for (target, addresses), stream in zip(reached, streams, strict=True):
        family = addresses[0].family
        ctx.method(
            target=target.text,
            address=addresses[0].ip if target.network is None else None,
            family=family,
            socket=kinds[family],
            interface=params.interface,
            source=params.source,
            size=params.size,
            ip_bytes=params.packet_bytes(family),
            ttl=params.ttl,
            dscp=params.dscp,
            df=params.df,
            count=stream.rounds,
            warmup=params.warmup if target.network is None else 0,
            interval=stream.period,
            timeout=params.timeout,
            schedule="periodic",
        )
    return EchoRecord(
        ctx,
        reached,
        warmup=params.warmup,
        planned=sum(stream.rounds * stream.size for stream in streams),
        packet_bytes={"4": params.packet_bytes("4"), "6": params.packet_bytes("6")},
    )
