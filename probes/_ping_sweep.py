"""Sweeps networks: never with the system's program, since a process for each of thousands of addresses would
measure the machine."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from ots.netio.icmp.members import Members
from ots.netio.icmp.sockets import REMEDY, SocketKind
from ots.netio.icmp.sweep import Sweep, shards
from ots.netio.icmp.swept import Swept
from ots.probe import Context, Failed, Target
from ots.probes._ping_params import PingParams, streams_of
from ots.probes._ping_record import Progress
from ots.probes._ping_sockets import Sockets, open_more, open_sockets
from ots.probes._sweep_record import SweepRecord

Networks = Sequence[tuple[Target, Members]]


async def sweep(ctx: Context, networks: Networks, params: PingParams, progress: Progress) -> None:
    """Asks all addresses of the networks."""
    with ExitStack() as stack:
        # A reply is handed to every raw socket, to a datagram socket only if it is its own.
        first: SocketKind = "datagram" if _threads(networks, params) > 1 else "raw"
        sockets = open_sockets(stack, ctx, networks, params, send_stamps=False, first=first)
        if sockets is None:
            what = "a network can't be swept with the system's ping program"
            failure = Failed("permission", "connect", "EPERM", what, remedy=REMEDY)
            for target, _members in networks:
                ctx.failed(target.text, failure)
            return
        usable = [entry for entry in networks if entry[1].family in sockets]
        streams = streams_of([target for target, members in usable], params)
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
                **params.packet(one.members.family),
            )
        more = range(1, _threads(usable, params))
        sets = [sockets, *(open_more(stack, ctx, sockets, params) for _ in more)]
        await _swept(ctx, swept, sets, params, progress)


def _threads(networks: Networks, params: PingParams) -> int:
    """How many threads, each with sockets of its own, ask these networks."""
    streams = streams_of([target for target, _ in networks], params)
    return shards(sum(stream.rounds * stream.size for stream in streams), params.sweep_rate)


async def _swept(
    ctx: Context,
    networks: Sequence[tuple[Target, Swept]],
    sockets: Sequence[Sockets],
    params: PingParams,
    progress: Progress,
) -> None:
    if not networks:
        return
    record = SweepRecord(
        ctx,
        networks,
        packet_bytes={"4": params.packet_bytes("4"), "6": params.packet_bytes("6")},
        progress=progress,
    )
    run = Sweep(
        [one for target, one in networks], sockets, size=params.size, timeout=params.timeout, clock=ctx.clock
    )
    try:
        await run.run(record.tick)
    finally:
        record.close(
            params.timeout,
            timestamp_source=run.timestamp_source,
            threads=len(sockets),
            largest_batch=run.largest_batch,
            send_time_error_seconds=run.spread,
        )
        if run.clock_stepped:
            ctx.flag("clock_step")
    record.judge()
