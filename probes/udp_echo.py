"""UDP echo against an OTS responder: round trip, and loss and jitter on each way by itself."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from functools import partial
from typing import Annotated

from pydantic import Field

from ots.i18n import N_, _
from ots.model.metric import Metric
from ots.netio.errors import classify
from ots.netio.udp_echo import wire
from ots.netio.udp_echo.handshake import Channel, ask_report, close_session, open_session
from ots.netio.udp_echo.session import EchoRun
from ots.probe import (
    Address,
    AttemptData,
    Context,
    Estimate,
    NetworkParams,
    Probe,
    Target,
    Targets,
)
from ots.probes import _udp_echo_metrics as published
from ots.probes._udp_echo_record import UDPEchoRecord
from ots.schema.quantity import Duration, Secret, Size

DEFAULT_PORT = 2112

_HEADERS = {"4": 28, "6": 48}
"""Bytes of IP and UDP headers."""

_HANDSHAKE = 1.0


class UDPEchoParams(NetworkParams):
    """The parameters of an echo session; everything but `key` is part of what the figures mean."""

    count: Annotated[int, Field(ge=1, le=1_000_000, description=N_("Requests to send."))] = 100
    interval: Annotated[Duration, Field(ge=0.001, le=10, description=N_("Time between two requests."))] = 0.05
    timeout: Annotated[
        Duration, Field(ge=0.001, le=60, description=N_("A reply that takes longer counts as lost."))
    ] = 2.0
    size: Annotated[
        Size, Field(ge=wire.SMALLEST, le=65_507, description=N_("Bytes of UDP payload, both ways."))
    ] = 64
    dscp: Annotated[int, Field(ge=0, le=63, description=N_("Differentiated services code point."))] = 0
    key: Annotated[
        Secret | None, Field(description=N_("The key that the responder asks for, as a secret."))
    ] = None
    connect_timeout: Annotated[
        Duration,
        Field(ge=0.1, le=60, description=N_("How long each of the handshake's two round trips may take.")),
    ] = 5.0
    resolve_timeout: Annotated[
        Duration, Field(ge=0.1, le=60, description=N_("How long a host name may take to resolve."))
    ] = 5.0


class UDPEcho(Probe):
    """One session over one connected socket."""

    kind = "udp_echo"
    example = f"127.0.0.1:{DEFAULT_PORT}"
    version = 1
    summary = N_("Round trips by UDP to an OTS responder, with loss and jitter of each way by itself.")
    targets = Targets(forms=("host:port",))
    Params = UDPEchoParams
    metrics = published.METRICS
    round_trip = published.RTT.key

    def estimate(self, targets: Sequence[Target], params: UDPEchoParams) -> Estimate:
        duration = _HANDSHAKE / 10 + (params.count - 1) * params.interval
        waits = params.resolve_timeout + 2 * params.connect_timeout + params.timeout
        reports = _reports(params.count) * params.connect_timeout
        moved = params.count * (params.size + _HEADERS["6"]) + 4 * wire.CONTROL_BYTES
        moved += _reports(params.count) * wire.REPORT_BYTES
        return Estimate(duration, moved, moved, duration + waits + reports)

    def warnings(self, targets: Sequence[Target], params: UDPEchoParams) -> list[str]:
        if params.timeout > params.count * params.interval:
            return [
                _(
                    "timeout is longer than count × interval: if a reply is missing, "
                    "the step waits the whole timeout"
                )
            ]
        return []

    def samples_planned(self, metric: str, targets: Sequence[Target], params: UDPEchoParams) -> int | None:
        if metric in published.OF_NEIGHBOURS:
            return params.count - 1
        if metric in published.OF_REQUESTS:
            return params.count
        return None if metric in published.OF_CHANCE else 1

    async def run(self, ctx: Context, targets: Sequence[Target], params: UDPEchoParams) -> None:
        (target,) = targets
        address = await ctx.net.resolve(target.host, params.route, timeout=params.resolve_timeout)
        shared = ctx.secret(params.key).encode() if params.key else None
        with ctx.net.udp(address, params.route, target.port or DEFAULT_PORT) as sock:
            _mark(sock, params.dscp)
            try:
                sock.connect(address.sockaddr(target.port or DEFAULT_PORT))
            except OSError as error:
                raise classify(error, "connect") from None
            wish = wire.Wish(params.count, params.interval, params.size)
            if ctx.net.guard is not None:
                ctx.net.guard.send(address, 2)
            ctx.mark("connect_start")
            channel = await open_session(sock, wish, shared, ctx.clock, params.connect_timeout)
            ctx.mark("connected")
            ctx.budget.spend(received=wire.CONTROL_BYTES, sent=2 * wire.CONTROL_BYTES)
            ctx.method(
                address=address.ip,
                family=address.family,
                interface=params.interface,
                source=params.source,
                size=params.size,
                ip_bytes=params.size + _HEADERS[address.family],
                dscp=params.dscp,
                count=params.count,
                interval=params.interval,
                timeout=params.timeout,
                schedule="periodic",
                authenticated=channel.key is not None,
                clocks=channel.clocks.relation,
                clock_error_seconds=channel.clocks.error,
            )
            await _measure(ctx, sock, channel, address, params, params.size + _HEADERS[address.family])

    def summarise(self, attempts: Sequence[AttemptData], params: UDPEchoParams) -> list[Metric]:
        return published.summarise(attempts)


async def _measure(
    ctx: Context,
    sock: socket.socket,
    channel: Channel,
    address: Address,
    params: UDPEchoParams,
    packet_bytes: int,
) -> None:
    run = EchoRun(
        sock,
        channel,
        count=params.count,
        interval=params.interval,
        timeout=params.timeout,
        size=params.size,
        clock=ctx.clock,
        room=None if ctx.net.guard is None else partial(ctx.net.guard.room, address),
    )
    record = UDPEchoRecord(ctx, run, channel.clocks, params.count, packet_bytes)
    reports: list[wire.Report] = []
    try:
        await run.run(record.deliver)
        for first in range(0, params.count, wire.REPORTED_AT_ONCE):
            report = await ask_report(sock, channel, first, ctx.clock, params.connect_timeout)
            if report is None:
                break
            reports.append(report)
            ctx.budget.spend(received=wire.REPORT_BYTES, sent=wire.REPORT_BYTES)
    finally:
        close_session(sock, channel)
        record.close(reports)
    failure = record.verdict()
    if failure is not None:
        raise failure


def _reports(count: int) -> int:
    return -(-count // wire.REPORTED_AT_ONCE)


def _mark(sock: socket.socket, dscp: int) -> None:
    try:
        if sock.family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, dscp << 2)
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, dscp << 2)
    except OSError as error:
        raise classify(error, "config") from None
