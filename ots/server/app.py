"""The web application of one process: operations, health, and an orderly end."""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import cache

import msgspec
from aiohttp import web

from ots.server.api.dispatch import handler_of
from ots.server.api.document import openapi
from ots.server.api.operation import Operation, pattern
from ots.server.api.problems import Refused, problem_response
from ots.server.assignments import handing_out, missing, runs
from ots.server.assignments import operations as assignments
from ots.server.content import operations as content
from ots.server.content.serving import add_content
from ots.server.control import channel, command_operations, group_operations, preview
from ots.server.database.database import DatabaseAway
from ots.server.history import History
from ots.server.identity import (
    account_operations,
    agent_administration,
    agent_operations,
    api_tokens,
    audit_operations,
    department_operations,
    enrolment,
    login_operations,
    token_administration,
)
from ots.server.licences import operations as licences
from ots.server.licences import wishes
from ots.server.prometheus.observed import loop_watched, observing
from ots.server.prometheus.scraping import add_scraping
from ots.server.reports import comparing, exporting, having, intake, reading, removing, revising
from ots.server.reports.retention import Retention
from ots.server.rounds import rounds
from ots.server.services import SERVICES, Services
from ots.server.web.routes import add_pages

OPERATIONS: tuple[Operation, ...] = (
    *login_operations.OPERATIONS,
    *account_operations.OPERATIONS,
    *api_tokens.OPERATIONS,
    *department_operations.OPERATIONS,
    *enrolment.OPERATIONS,
    *agent_administration.OPERATIONS,
    *agent_operations.OPERATIONS,
    *token_administration.OPERATIONS,
    *audit_operations.OPERATIONS,
    *licences.OPERATIONS,
    *wishes.OPERATIONS,
    *content.OPERATIONS,
    *assignments.OPERATIONS,
    *handing_out.OPERATIONS,
    *runs.OPERATIONS,
    *missing.OPERATIONS,
    *intake.OPERATIONS,
    *having.OPERATIONS,
    *reading.OPERATIONS,
    *comparing.OPERATIONS,
    *exporting.OPERATIONS,
    *revising.OPERATIONS,
    *removing.OPERATIONS,
    *command_operations.OPERATIONS,
    *group_operations.OPERATIONS,
    *preview.OPERATIONS,
    *channel.OPERATIONS,
)
"""Every operation of the interface, in the document's order."""

_HEALTH_PATIENCE = 3.0
_TURN = 0.0005
log = logging.getLogger("ots.server")
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_app(services: Services) -> web.Application:
    """The application; the services' writer runs as long as it does."""
    app = web.Application(middlewares=[observing(services.metrics), _answer_unknown_paths])
    app[SERVICES] = services
    app.on_startup.append(_settle)
    app.cleanup_ctx.append(_run_writer)
    app.on_shutdown.append(_send_agents_away)
    app.cleanup_ctx.append(_watch_loop)
    app.cleanup_ctx.append(_keep_content_fresh)
    app.cleanup_ctx.append(_keep_retention)
    for path, operations in itertools.groupby(
        sorted(OPERATIONS, key=lambda one: one.path), lambda one: one.path
    ):
        resource = app.router.add_resource(pattern(path))
        for operation in operations:
            resource.add_route(operation.method, handler_of(operation))
    add_pages(app)
    add_content(app)
    app.router.add_get("/api/v1/openapi.json", _document)
    app.router.add_get(channel.PATH, channel.channel)
    app.router.add_get("/healthz", _alive)
    add_scraping(app, services)
    app.router.add_get("/readyz", _ready)
    return app


async def _settle(_app: web.Application) -> None:
    """What exists when serving begins stays: the collector would go through all of it, 70 ms each time.

    A database's thread that wants to go on, as it does at each row, need not wait long for a busy loop.
    """
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(_TURN)


async def _run_writer(app: web.Application) -> AsyncIterator[None]:
    services = app[SERVICES]
    services.reports.start()
    services.control.start()
    yield
    services.closing = True
    await services.control.close()
    await services.reports.close()
    await services.database.close()


async def _keep_content_fresh(app: web.Application) -> AsyncIterator[None]:
    kept = app[SERVICES].content
    if kept is None:
        yield
        return
    task = asyncio.create_task(kept.keep_fresh())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _send_agents_away(app: web.Application) -> None:
    """Their lines would stay for as long as the server lets them."""
    app[SERVICES].closing = True
    await app[SERVICES].control.gateway.close()


async def _watch_loop(app: web.Application) -> AsyncIterator[None]:
    async with loop_watched(app[SERVICES].metrics):
        yield


async def _keep_retention(app: web.Application) -> AsyncIterator[None]:
    services = app[SERVICES]
    chores = (
        Retention(services.database, services.wall, services.keep).once,
        History(services.database, services.wall, services.keep_history).once,
    )
    task = asyncio.create_task(rounds(chores), name="retention")
    yield
    task.cancel()
    await asyncio.wait({task})


@web.middleware
async def _answer_unknown_paths(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """What the router refuses, as a problem under /api and as a plain answer elsewhere."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if not request.path.startswith("/api/") or error.status < 400:
            raise
        code = {404: "not-found", 405: "method-not-allowed"}.get(error.status, "invalid-request")
        response = problem_response(Refused(code), "-")
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response


async def _document(_request: web.Request) -> web.Response:
    """The interface's description, which anybody may read."""
    return web.Response(body=_description(), content_type="application/json")


@cache
def _description() -> bytes:
    return msgspec.json.encode(openapi(OPERATIONS))


async def _alive(_request: web.Request) -> web.Response:
    """The process serves."""
    return web.Response(text="ok\n")


async def _ready(request: web.Request) -> web.Response:
    """The process serves, its database answers, and it is not closing."""
    services = request.app[SERVICES]
    if services.closing:
        return web.Response(status=503, text="closing\n")
    try:
        async with asyncio.timeout(_HEALTH_PATIENCE):
            await services.database.answers()
    except (DatabaseAway, TimeoutError):
        return web.Response(status=503, text="the database does not answer\n")
    return web.Response(text="ok\n")
