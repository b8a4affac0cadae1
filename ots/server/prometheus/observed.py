"""Counts and times the requests of an aiohttp application, and the lateness of its event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.typedefs import Middleware

from ots.server.prometheus.registry import OTHER, ServerMetrics

_PERIOD = 0.1
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def observing(metrics: ServerMetrics) -> Middleware:
    """A middleware that counts every request under its route's pattern; put it first."""

    @web.middleware
    async def observe(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        began = time.perf_counter()
        status = 500
        try:
            response = await handler(request)
            status = response.status
            return response
        except web.HTTPException as answer:
            status = answer.status
            raise
        except asyncio.CancelledError:
            # nginx's number for a client that left before the answer.
            status = 499
            raise
        finally:
            method = request.method if request.method in _METHODS else OTHER
            metrics.request_answered(route_of(request), method, status, time.perf_counter() - began)

    return observe


def route_of(request: web.Request) -> str:
    """The pattern of the route that the request took; `other` where it took none."""
    resource = request.match_info.route.resource
    return OTHER if resource is None else resource.canonical


@asynccontextmanager
async def loop_watched(metrics: ServerMetrics) -> AsyncIterator[None]:
    """Measures ten times a second how late a timer fires, while the block lasts."""
    task = asyncio.create_task(_watch(metrics), name="loop lag")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _watch(metrics: ServerMetrics) -> None:
    while True:
        due = time.perf_counter() + _PERIOD
        await asyncio.sleep(_PERIOD)
        metrics.loop_was_late(max(0.0, time.perf_counter() - due))
