"""Fetches a list of servers: one GET, bounded in time and size."""

from __future__ import annotations

import asyncio

from ots.clock import SystemClock
from ots.netio.http.client import Client, url_of
from ots.netio.http.dialer import Way
from ots.netio.http.proxy import choose
from ots.netio.net import SystemNet
from ots.netio.speed.server_list import MAX_BYTES
from ots.netio.tls import client_context
from ots.probe import Failed, Route, Target

PHASE_LIMIT = 10.0
WHOLE_LIMIT = 30.0


def _nothing(trigger: str, *, t: float | None = None, source: str = "app") -> None:
    """No attempt is going on whose trigger points could be noted."""


async def fetch(target: Target) -> bytes:
    """The body behind an http or https URL, through the environment's proxy if it names one; `Failed`.

    What was asked for by https is not taken from http.
    """
    clock = SystemClock()
    way = Way(
        net=SystemNet(clock, _nothing),
        clock=clock,
        mark=_nothing,
        route=Route(),
        timeout=PHASE_LIMIT,
        tls=client_context(alpn=("http/1.1",)),
        proxy=choose("environment", target.scheme or "http", target.host),
        addresses={},
    )
    client = Client(way)
    try:
        async with asyncio.timeout(WHOLE_LIMIT):
            answer = await client.get(url_of(target))
            if target.scheme == "https" and answer.response.url.scheme != "https":
                raise Failed("protocol", "request", "DOWNGRADE", "redirected from https to http")
            body = bytearray()
            async for piece in answer.pieces():
                body += piece
                if len(body) > MAX_BYTES:
                    limit = f"more than {MAX_BYTES >> 10} KiB are no list of servers"
                    raise Failed("content", "transfer", "TOO_LONG", limit)
            return bytes(body)
    except TimeoutError:
        raise Failed("timeout", "transfer", "TIMEOUT", f"not fetched within {WHOLE_LIMIT:g} s") from None
    finally:
        await client.close()
