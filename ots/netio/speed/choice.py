"""Which server: the nearest by the time of a TCP handshake; the others follow in that order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ots.netio.speed.server import Server
from ots.probe import Context, Failed, Route

HANDSHAKES = 3
LONGEST = 2.0
"""Seconds after which a server is taken to be too far away."""

AT_ONCE = 8
"""Servers asked at the same time: more would time one another."""


async def nearest(ctx: Context, servers: Sequence[Server], route: Route, timeout: float) -> list[Server]:
    """The servers that answer, the nearest first; those that don't come last, in the order given.

    Records `speed_server_rtt_seconds` for each.
    """
    gate = asyncio.Semaphore(AT_ONCE)

    async def ask(server: Server) -> float | None:
        async with gate:
            return await _ask(ctx, server, route, min(timeout, LONGEST))

    times = await asyncio.gather(*(ask(server) for server in servers))
    order = sorted(range(len(servers)), key=lambda k: (times[k] is None, times[k] or 0.0, k))
    return [servers[k] for k in order]


async def _ask(ctx: Context, server: Server, route: Route, timeout: float) -> float | None:
    """The least time of three handshakes, or None if one of them failed."""
    target = server.target
    least: float | None = None
    try:
        address = await ctx.net.resolve(target.host, route, timeout=timeout)
        for _ in range(HANDSHAKES):
            start = ctx.clock.monotonic()
            connection = await ctx.net.dial(address, target.port or 80, route, timeout=timeout)
            seconds = ctx.clock.monotonic() - start
            connection.close()
            ctx.record("speed_server_rtt_seconds", seconds, server=server.name)
            least = seconds if least is None else min(least, seconds)
    except Failed as failure:
        ctx.record("speed_server_rtt_seconds", None, reason=failure.error.class_, server=server.name)
        return None
    return least
