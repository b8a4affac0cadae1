"""The path to a host: which routers, how far each is, where packets get lost, and how large they may be.

Probes with growing hop limits die on the way, and the routers that drop them say so. All probes of a trace
are one flow (same addresses, protocol and ports; of ICMP also identifier and checksum), so routers that
spread flows over parallel links send all of them the same way: what is shown is one path and not a mixture of
several (Augustin et al. 2006). Several cycles give each hop statistics.

What the figures are not: a router answers for itself when it has time, and many answer only so often. Loss or
delay at a hop that the hops behind it don't have is the router's manner and not the path's. Replies may come
back another way than the probes went. Tunnels hide their routers.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from ots.i18n import N_, _
from ots.model.metric import Metric
from ots.netio.binding import socket_family
from ots.netio.icmp import sockets as icmp_socket
from ots.netio.trace.echo import LEAST_PAYLOAD, EchoWire
from ots.netio.trace.mtu import find_path_mtu, interface_mtu
from ots.netio.trace.session import PathSession, Plan
from ots.netio.trace.tcp import TCPWire, raw_tcp
from ots.netio.trace.udp import UDPWire
from ots.netio.trace.wire import MOST_PROBES, Wire, local_address
from ots.probe import (
    Address,
    AttemptData,
    Context,
    Estimate,
    Failed,
    NetworkParams,
    Probe,
    Target,
    Targets,
)
from ots.probes import _trace_metrics as published
from ots.probes._trace_record import PathRecord
from ots.schema.quantity import Duration, Size

Protocol = Literal["icmp", "udp", "tcp"]

REMEDY = N_(
    "Choose protocol udp, which needs no right; or run as root, or "
    '`sudo sysctl net.ipv4.ping_group_range="0 2147483647"`.'
)
_DEFAULT_PORT = {"icmp": None, "udp": 33434, "tcp": 443}
_LONGEST_QUOTE = 576
_MTU_ROUNDS = 17
"""Sizes that a search for the path MTU tries at most, about."""
_MTU_PACE = 1.1
_MTU_PATIENCE = 3
"""How many round trips a packet of the search is waited for."""


class TraceParams(NetworkParams):
    """The parameters of trace; all but `parallel` are part of what the figures mean."""

    protocol: Annotated[
        Literal["auto", "icmp", "udp", "tcp"],
        Field(description=N_("What the probes are; auto is icmp where this user may, else udp.")),
    ] = "auto"
    port: Annotated[
        int | None,
        Field(ge=1, le=65535, description=N_("Destination port: udp 33434, tcp 443 if not given.")),
    ] = None
    count: Annotated[int, Field(ge=1, le=1000, description=N_("Cycles: probes to each hop."))] = 10
    interval: Annotated[
        Duration, Field(ge=0.01, le=3600, description=N_("Time between two probes to the same hop."))
    ] = 1.0
    timeout: Annotated[
        Duration, Field(ge=0.01, le=60, description=N_("An answer that takes longer counts as lost."))
    ] = 2.0
    flows: Annotated[
        int,
        Field(ge=1, le=16, description=N_("Flows, each cycle the next: more than one finds parallel paths.")),
    ] = 1
    max_hops: Annotated[int, Field(ge=1, le=64, description=N_("Largest hop limit to try."))] = 30
    parallel: Annotated[int, Field(ge=1, le=256, description=N_("Probes on their way at once at most."))] = 64
    size: Annotated[
        Size,
        Field(ge=LEAST_PAYLOAD, le=1200, description=N_("Bytes of payload (not of tcp: a SYN has none).")),
    ] = 32
    dscp: Annotated[int, Field(ge=0, le=63, description=N_("Differentiated services code point."))] = 0
    path_mtu: Annotated[
        bool, Field(description=N_("Also find the largest packet that passes without being cut up."))
    ] = False
    resolve_timeout: Annotated[
        Duration, Field(ge=0.1, le=60, description=N_("How long a host name may take to resolve."))
    ] = 5.0

    @property
    def plan(self) -> Plan:
        flows = min(self.flows, self.count)
        return Plan(self.count, self.interval, 1, self.max_hops, self.timeout, self.parallel, flows)


class Trace(Probe):
    """Sends one flow of probes with growing hop limits, and listens to what the routers say."""

    kind = "trace"
    version = 1
    summary = N_("The path to a host hop by hop: routers, round-trip times, loss, changes, path MTU.")
    example = "127.0.0.1"
    targets = Targets(forms=("host",))
    Params = TraceParams
    metrics = published.METRICS

    def estimate(self, targets: Sequence[Target], params: TraceParams) -> Estimate:
        plan = params.plan
        packets = params.count * params.max_hops
        sent = packets * (params.size + 48)
        search = 0.0
        if params.path_mtu:
            search = _MTU_ROUNDS * _MTU_PATIENCE * max(params.timeout, _MTU_PACE)
            sent += _MTU_ROUNDS * 65_535
        windows = packets / params.parallel * params.timeout
        longest = params.resolve_timeout + max(plan.duration, windows) + params.timeout + search
        return Estimate(plan.duration, sent + packets * _LONGEST_QUOTE, sent, longest)

    def warnings(self, targets: Sequence[Target], params: TraceParams) -> list[str]:
        if params.interval < 1 and params.count > 6:
            return [
                _(
                    "interval is below 1 s: routers limit how often they answer, and what they leave "
                    "unanswered looks like loss"
                )
            ]
        return []

    def samples_planned(self, metric: str, targets: Sequence[Target], params: TraceParams) -> int | None:
        return params.count if metric in (published.RTT.key, published.LOSS.key) else 1

    async def run(self, ctx: Context, targets: Sequence[Target], params: TraceParams) -> None:
        address = await ctx.net.resolve(targets[0].host, params.route, timeout=params.resolve_timeout)
        _refuse_groups(address)
        wires: list[Wire] = []
        try:
            for _flow in range(params.plan.flows):
                wires.append(_wire(ctx, address, params))
            _say_how(ctx, wires[0], params)
            record = PathRecord(ctx, address, params.plan)
            session = PathSession(wires, params.plan, ctx.clock, record.settle, ctx.net.guard)
            try:
                await session.run()
            finally:
                record.close(session)
            if params.path_mtu:
                await _path_mtu(ctx, wires[0], record, params)
            record.judge()
        finally:
            for wire in wires:
                wire.close()

    def summarise(self, attempts: Sequence[AttemptData], params: TraceParams) -> list[Metric]:
        return published.summarise(attempts)


def _refuse_groups(address: Address) -> None:
    ip = ipaddress.ip_address(address.ip)
    if ip.is_multicast or ip.is_unspecified or address.ip == "255.255.255.255":
        raise Failed("config", "config", "NO_HOST", f"{address.ip} is no address of a single host")


def _wire(ctx: Context, address: Address, params: TraceParams) -> Wire:
    """The flow that was asked for, bound as the route says; `Failed` with its remedy without the right."""
    protocol = params.protocol
    if protocol == "auto":
        protocol = "icmp" if icmp_socket.allowed(address.family) else "udp"
    if protocol == "udp":
        return _udp(ctx, address, params)
    return _echo(ctx, address, params) if protocol == "icmp" else _tcp(ctx, address, params)


def _udp(ctx: Context, address: Address, params: TraceParams) -> Wire:
    sock = ctx.net.udp(address, params.route, params.port or _DEFAULT_PORT["udp"])
    try:
        _mark(sock, params.dscp)
        return UDPWire(address, sock, params.port or 33434, params.size)
    except BaseException:
        sock.close()
        raise


def _icmp(
    ctx: Context, address: Address, params: TraceParams, kind: Literal["auto", "raw"]
) -> icmp_socket.ICMPSocket:
    try:
        opened = icmp_socket.open_socket(address.family, kind, icmp_socket.Options(dscp=params.dscp))
    except Failed as failure:
        if failure.error.class_ == "permission":
            failure.error.remedy = REMEDY
        raise
    try:
        ctx.net.bind(opened.socket, params.route)
    except BaseException:
        opened.close()
        raise
    return opened


def _echo(ctx: Context, address: Address, params: TraceParams) -> EchoWire:
    return EchoWire(address, _icmp(ctx, address, params, "auto"), params.size)


def _tcp(ctx: Context, address: Address, params: TraceParams) -> Wire:
    if ctx.net.guard is not None:
        ctx.net.guard.permit(address, params.port or _DEFAULT_PORT["tcp"])
    opened: list[socket.socket | icmp_socket.ICMPSocket] = []
    try:
        raw = raw_tcp(socket_family(address))
        opened.append(raw)
        _mark(raw, params.dscp)
        errors = _icmp(ctx, address, params, "raw")
        opened.append(errors)
        holder = socket.socket(socket_family(address), socket.SOCK_STREAM)
        opened.append(holder)
        ctx.net.bind(raw, params.route)
        ctx.net.bind(holder, params.route)
        return TCPWire(address, params.port or 443, errors, raw, holder)
    except BaseException:
        for each in opened:
            each.close()
        raise


def _mark(sock: socket.socket, dscp: int) -> None:
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, dscp << 2)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, dscp << 2)


def _say_how(ctx: Context, wire: Wire, params: TraceParams) -> None:
    family = wire.destination.family
    ctx.method(
        probes=wire.protocol,
        socket=wire.socket_kind,
        address=wire.destination.ip,
        family=family,
        flow="constant" if params.plan.flows == 1 else "several",
        port=None if wire.protocol == "icmp" else params.port or _DEFAULT_PORT[wire.protocol],
        interface=params.interface,
        source=params.source,
        size=params.size,
        dscp=params.dscp,
        count=params.count,
        interval=params.interval,
        timeout=params.timeout,
        max_hops=params.max_hops,
    )


async def _path_mtu(ctx: Context, wire: Wire, record: PathRecord, params: TraceParams) -> None:
    """Searches the path MTU and records it, or why not.

    By echo requests where this user may send them, since the destination answers those without a limit; by
    the trace's own datagrams where it may not, or where nobody answers an echo.
    """
    if not record.reached:
        ctx.record(published.PATH_MTU.key, None, reason="not_reached")
        return
    most = interface_mtu(local_address(wire.destination, wire.sockets[0])) or 65_535
    wait = min(params.timeout, _MTU_PATIENCE * record.slowest)
    first = params.count * params.max_hops % MOST_PROBES
    ctx.progress(None, _("searching the path MTU"))
    found = None
    if wire.protocol != "icmp" and icmp_socket.allowed(wire.destination.family):
        echo = _echo(ctx, wire.destination, params)
        try:
            found = await find_path_mtu(echo, most, wait, ctx.clock, first, ctx.net.guard)
        finally:
            echo.close()
        ctx.budget.spend(sent=found.sent, received=found.received)
    if isinstance(wire, EchoWire | UDPWire) and (found is None or found.value is None):
        found = await find_path_mtu(wire, most, wait, ctx.clock, first, ctx.net.guard)
        ctx.budget.spend(sent=found.sent, received=found.received)
    if found is None or found.value is None:
        ctx.record(published.PATH_MTU.key, None, reason="loss")
        return
    ctx.method(mtu_told_by=found.told_by, mtu_black_hole=found.silent, interface_mtu_bytes=most)
    ctx.record(published.PATH_MTU.key, found.value)
