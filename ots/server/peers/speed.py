"""The OTS speed protocol.

    GET    /speed/info          who this is, what is free, how busy it is
    POST   /speed/slot          {"seconds": n} -> {"slot", "seconds", "expires_in"}; 503
    DELETE /speed/slot/TOKEN    gives the place back
    GET    /speed/down          random bytes until the client leaves; ?bytes=N so many, ?seconds=N so long
    POST   /speed/up            swallows the body, and answers with what arrived and when (PUT too)
    GET    /speed/empty         an empty answer, for round trips over HTTP

The place's token stands in the header `OTS-Slot`; without one a transfer takes a visitor's place.
"""

from __future__ import annotations

import asyncio
import json
import math

from aiohttp import web

from ots.server.peers.arrivals import Arrivals
from ots.server.peers.doorway import doorway_of
from ots.server.peers.facility import (
    FACILITY,
    NO_CACHE,
    OCTETS,
    SLOT_HEADER,
    client_of,
    turned_away,
    whole_number,
)
from ots.server.peers.limits import DOCUMENT_BYTES
from ots.server.peers.sink import sink
from ots.server.peers.slots import Busy


def add_transfers(app: web.Application) -> None:
    """The test itself."""
    app.router.add_get("/speed/down", _down)
    for method in ("POST", "PUT"):
        app.router.add_route(method, "/speed/up", _up)
    app.router.add_get("/speed/empty", _empty)


def add_slots(app: web.Application) -> None:
    """Places, and what is known of the server."""
    app.router.add_get("/speed/info", _info)
    app.router.add_post("/speed/slot", _take)
    app.router.add_delete("/speed/slot/{token}", _give_back)


async def _down(request: web.Request) -> web.StreamResponse:
    facility = request.app[FACILITY]
    count = whole_number(request, "bytes", facility.limits.max_bytes)
    if count is None:
        count = whole_number(request, "size", facility.limits.max_bytes)
    asked = whole_number(request, "seconds", 10**6)
    headers = {**NO_CACHE, "Content-Type": OCTETS}
    with facility.transfer(request) as seconds:
        limit = seconds if asked is None else min(seconds, asked)
        if count is None:
            return await facility.source.stream(request, limit, headers)
        return await facility.source.send(request, count, limit, headers)


async def _up(request: web.Request) -> web.StreamResponse:
    """Answers `{"received_bytes", "seconds", "first", "last", "grain", "series": {"t", "bytes"}}`.

    Instants are on this server's monotonic clock; `bytes` are cumulative, one point for the last read of
    every `grain` seconds.
    """
    facility = request.app[FACILITY]
    with facility.transfer(request) as seconds:
        return await sink(
            request, seconds=seconds, most=facility.limits.max_bytes, answer=_count, headers=NO_CACHE
        )


def _count(arrivals: Arrivals) -> tuple[str, bytes]:
    return "application/json", json.dumps(arrivals.document()).encode()


async def _empty(request: web.Request) -> web.Response:
    token = request.headers.get(SLOT_HEADER)
    if token is not None:
        request.app[FACILITY].seconds_left(token)
    return web.Response(body=b"", headers=NO_CACHE)


async def _info(request: web.Request) -> web.Response:
    return web.json_response(request.app[FACILITY].document(), headers=NO_CACHE)


async def _take(request: web.Request) -> web.Response:
    facility = request.app[FACILITY]
    seconds = await _wish(request, facility.limits.header_seconds)
    try:
        slot = facility.slots.take(client_of(request), seconds)
    except Busy as busy:
        raise turned_away(busy) from None
    return web.json_response(
        {"slot": slot.token, "seconds": slot.seconds, "expires_in": slot.expires_in}, headers=NO_CACHE
    )


async def _wish(request: web.Request, patience: float) -> float:
    """The seconds that a client asks for; 400 or 413 for what is no such wish."""
    doorway = doorway_of(request)
    if doorway is not None:
        doorway.pass_on()
    if (request.content_length or 0) > DOCUMENT_BYTES:
        raise web.HTTPRequestEntityTooLarge(DOCUMENT_BYTES, request.content_length or 0)
    body = bytearray()
    async with asyncio.timeout(patience):
        async for piece in request.content.iter_any():
            body += piece
            if len(body) > DOCUMENT_BYTES:
                raise web.HTTPRequestEntityTooLarge(DOCUMENT_BYTES, len(body))
    try:
        document = json.loads(body)
        seconds = document["seconds"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise web.HTTPBadRequest(text='send {"seconds": n}\n') from None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not math.isfinite(seconds):
        raise web.HTTPBadRequest(text="seconds is a number\n")
    return float(seconds)


async def _give_back(request: web.Request) -> web.Response:
    if not request.app[FACILITY].slots.give_back(request.match_info["token"]):
        raise web.HTTPNotFound(text="there is no such place\n")
    return web.Response(status=204)
