"""Pings hosts over one socket for each family, or with the system's program where no socket is allowed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from ots.netio.icmp.program import SystemPing
from ots.netio.icmp.session import EchoSession
from ots.netio.icmp.stream import schedule
from ots.probe import Address, Context, Target
from ots.probes._ping_params import Family, PingParams, streams_of
from ots.probes._ping_record import EchoRecord, Progress
from ots.probes._ping_sockets import Sockets, open_sockets

_KEPT = 50_000
"""Round trips that a step keeps one by one. A longer run is counted while it goes on."""

Hosts = Sequence[tuple[Target, Address]]


async def ask(ctx: Context, hosts: Hosts, params: PingParams, progress: Progress) -> None:
    """Pings the hosts over a socket, or with the system's program where none is allowed."""
    with ExitStack() as stack:
        sockets = open_sockets(stack, ctx, hosts, params, send_stamps=True)
        if sockets is None:
            await _by_program(ctx, hosts, params, progress)
        else:
            usable = [entry for entry in hosts if entry[1].family in sockets]
            await _by_socket(ctx, usable, sockets, params, progress)


async def _by_socket(
    ctx: Context, hosts: Hosts, sockets: Sockets, params: PingParams, progress: Progress
) -> None:
    streams = streams_of([target for target, address in hosts], params)
    kinds = {family: opened.kind for family, opened in sockets.items()}
    record = _recorder(ctx, hosts, params, kinds, progress)
    session = EchoSession(
        record.destinations,
        schedule(streams),
        sockets,
        size=params.size,
        timeout=params.timeout,
        clock=ctx.clock,
        guard=ctx.net.guard,
    )
    try:
        await session.run(record.deliver)
    finally:
        record.close(timestamp_source=session.timestamp_source)
        if session.clock_stepped:
            ctx.flag("clock_step")
    record.judge()


async def _by_program(ctx: Context, hosts: Hosts, params: PingParams, progress: Progress) -> None:
    if ctx.net.guard is not None:
        for _target, address in hosts:
            ctx.net.guard.permit_stream(address, 1 / params.interval, params.requests)
    record = _recorder(ctx, hosts, params, {"4": "system", "6": "system"}, progress)
    run = SystemPing(
        record.destinations,
        count=params.requests,
        interval=params.interval,
        timeout=params.timeout,
        size=params.size,
        options=params.options,
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
            **params.packet(address.family),
        )
    return EchoRecord(
        ctx,
        hosts,
        warmup=params.warmup,
        packet_bytes={address.family: params.packet_bytes(address.family) for _, address in hosts},
        progress=progress,
        every=_kept_every(len(hosts), params),
    )


def _kept_every(hosts: int, params: PingParams) -> int:
    """1 where every round trip is kept; else which ones: every so many. Segments need each."""
    return 1 if params.segment else max(1, math.ceil(hosts * params.requests / _KEPT))
